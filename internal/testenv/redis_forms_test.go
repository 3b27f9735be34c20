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
	t.Run("Sentinel", func(t *testing.T) {
		s := StartRedisSentinels(t, "secret")
		s.Master.Kill()
		s.Promoted(t, "secret")
	})
}
