package testenv

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"testing"
)

// StartEtcd starts an etcd of one member, which does not wait for its disk, for tests that may stop, kill or start it
// again; its keys survive Stop. Addr is the address of its clients. The arguments are added to the command line.
func StartEtcd(tb testing.TB, args ...string) *Server {
	tb.Helper()
	binary, err := exec.LookPath("etcd")
	if err != nil {
		tb.Fatal("etcd is not installed: run `make test-deps`")
	}
	dir := tb.TempDir()
	// The member talks to nobody and still listens for peers. The port is part of what it stores, so it stays.
	peer := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(tb)))
	return launch(tb, &Server{
		name:   "etcd",
		binary: binary,
		args: func(addr string) []string {
			return append([]string{"--name", "one", "--data-dir", dir,
				"--listen-client-urls", "http://" + addr, "--advertise-client-urls", "http://" + addr,
				"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "one=" + peer,
				"--heartbeat-interval", "20", "--election-timeout", "200", // nobody to elect it against: it need not wait
				"--unsafe-no-fsync"}, args...)
		},
		ready: etcdReady,
	})
}

// etcdReady wants a member that has a leader.
func etcdReady(ctx context.Context, addr string) error {
	status, err := httpStatus(ctx, addr, "/health")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("etcd says %s", http.StatusText(status))
	}
	return err
}
