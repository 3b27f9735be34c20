package main

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jfs/bench"
	"jfs/object"
)

// TestMetricNames: what the official client serves is there, with its types.
func TestMetricNames(t *testing.T) {
	c := newTally()
	c.request("lookup", 20*time.Millisecond, 0)
	c.request("lookup", 30*time.Microsecond, syscall.ENOENT)
	c.moved(false, 5000)
	c.moved(true, 1<<20)
	c.Observe(object.OpPut, 1000, 500*time.Millisecond, nil)
	c.Operation("Lookup", 2*time.Second)
	c.Transaction(5*time.Second, 2)
	c.cacheRead(15 * time.Microsecond)
	c.cacheWritten(time.Millisecond)
	c.compacted(4 << 20)
	c.retried(object.OpPut)
	registry := prometheus.NewRegistry()
	wrapped := prometheus.WrapRegistererWith(prometheus.Labels{"vol_name": "v"}, prometheus.WrapRegistererWithPrefix(metricPrefix, registry))
	wrapped.MustRegister(collector{c, func(context.Context) figures {
		f := figures{"blockcache_hits": 3, "memory": 9, "go_goroutines": 1}
		c.add(f)
		return f
	}})
	families, err := registry.Gather()
	must(t, err)
	kinds := map[string]string{}
	for _, f := range families {
		kinds[strings.TrimPrefix(f.GetName(), metricPrefix)] = strings.ToLower(f.GetType().String())
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			switch f.GetName() {
			case "juicefs_fuse_ops_total":
				if labels["method"] != "lookup" || labels["vol_name"] != "v" || m.GetCounter().GetValue() != 2 {
					t.Errorf("%v", m)
				}
			case "juicefs_fuse_ops_durations_histogram_seconds":
				if h := m.GetHistogram(); h.GetSampleCount() != 2 || h.GetBucket()[0].GetCumulativeCount() != 1 || h.GetSampleSum() != 0.02003 {
					t.Errorf("%v", m)
				}
			case "juicefs_fuse_written_size_bytes":
				if h := m.GetHistogram(); h.GetSampleCount() != 1 || h.GetBucket()[31].GetCumulativeCount() != 0 || h.GetSampleSum() != 1<<20 {
					t.Errorf("%v", m)
				}
			case "juicefs_blockcache_read_hist_seconds":
				if h := m.GetHistogram(); h.GetSampleCount() != 1 || h.GetBucket()[0].GetCumulativeCount() != 0 || h.GetBucket()[1].GetCumulativeCount() != 1 {
					t.Errorf("%v", m)
				}
			case "juicefs_compact_size_histogram_bytes":
				if h := m.GetHistogram(); h.GetSampleCount() != 1 || h.GetSampleSum() != 4<<20 || h.GetBucket()[12].GetCumulativeCount() != 1 || h.GetBucket()[11].GetCumulativeCount() != 0 {
					t.Errorf("%v", m)
				}
			case "juicefs_transaction_restart":
				if m.GetCounter().GetValue() != 2 {
					t.Errorf("%v", m)
				}
			case "juicefs_object_request_durations_histogram_seconds":
				if n := m.GetHistogram().GetSampleCount(); n != map[string]uint64{"PUT": 1}[labels["method"]] {
					t.Errorf("%v", m)
				}
			}
		}
	}
	for name, kind := range map[string]string{
		"blockcache_read_hist_seconds": "histogram", "blockcache_write_hist_seconds": "histogram", "compact_size_histogram_bytes": "histogram",
		"object_request_retries": "counter", "transaction_restart": "counter",
		"blockcache_hits": "counter", "memory": "gauge", "uptime": "gauge", "fuse_ops_total": "counter", "fuse_ops_durations_seconds": "counter",
		"fuse_ops_io_errors": "counter", "fuse_ops_durations_histogram_seconds": "histogram", "fuse_read_size_bytes": "histogram",
		"fuse_written_size_bytes": "histogram", "meta_ops_total": "counter", "meta_ops_duration_seconds": "counter", "meta_ops_durations_histogram_seconds": "histogram",
		"transaction_durations_histogram_seconds": "histogram", "object_request_data_bytes": "counter", "object_request_errors": "counter",
		"object_request_durations_histogram_seconds": "histogram",
	} {
		if kinds[name] != kind {
			t.Errorf("%s is a %q, want %s: %v", name, kinds[name], kind, slices.Sorted(maps.Keys(kinds)))
		}
		delete(kinds, name)
	}
	if len(kinds) > 0 {
		t.Errorf("more: %v", kinds)
	}
}

func TestParseLabels(t *testing.T) {
	for text, want := range map[string]int{"": 0, "zone:a": 1, "zone:a;team:b c;": 2, " x_1 : y:z ": 1} {
		if got, err := parseLabels(text); err != nil || len(got) != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"zone", ":a", "1x:y", "vol_name:x", "a-b:c"} {
		if got, err := parseLabels(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestConsul(t *testing.T) {
	var asked []string
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.EscapedPath()+" "+string(body))
		if strings.Contains(string(body), "refused") {
			http.Error(w, "no", http.StatusForbidden)
		}
	}))
	defer agent.Close()
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9567}
	s, err := registerConsul(t.Context(), strings.TrimPrefix(agent.URL, "http://"), at, "/mnt/a", "vol")
	must(t, err)
	must(t, s.end(t.Context()))
	if len(asked) != 2 || !strings.HasPrefix(asked[0], `PUT /v1/agent/service/register {"ID":"127.0.0.1:/mnt/a","Name":"juicefs","Address":"127.0.0.1","Port":9567,`) ||
		asked[1] != "PUT /v1/agent/service/deregister/127.0.0.1:%2Fmnt%2Fa " {
		t.Errorf("%q", asked)
	}
	if _, err := registerConsul(t.Context(), agent.URL, at, "/refused", "vol"); err == nil || !strings.Contains(err.Error(), "403") {
		t.Error(err)
	}
}

