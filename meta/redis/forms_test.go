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
