package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// StartRedisTLS is StartRedis for a server that speaks TLS only, and wants certificates of its clients.
func StartRedisTLS(tb testing.TB, certs *Certificates, args ...string) *Server {
	tb.Helper()
	return startRedis(tb, certs, args)
}

// redisBoth starts a server that speaks TLS on a port besides, and with other servers only that, if there are certificates.
func redisBoth(tb testing.TB, certs *Certificates, args ...string) *Server {
	tb.Helper()
	if certs == nil {
		return StartRedis(tb, args...)
	}
	port := strconv.Itoa(FreePort(tb))
	s := StartRedis(tb, append(certs.redis(port), args...)...)
	s.TLS = net.JoinHostPort("127.0.0.1", port)
	return s
}

// redis gives the arguments for a port for TLS.
func (c *Certificates) redis(port string) []string {
	return []string{"--tls-port", port, "--tls-cert-file", c.Cert, "--tls-key-file", c.Key, "--tls-ca-cert-file", c.CA,
		"--tls-replication", "yes"}
}

// known is the address by which others know the server.
func (s *Server) known() string {
	if s.TLS != "" {
		return s.TLS
	}
	return s.Addr
}

// RedisCluster is a cluster whose nodes share the slots; a replica, if there are any, follows each.
type RedisCluster struct {
	Nodes    []*Server
	Replicas []*Server // of the nodes, in their order

	tb testing.TB
}

// StartRedisCluster starts a cluster of nodes, each with a replica if so wanted. Its nodes take each other for dead after
// a second.
func StartRedisCluster(tb testing.TB, nodes int, replicas bool, args ...string) *RedisCluster {
	tb.Helper()
	return startRedisCluster(tb, nil, nodes, replicas, args...)
}

// StartRedisClusterTLS is StartRedisCluster for nodes that are reached over TLS. The test itself may go without.
func StartRedisClusterTLS(tb testing.TB, certs *Certificates, nodes int) *RedisCluster {
	tb.Helper()
	return startRedisCluster(tb, certs, nodes, false, "--tls-cluster", "yes")
}

func startRedisCluster(tb testing.TB, certs *Certificates, nodes int, replicas bool, args ...string) *RedisCluster {
	tb.Helper()
	c := &RedisCluster{tb: tb}
	start := func() *Server {
		own := []string{"--cluster-enabled", "yes", "--databases", "1", "--cluster-node-timeout", "1000",
			"--cluster-port", strconv.Itoa(FreePort(tb)), "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"}
		return redisBoth(tb, certs, append(own, args...)...)
	}
	const slots = 16384
	for i := range nodes {
		s := start()
		c.Nodes = append(c.Nodes, s)
		RedisSay(tb, s.Addr, fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*slots/nodes, (i+1)*slots/nodes-1),
			fmt.Sprintf("CLUSTER SET-CONFIG-EPOCH %d", i+1))
	}
	if replicas {
		for range nodes {
			c.Replicas = append(c.Replicas, start())
		}
	}
	all := append(append([]*Server(nil), c.Nodes...), c.Replicas...)
	for _, s := range all[1:] {
		host, port, _ := net.SplitHostPort(s.known())
		bus := strings.Fields(RedisSay(tb, s.Addr, "CONFIG GET cluster-port"))[1]
		RedisSay(tb, all[0].Addr, "CLUSTER MEET "+host+" "+port+" "+bus)
	}
	for _, s := range all {
		until(tb, "cluster", func(ctx context.Context) bool {
			info, err := redisSay(ctx, s.Addr, nil, "CLUSTER INFO")
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(all)))
		})
	}
	for i, r := range c.Replicas {
		id := RedisSay(tb, c.Nodes[i].Addr, "CLUSTER MYID")
		until(tb, "replica", func(ctx context.Context) bool { // which has to hear of the node first
			_, err := redisSay(ctx, r.Addr, nil, "CLUSTER REPLICATE "+id)
			return err == nil
		})
		redisFollows(tb, r)
	}
	for _, s := range all {
		until(tb, "replicas", func(ctx context.Context) bool {
			known, err := redisSay(ctx, s.Addr, nil, "CLUSTER SLOTS") // which names those that have got anything
			for _, r := range c.Replicas {
				_, port, _ := net.SplitHostPort(r.Addr)
				if err != nil || !strings.Contains(known, "\n"+port+"\n") {
					return false
				}
			}
			return true
		})
	}
	return c
}

