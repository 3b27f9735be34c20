package testenv

import (
	"context"
	"testing"
)

func TestEtcdRestarts(t *testing.T) {
	s := StartEtcd(t)
	addr := s.Addr
	for _, end := range []func(){s.Stop, s.Kill} {
		end()
		if err := etcdReady(context.Background(), addr); err == nil {
			t.Fatal("the server answers after its end")
		}
		s.Start()
		if s.Addr != addr {
			t.Fatalf("moved from %s to %s", addr, s.Addr)
		}
	}
}
