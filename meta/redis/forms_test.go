package redis

import (
	"testing"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/metatest"
)

// TestConformanceInCluster gives every volume a database number of its own, and with that a slot, mostly on different
// nodes.
func TestConformanceInCluster(t *testing.T) {
	c := testenv.StartRedisCluster(t, 3, false)
	n := 0
	metatest.Run(t, func(t *testing.T) func() meta.Engine {
		n++
		url := "redis://" + c.Addrs() + "/" + decimal(int64(n))
		return func() meta.Engine { return prompt{open(t, url, Options{})} }
	})
}

// TestBehindSentinels is a part of that, because nothing but connecting is different.
func TestBehindSentinels(t *testing.T) {
	s := testenv.StartRedisSentinels(t, "", "--databases", "1000")
	n := 0
	fresh := func(t *testing.T) func() meta.Engine {
		n++
		url := "redis://" + s.Hosts() + "/" + decimal(int64(n))
		return func() meta.Engine { return prompt{open(t, url, Options{})} }
	}
	t.Run("records", func(t *testing.T) {
		metatest.RunEngine(t, func(t *testing.T) meta.Engine { return fresh(t)() })
	})
	t.Run("races", func(t *testing.T) { metatest.RunRaces(t, fresh) })
}
