package main

import (
	"fmt"
	"testing"
	"time"

	"jfs/internal/testenv"
)

func TestInjectValue(t *testing.T) {
	for text, want := range map[string]string{
		"store:delay=20ms,bandwidth=100M,errors=1%;meta:delay=1.5ms": "store:delay=20ms,bandwidth=100,errors=1%;meta:delay=1.5ms",
		"meta:errors=0.1%": "meta:errors=0.1%", "store:delay=0s": "",
	} {
		var d distances
		if err := (injectValue{&d}).Set(text); err != nil || (injectValue{&d}).String() != want {
			t.Errorf("%q: %q, %v", text, injectValue{&d}.String(), err)
		}
	}
	for _, text := range []string{"", "store", "store:", "cloud:delay=1s", "store:delay=fast", "store:delay=-1s", "meta:errors=1", "meta:errors=200%", "store:speed=1"} {
		if err := (injectValue{&distances{}}).Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestServerOf(t *testing.T) {
	for address, want := range map[string][2]string{
		"redis://h/1":                        {"h:6379", "redis://127.0.0.1:9/1"},
		"redis://tom:pw@h:7000/1?x=y":        {"h:7000", "redis://tom:pw@127.0.0.1:9/1?x=y"},
		"postgres://u:p@h/db?sslmode=x":      {"h:5432", "postgres://u:p@127.0.0.1:9/db?sslmode=x"},
		"mysql://u:p@(h:3306)/db":            {"h:3306", "mysql://u:p@(127.0.0.1:9)/db"},
		"etcd://[::1]/prefix":                {"[::1]:2379", "etcd://127.0.0.1:9/prefix"},
		"redis://m,h1:26379,h2:26379/1":      {},
		"sqlite3:///a.db":                    {},
		"rediss://h/1":                       {},
		"unix:///run/redis.sock":             {},
		"tikv://pd/x":                        {},
		"postgres://u:p%zz@h/db?sslmode=off": {},
	} {
		_, host, rebuild, err := serverOf(address)
		if (err != nil) != (want[0] == "") || host != want[0] || err == nil && rebuild("127.0.0.1:9") != want[1] {
			t.Errorf("%s: %q, %v", address, host, err)
		}
	}
}

// TestE2EInject: a mount whose store and database are made distant, with requests that fail, keeps what is written, and
// its requests take as long as they should at least.
func TestE2EInject(t *testing.T) {
	server := testenv.StartRedis(t)
	w := newWorld(t)
	url := "redis://" + server.Addr + "/1"
	w.ok("format", "--bucket", "$/objects", "--trash-days", "0", url, "myjfs")
	const delay = 20 * time.Millisecond
	inject := fmt.Sprintf("store:delay=%s,bandwidth=1G,errors=30%%;meta:delay=%s", delay, delay)
	w.ok("mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", "--cache-size", "0", "--inject", inject, url, "$/mnt")
	data := content(100_000, 1)
	begin := time.Now()
	w.write("mnt/file", data)
	if took := time.Since(begin); took < 2*delay {
		t.Errorf("written in %s", took)
	}
	w.holds("mnt/file", data)
	if c := w.counters(); c["object_request_durations_histogram_seconds_PUT_total"] != "1" {
		t.Errorf("counters: %v", c)
	}
	w.ok("umount", "$/mnt")
	w.ok("format", "--bucket", "$/others", "sqlite3://$/m.db", "myjfs")
	w.refused("the database is a file of this machine", "mount", "--no-agent", "--cache-dir", "$/cache", "--inject", "meta:delay=1ms", "sqlite3://$/m.db", "$/mnt")
	w.refused("begins neither with", "mount", "--inject", "far", "sqlite3://$/m.db", "$/mnt")
}