// redisFollows waits until a server is a replica that is in step.
func redisFollows(tb testing.TB, r *Server) {
	tb.Helper()
	until(tb, "replication", func(ctx context.Context) bool {
		info, err := redisSay(ctx, r.Addr, nil, "INFO replication")
		return err == nil && strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up")
	})
}

// Addrs gives the host:port of the nodes with commas between.
func (c *RedisCluster) Addrs() string {
	addrs := make([]string, len(c.Nodes))
	for i, s := range c.Nodes {
		addrs[i] = s.known()
	}
	return strings.Join(addrs, ",")
}

// Owner gives the number of the node that has the slot of a key.
func (c *RedisCluster) Owner(key string) int {
	c.tb.Helper()
	for i, s := range c.Nodes {
		ctx, cancel := context.WithTimeout(context.Background(), startTime)
		_, err := redisSay(ctx, s.Addr, nil, "EXISTS "+key)
		cancel()
		if err == nil {
			return i
		}
	}
	c.tb.Fatalf("no node has the slot of %s", key)
	return 0
}

// MoveSlot moves a slot of a key with all it holds from one node to another. before, if it is not nil, is called when
// half of the keys have moved, and the slot has not.
func (c *RedisCluster) MoveSlot(key string, from, to int, before func()) {
	c.tb.Helper()
	a, b := c.Nodes[from].Addr, c.Nodes[to].Addr
	idA, idB := RedisSay(c.tb, a, "CLUSTER MYID"), RedisSay(c.tb, b, "CLUSTER MYID")
	slot := RedisSay(c.tb, a, "CLUSTER KEYSLOT "+key)
	RedisSay(c.tb, b, "CLUSTER SETSLOT "+slot+" IMPORTING "+idA)
	RedisSay(c.tb, a, "CLUSTER SETSLOT "+slot+" MIGRATING "+idB)
	host, port, _ := net.SplitHostPort(b)
	migrate := func(n int) int {
		keys := strings.Fields(RedisSay(c.tb, a, fmt.Sprintf("CLUSTER GETKEYSINSLOT %s %d", slot, n)))
		if len(keys) > 0 {
			RedisSay(c.tb, a, "MIGRATE "+host+" "+port+` "" 0 5000 KEYS `+strings.Join(keys, " "))
		}
		return len(keys)
	}
	if before != nil {
		n, err := strconv.Atoi(RedisSay(c.tb, a, "CLUSTER COUNTKEYSINSLOT "+slot))
		if err != nil {
			c.tb.Fatal(err)
		}
		migrate(n / 2)
		before()
	}
	for migrate(1000) > 0 {
	}
	RedisSay(c.tb, b, "CLUSTER SETSLOT "+slot+" NODE "+idB)
	RedisSay(c.tb, a, "CLUSTER SETSLOT "+slot+" NODE "+idB)
}

// RedisSentinels is a master with a replica, watched by three Sentinels.
type RedisSentinels struct {
	Name            string // of the master
	Master, Replica *Server
	Sentinels       []*Server
}

// StartRedisSentinels starts a master, a replica, and three Sentinels that take a master for dead after a second. password
// is what the Sentinels want of their clients; "": nothing. The arguments are those of master and replica.
func StartRedisSentinels(tb testing.TB, password string, args ...string) *RedisSentinels {
	tb.Helper()
	return startRedisSentinels(tb, nil, password, args...)
}

// StartRedisSentinelsTLS is StartRedisSentinels for servers and Sentinels that are reached over TLS, also by each other. The
// test itself may go without.
func StartRedisSentinelsTLS(tb testing.TB, certs *Certificates, password string) *RedisSentinels {
	tb.Helper()
	return startRedisSentinels(tb, certs, password)
}

