package main

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jfs/internal/testenv"
)

// TestE2ERedisForms: a volume whose Redis is reached in other ways than a plain connection to one server.
func TestE2ERedisForms(t *testing.T) {
	t.Parallel()
	t.Run("TLS and ACL", func(t *testing.T) {
		t.Parallel()
		certs := testenv.MakeCertificates(t)
		user := []string{"--user", "tom", "on", ">g@heim", "~*", "+@read", "+@write", "+@connection", "-@dangerous",
			"+eval", "+evalsha", "+script|load", "+info", "+config|get", "--user", "default", "off"}
		server := testenv.StartRedisTLS(t, certs, user...)
		address := func(login string) string { return "rediss://" + login + "@" + server.Addr + "/1?" + secure(certs) }
		w := newWorld(t)
		w.refused("wrong user or password", "status", address("tom:falsch"))
		w.refused("META_PASSWORD", "status", address("tom"))
		redisForm(w, address("tom:g%40heim"))
		w.write("secret", []byte("g@heim\n"))
		w.env = []string{"META_PASSWORD_FILE=" + w.path("secret")}
		redisForm(w, strings.Replace(address("tom"), "/1?", "/2?", 1))
		w.env = []string{"META_PASSWORD_FILE=" + w.path("nowhere")}
		w.refused("read the password", "status", address("tom"))
	})
	t.Run("cluster with TLS", func(t *testing.T) {
		t.Parallel()
		certs := testenv.MakeCertificates(t)
		c := testenv.StartRedisClusterTLS(t, certs, 3)
		w := newWorld(t)
		redisForm(w, "rediss://"+c.Addrs()+"/1?"+secure(certs))
		w.refused("certificate", "status", "rediss://"+c.Addrs()+"/1")
	})
	t.Run("Sentinel with TLS", func(t *testing.T) {
		t.Parallel()
		certs := testenv.MakeCertificates(t)
		s := testenv.StartRedisSentinelsTLS(t, certs, "")
		w := newWorld(t)
		redisForm(w, "rediss://"+s.Hosts()+"/1?"+secure(certs))
		redisFailover(w, s, "", "rediss://"+s.Hosts()+"/2?"+secure(certs))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		c := testenv.StartRedisCluster(t, 3, false)
		redisForm(newWorld(t), "redis://"+c.Addrs()+"/1")
		redisForm(newWorld(t), "redis://"+c.Nodes[2].Addr+"/2")
	})
	t.Run("Sentinel", func(t *testing.T) {
		t.Parallel()
		s := testenv.StartRedisSentinels(t, "geheim")
		w := newWorld(t)
		w.refused("SENTINEL_PASSWORD", "status", "redis://"+s.Hosts()+"/1")
		w.env = []string{"SENTINEL_PASSWORD=geheim"}
		redisForm(w, "redis://"+s.Hosts()+"/1")
		redisReplica(w, s, "redis://"+s.Hosts()+"/3")
		redisFailover(w, s, "geheim", "redis://"+s.Hosts()+"/2")
	})
}

// secure is what a URL says of certificates.
func secure(certs *testenv.Certificates) string {
	q := url.Values{"tls-ca-cert-file": {certs.CA}, "tls-cert-file": {certs.ClientCert}, "tls-key-file": {certs.ClientKey}}
	return q.Encode()
}

// redisForm is the life of a volume.
func redisForm(w *world, db string) {
	w.t.Helper()
	w.ok("format", "--bucket", "$/objects", "--trash-days", "0", db, "myjfs")
	w.mountAt(db)
	files := map[string][]byte{"big": content(3<<20+17, 1)}
	for i := range 20 {
		files[fmt.Sprintf("dir%d/small%d", i%4, i)] = content(100*i, byte(i))
	}
	for name, data := range files {
		w.write("mnt/"+name, data)
	}
	w.ok("umount", "$/mnt")
	w.mountAt(db)
	for name, data := range files {
		w.holds("mnt/"+name, data)
	}
	w.ok("umount", "$/mnt")
	if got := w.ok("fsck", "--path", "/", "-r", "--sync-dir-stat", db); !strings.HasPrefix(got, "Checked 5 directories, 0 with faults, 0 repaired\n") {
		w.t.Errorf("fsck: %q", got)
	}
	w.ok("destroy", "--yes", db, volumeUUID(w.t, w.ok("status", db)))
}

