package testenv

import "testing"

func TestRedisForms(t *testing.T) {
	t.Run("TLS", func(t *testing.T) { StartRedisTLS(t, MakeCertificates(t)) })
	t.Run("cluster", func(t *testing.T) {
		c := StartRedisCluster(t, 3, false)
		RedisSay(t, c.Nodes[c.Owner("{1}x")].Addr, "SET {1}x y")
		from := c.Owner("{1}x")
		c.MoveSlot("{1}x", from, (from+1)%3, nil)
		if now := c.Owner("{1}x"); now != (from+1)%3 {
			t.Errorf("the slot is at node %d", now)
		}
	})
	t.Run("cluster with TLS", func(t *testing.T) { StartRedisClusterTLS(t, MakeCertificates(t), 3) })
	t.Run("Sentinel with TLS", func(t *testing.T) {
		s := StartRedisSentinelsTLS(t, MakeCertificates(t), "")
		s.Master.Kill()
		s.Promoted(t, "")
	})
	t.Run("Sentinel", func(t *testing.T) {
		s := StartRedisSentinels(t, "secret")
		s.Master.Kill()
		s.Promoted(t, "secret")
	})
}