// get reads a page of a mount.
func (w *world) get(url string) string {
	w.t.Helper()
	r, err := http.Get(url)
	must(w.t, err)
	b, err := io.ReadAll(r.Body)
	must(w.t, err)
	must(w.t, r.Body.Close())
	return string(b)
}

// TestE2EWatch: a mount can be watched through its metrics, its statistics and its access log, and an archive for a
// report of a problem holds what it needs and no secret.
func TestE2EWatch(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.env = append(w.env, "META_PASSWORD=hidden-word")
	w.ok("mount", "-d", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", "--metrics", "127.0.0.1:0", "--custom-labels", "zone:a", "sqlite3://$/m.db", "$/mnt")
	w.write("mnt/file", content(100_000, 1))
	config := bench.Look(w.path("mnt")).Mount
	var facts mountFacts
	must(t, json.Unmarshal(config, &facts))
	page := w.get("http://" + facts.Port.PrometheusAgent + "/metrics")
	for _, want := range []string{
		`juicefs_fuse_ops_total{method="create",mp="` + w.path("mnt") + `",vol_name="myjfs",zone="a"} 1`,
		`juicefs_object_request_data_bytes{method="PUT",mp="` + w.path("mnt") + `",vol_name="myjfs",zone="a"} 100000`,
		"# TYPE juicefs_fuse_written_size_bytes histogram", "juicefs_go_goroutines{", "juicefs_process_cpu_seconds_total{",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if c := w.counters(); c["fuse_written_size_bytes_sum"] != "100000" || c["fuse_read_size_bytes_total"] == "" || c["go_goroutines"] == "" {
		t.Errorf("counters: %v", c)
	}
	out := w.ok("stats", "--count", "2", "--interval", "200ms", "-l", "1", "$/mnt")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 4 || !strings.Contains(lines[0], "-usage-") || len(lines[3]) != len(lines[0]) {
		t.Errorf("stats:\n%s", out)
	}
	// A saved access log, and a live one.
	log, err := os.Open(w.path("mnt/.accesslog"))
	must(t, err)
	w.holds("mnt/file", content(100_000, 1))
	buf := make([]byte, 1<<20)
	n, err := log.Read(buf)
	must(t, err)
	must(t, log.Close())
	must(t, os.WriteFile(w.path("saved"), buf[:n], 0o600))
	for _, interval := range []string{"0", "2"} {
		if out := w.ok("profile", "--interval", interval, "--uid", fmt.Sprint(os.Getuid()), "$/saved"); !strings.Contains(out, "Operation") || !strings.Contains(out, "open") {
			t.Errorf("profile of %q:\n%s", buf[:n], out)
		}
	}
	if out := w.ok("profile", "--uid", "4000000", "--interval", "0", "$/saved"); strings.Contains(out, "open") {
		t.Errorf("profile of nobody:\n%s", out)
	}
	live := w.command(os.Getenv(programEnv), "profile", "--interval", "100ms", "$/mnt")
	shown, err := live.StdoutPipe()
	must(t, err)
	must(t, live.Start())
	seen := ""
	for !strings.Contains(seen, "lookup") && !strings.Contains(seen, "getattr") {
		_, err := os.Stat(w.path(fmt.Sprintf("mnt/none%d", len(seen))))
		if !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		n, err := shown.Read(buf)
		must(t, err)
		seen += string(buf[:n])
	}
	must(t, live.Process.Signal(os.Interrupt))
	_, err = io.Copy(io.Discard, shown)
	must(t, err)
	must(t, live.Wait())

	must(t, os.WriteFile(w.path("log"), []byte("an old line\nuse redis://tom:hidden-word@host/1\n"), 0o600))
	archive := strings.TrimSpace(w.ok("debug", "--stats-sec", "0.1", "--trace-sec", "1", "--profile-sec", "1", "--limit", "1", "--out-dir", "$/out", "$/mnt"))
	z, err := zip.OpenReader(archive)
	must(t, err)
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		must(t, err)
		b, err := io.ReadAll(r)
		must(t, err)
		_, name, _ := strings.Cut(f.Name, "/")
		files[name] = string(b)
		if strings.Contains(string(b), "hidden-word") || len(b) == 0 {
			t.Errorf("%s: %d bytes with a secret or none", f.Name, len(b))
		}
	}
	must(t, z.Close())
	for _, name := range []string{"config.json", "system.txt", "command.txt", "stats.txt", "stats-later.txt", "pprof/cpu.pprof", "pprof/trace.out", "pprof/heap.pprof", "pprof/goroutine.txt"} {
		if files[name] == "" {
			t.Errorf("no %s in the archive: %v", name, slices.Sorted(maps.Keys(files)))
		}
	}
	if files["log.txt"] != "use redis://tom:****@host/1\n" || files["missing.txt"] != "" {
		t.Errorf("log %q, missing %q", files["log.txt"], files["missing.txt"])
	}
	w.refused("is not in a mount of a volume", "stats", w.dir)
	w.refused("is not in a mount of a volume", "debug", w.dir)
	w.refused("is not in a mount of a volume", "profile", w.dir)
	w.refused("this is no access log", "profile", archive)
	w.refused("no group is called", "stats", "--schema", "x", "$/mnt")
	w.refused("give numbers with commas", "profile", "--uid", "me", "$/saved")
	w.ok("umount", "$/mnt")
}