func (w *world) mountAt(db string, flags ...string) {
	w.t.Helper()
	args := append([]string{"mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache"}, flags...)
	w.ok(append(args, db, "$/mnt")...)
}

// redisReplica reads a volume from the replica.
func redisReplica(w *world, s *testenv.RedisSentinels, db string) {
	t := w.t
	w.ok("format", "--bucket", "$/objects3", "--trash-days", "0", db, "myjfs")
	w.mountAt(db)
	w.write("mnt/dir/file", content(1000, 3))
	w.ok("umount", "$/mnt")
	if got := testenv.RedisSay(t, s.Master.Addr, "SET other 1", "WAIT 1 30000"); got != "1" {
		t.Fatalf("%s replicas have the changes", got)
	}
	w.mountAt(db+"?route-read=replica", "--read-only")
	w.holds("mnt/dir/file", content(1000, 3))
	if list := testenv.RedisSay(t, s.Replica.Addr, "CLIENT LIST"); !strings.Contains(list, " db=3 ") {
		t.Errorf("nobody reads from the replica:\n%s", list)
	}
	if list := testenv.RedisSay(t, s.Master.Addr, "CLIENT LIST"); strings.Contains(list, " db=3 ") {
		t.Errorf("somebody reads from the master:\n%s", list)
	}
	if err := os.WriteFile(w.path("mnt/other"), nil, 0o644); err == nil {
		t.Error("wrote into a mount for reading")
	}
	w.ok("umount", "$/mnt")
}

// redisFailover kills the master under programs that write files, each of which is either there afterwards or was told
// to have failed, and the mount goes on by itself.
func redisFailover(w *world, s *testenv.RedisSentinels, password, db string) {
	t := w.t
	w.ok("format", "--bucket", "$/objects2", "--trash-days", "0", db, "myjfs")
	w.mountAt(db)
	const writers = 3
	var stop atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop.Store(true)
	var mu sync.Mutex
	written := make([][]string, writers)
	wake := make(chan struct{}, 1) // gets an element after a file, if there is room
	data := content(500, 7)
	for i := range writers {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				name := fmt.Sprintf("mnt/%d_%d", i, n)
				if os.WriteFile(w.path(name), data, 0o644) == nil {
					mu.Lock()
					written[i] = append(written[i], name)
					mu.Unlock()
				}
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		})
	}
	counts := func() (n [writers]int) {
		mu.Lock()
		defer mu.Unlock()
		for i := range writers {
			n[i] = len(written[i])
		}
		return n
	}
	more := func(n int) {
		t.Helper()
		from := counts()
		limit := time.NewTimer(2 * enough)
		defer limit.Stop()
		for i := range writers {
			for counts()[i] < from[i]+n {
				select {
				case <-wake:
				case <-limit.C:
					t.Fatalf("writer %d does not go on", i)
				}
			}
		}
	}
	more(10)
	until := counts()
	if got := testenv.RedisSay(t, s.Master.Addr, "SET other 1", "WAIT 1 30000"); got != "1" {
		t.Fatalf("%s replicas have the changes", got)
	}
	s.Master.Kill()
	s.Promoted(t, password)
	since := counts()
	more(10)
	stop.Store(true)
	wg.Wait()
	check := func() {
		for i := range writers {
			for _, name := range append(written[i][:until[i]:until[i]], written[i][since[i]:]...) {
				w.holds(name, data)
			}
		}
	}
	check()
	w.ok("umount", "$/mnt")
	w.mountAt(db)
	check()
	w.ok("umount", "$/mnt")
	if got := w.ok("fsck", "--path", "/", "-r", db); !strings.HasPrefix(got, "Checked 1 directories, 0 with faults") {
		t.Errorf("fsck: %q", got)
	}
	// The statistics are written after the files that they count, and what the old master said of them it may have kept to itself.
	w.ok("fsck", "--path", "/", "-r", "--repair", "--sync-dir-stat", db)
	if got := w.ok("fsck", "--path", "/", "-r", "--sync-dir-stat", db); !strings.HasPrefix(got, "Checked 1 directories, 0 with faults") {
		t.Errorf("fsck after the repair: %q", got)
	}
}
