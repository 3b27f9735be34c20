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

// TestRecordsBehindSentinels is a part of that, because nothing but connecting is different.
func TestRecordsBehindSentinels(t *testing.T) {
	s := testenv.StartRedisSentinels(t, "", "--databases", "1000")
	n := 0
	metatest.RunEngine(t, func(t *testing.T) meta.Engine {
		n++
		return prompt{open(t, "redis://"+s.Hosts()+"/"+decimal(int64(n)), Options{})}
	})
}
