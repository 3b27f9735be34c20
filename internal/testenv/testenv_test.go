package testenv

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestFreePort(t *testing.T) {
	port := FreePort(t)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestRedisRestarts(t *testing.T) {
	s := StartRedis(t, "--appendonly", "yes")
	addr := s.Addr
	for _, end := range []func(){s.Stop, s.Kill} {
		end()
		end() // again does nothing
		if err := redisReady(context.Background(), addr); err == nil {
			t.Fatal("the server answers after its end")
		}
		s.Start()
		s.Start()
		if s.Addr != addr {
			t.Fatalf("moved from %s to %s", addr, s.Addr)
		}
		if err := redisReady(context.Background(), addr); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServersEndWithTheirTest(t *testing.T) {
	var redis, s3 string
	t.Run("uses", func(t *testing.T) {
		redis = Redis(t)
		if other := Redis(t, "--requirepass", "pw"); other == redis {
			t.Error("two servers share an address")
		}
		url, access, secret := VersityGW(t)
		if access == "" || secret == "" {
			t.Error("no keys")
		}
		s3 = url[len("http://"):]
		if err := httpReady(context.Background(), s3); err != nil {
			t.Error(err)
		}
	})
	for _, addr := range []string{redis, s3} {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			t.Errorf("the server at %s is still there", addr)
		}
	}
}

func TestVersityGWIsFoundByEnvironment(t *testing.T) {
	fake := filepath.Join(t.TempDir(), "gw")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JFS_TEST_VERSITYGW", fake)
	if got, err := findVersityGW(); err != nil || got != fake {
		t.Errorf("%q, %v", got, err)
	}
	t.Setenv("JFS_TEST_VERSITYGW", fake+"-absent")
	if _, err := findVersityGW(); err == nil {
		t.Error("a missing binary was found")
	}
}

// TestDatabasesRestart: what they hold is still there, also after a crash.
func TestDatabasesRestart(t *testing.T) {
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		s := StartPostgres(t)
		say := func(text string) {
			t.Helper()
			if err := postgresSay(t.Context(), s.Addr, text); err != nil {
				t.Fatal(err)
			}
		}
		say("CREATE TABLE t (i int)")
		for _, end := range []func(){s.Stop, s.Kill} {
			end()
			if err := postgresReady(t.Context(), s.Addr); err == nil {
				t.Fatal("the server answers after its end")
			}
			s.Start()
			say("INSERT INTO t VALUES (1)")
		}
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		s := StartMariaDB(t)
		for _, end := range []func(){s.Stop, s.Kill} {
			end()
			if err := mysqlReady(t.Context(), s.Addr); err == nil {
				t.Fatal("the server answers after its end")
			}
			s.Start()
		}
	})
}