func startRedisSentinels(tb testing.TB, certs *Certificates, password string, args ...string) *RedisSentinels {
	tb.Helper()
	args = append([]string{"--repl-diskless-sync-delay", "0"}, args...)
	s := &RedisSentinels{Name: "mymaster", Master: redisBoth(tb, certs, args...), Replica: redisBoth(tb, certs, args...)}
	host, port, _ := net.SplitHostPort(s.Master.known())
	RedisSay(tb, s.Replica.Addr, "REPLICAOF "+host+" "+port)
	redisFollows(tb, s.Replica)
	for range 3 {
		s.Sentinels = append(s.Sentinels, startSentinel(tb, certs, password, host+" "+port))
	}
	for _, o := range s.Sentinels {
		until(tb, "sentinels", func(ctx context.Context) bool {
			cmds := []string{"SENTINEL MASTER " + s.Name}
			if password != "" {
				cmds = append([]string{"AUTH " + password}, cmds...)
			}
			info, err := redisSay(ctx, o.Addr, nil, cmds...)
			return err == nil && strings.Contains(info, "num-other-sentinels\n2") && strings.Contains(info, "num-slaves\n1") && strings.Contains(info, "flags\nmaster\n")
		})
	}
	return s
}

// Hosts is what stands for the server in a URL.
func (s *RedisSentinels) Hosts() string {
	addrs := []string{s.Name}
	for _, o := range s.Sentinels {
		addrs = append(addrs, o.known())
	}
	return strings.Join(addrs, ",")
}

// Promoted waits until the replica has become the master, in its own eyes and for all Sentinels.
func (s *RedisSentinels) Promoted(tb testing.TB, password string) {
	tb.Helper()
	_, port, _ := net.SplitHostPort(s.Replica.known())
	until(tb, "failover", func(ctx context.Context) bool {
		role, err := redisSay(ctx, s.Replica.Addr, nil, "ROLE")
		if err != nil || !strings.HasPrefix(role, "master") {
			return false
		}
		for _, o := range s.Sentinels {
			cmds := []string{"SENTINEL GET-MASTER-ADDR-BY-NAME " + s.Name}
			if password != "" {
				cmds = append([]string{"AUTH " + password}, cmds...)
			}
			if at, err := redisSay(ctx, o.Addr, nil, cmds...); err != nil || !strings.HasSuffix(at, "\n"+port) {
				return false
			}
		}
		return true
	})
}

// startSentinel starts one, which keeps what it learns in its configuration.
func startSentinel(tb testing.TB, certs *Certificates, password, master string) *Server {
	tb.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Fatal("redis-server is not installed: run `make tools`")
	}
	conf := filepath.Join(tb.TempDir(), "sentinel.conf")
	text := "sentinel monitor mymaster " + master + " 2\nsentinel down-after-milliseconds mymaster 1000\n" +
		"sentinel failover-timeout mymaster 3000\nsentinel resolve-hostnames no\n"
	if password != "" {
		text += "requirepass " + password + "\nsentinel sentinel-pass " + password + "\n"
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	var secure []string
	tlsAddr := ""
	if certs != nil {
		port := strconv.Itoa(FreePort(tb))
		secure, tlsAddr = certs.redis(port), net.JoinHostPort("127.0.0.1", port)
	}
	return launch(tb, &Server{
		TLS:    tlsAddr,
		name:   "sentinel",
		binary: binary,
		args: func(addr string) []string {
			host, port, _ := net.SplitHostPort(addr)
			return append([]string{conf, "--sentinel", "--bind", host, "--port", port, "--dir", filepath.Dir(conf), "--daemonize", "no"}, secure...)
		},
		ready: redisReady,
	})
}

// redisTLSReady is redisReady for a server that speaks TLS.
func redisTLSReady(certs *Certificates) func(ctx context.Context, addr string) error {
	return func(ctx context.Context, addr string) error {
		if _, err := redisSay(ctx, addr, certs.Client, "PING"); err != nil && !errors.Is(err, errRedis) {
			return err
		}
		return nil
	}
}
