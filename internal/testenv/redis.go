package testenv

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// Redis starts a Redis server that keeps nothing on disk, and returns its host:port. The arguments are
// added to the command line ("--maxmemory", "100mb"), where the last of an option counts. Tests in one
// server are kept apart by different database numbers.
func Redis(tb testing.TB, args ...string) (addr string) {
	tb.Helper()
	return StartRedis(tb, args...).Addr
}

// StartRedis is Redis for tests that stop, kill or start it again. What it holds survives that only with
// arguments such as "--appendonly", "yes".
func StartRedis(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return startRedis(tb, nil, args)
}

func startRedis(tb testing.TB, certs *Certificates, args []string) *Server {
	tb.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Fatal("redis-server is not installed: run `make tools`")
	}
	dir := tb.TempDir()
	s := &Server{name: "redis", binary: binary, ready: redisReady}
	if certs != nil {
		s.ready = redisTLSReady(certs)
	}
	s.args = func(addr string) []string {
		host, port, _ := net.SplitHostPort(addr)
		own := []string{"--bind", host, "--port", port, "--dir", dir, "--daemonize", "no", "--save", "", "--databases", "64"}
		if certs != nil {
			own = append(own, "--port", "0", "--tls-port", port, "--tls-cert-file", certs.Cert, "--tls-key-file", certs.Key, "--tls-ca-cert-file", certs.CA)
		}
		return append(own, args...)
	}
	return launch(tb, s)
}

// redisReady asks for a PING. An error that is a complaint about a missing password is an answer too.
func redisReady(ctx context.Context, addr string) error {
	conn, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.HasPrefix(line, "+PONG") || strings.HasPrefix(line, "-NOAUTH") {
		return nil
	}
	return fmt.Errorf("redis says %q", strings.TrimSpace(line))
}
