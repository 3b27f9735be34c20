package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"jfs/bench"
	"jfs/internal/testenv"
	"jfs/internal/units"
)

// counters reads the statistics of the mount.
func (w *world) counters() map[string]string {
	w.t.Helper()
	b, err := os.ReadFile(w.path("mnt/.stats"))
	must(w.t, err)
	all := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[strings.TrimPrefix(name, "juicefs_")] = value
	}
	return all
}

// TestE2EBenchCounts compares what a benchmark says that it has cost with what passed to the database, and with what
// lies in the store.
func TestE2EBenchCounts(t *testing.T) {
	server := testenv.StartPostgres(t)
	proxy := testenv.StartProxy(t, server.Addr)
	w := newWorld(t)
	db := url.URL{Scheme: "postgres", User: url.UserPassword(testenv.SQLGuest, testenv.SQLPassword), Host: proxy.Addr, Path: "/" + testenv.SQLGuest}
	w.ok("format", "--bucket", "$/objects", "--trash-days", "0", db.String(), "myjfs")
	formatted := proxy.Trips()
	w.ok("mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", "--backup-meta", "0", "--heartbeat", "0", db.String(), "$/mnt")
	runner := bench.Runner{
		Config: bench.Config{BlockSize: units.MiB, BigFileSize: 10 * units.MiB, SmallFileSize: 100_000, SmallFileCount: 20, Caches: bench.Cold},
		Tiers:  benchTiers{},
		Remove: func(context.Context, string) error { return nil }, // so that the store can be looked into
	}
	res, err := runner.Run(t.Context(), w.path("mnt"))
	must(t, err)
	var cost bench.Cost
	for _, p := range res.Phases {
		c, ok := res.Cost(p, bench.Prices{Put: 1000})
		if !ok || p.Rounds[0].State != "" {
			t.Errorf("%s: %v, %q", p.Phase.Name, ok, p.Rounds[0].State)
		}
		cost.Puts, cost.PutBytes, cost.Price = cost.Puts+c.Puts, cost.PutBytes+c.PutBytes, cost.Price+c.Price
		cost.Gets, cost.GetBytes, cost.Trips = cost.Gets+c.Gets, cost.GetBytes+c.GetBytes, cost.Trips+c.Trips
	}
	var objects, size float64
	must(t, filepath.WalkDir(w.path("objects/myjfs/chunks"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		objects, size = objects+1, size+float64(info.Size())
		return err
	}))
	const written = 10<<20 + 20*100_000
	if cost.Puts != objects || cost.PutBytes != size || size != written || cost.Price != objects {
		t.Errorf("%v objects of %v bytes put, price %v; %v of %v in the store", cost.Puts, cost.PutBytes, cost.Price, objects, size)
	}
	if cost.Gets != objects || cost.GetBytes != size {
		t.Errorf("%v objects of %v bytes got; each of the %v was read once", cost.Gets, cost.GetBytes, objects)
	}
	// What the mount does in the background is counted first by the client and then on the wire, so both are looked at
	// until they stand still.
	var seen [2]int64 // by the mount, on the wire
	for still := 0; still < 10; still++ {
		n, err := strconv.ParseInt(w.counters()["meta_round_trips_total"], 10, 64)
		must(t, err)
		if now := [2]int64{n, proxy.Trips() - formatted}; now != seen {
			seen, still = now, -1
		}
	}
	if seen[0] != seen[1] || cost.Trips <= 0 || cost.Trips > float64(seen[1]) {
		t.Errorf("the mount counts %d round trips, %v of them for the benchmark; the wire %d", seen[0], cost.Trips, seen[1])
	}
	w.ok("umount", "$/mnt")
}

// TestE2EBench runs the command on a mount: all outputs carry the same figures, and nothing is left.
func TestE2EBench(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount()
	out := w.ok("bench", "--big-file-size", "4M", "--small-file-count", "5", "--rounds", "2", "-p", "2", "--json", "$/r.json", "--csv", "$/r.csv", "--html", "$/r.html", "--name", "here", "$/mnt")
	for _, want := range []string{"|       ITEM       |", "Update meta", "RATE", "DB TRIPS", "STORE RETRIES", "AHEAD USED", "Write into cache"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	r, err := bench.Load(w.path("r.json"))
	must(t, err)
	page, err := os.ReadFile(w.path("r.html"))
	must(t, err)
	sheet, err := os.Open(w.path("r.csv"))
	must(t, err)
	lines, err := csv.NewReader(sheet).ReadAll()
	must(t, err)
	must(t, sheet.Close())
	for i, p := range r.Phases {
		if rate := p.Phase.Rate(p.PerSecond()); !strings.Contains(out, rate) || !bytes.Contains(page, []byte(rate)) || len(p.Rounds) != 2 {
			t.Errorf("%s: %s is not everywhere", p.Phase.Name, rate)
		}
		for k, rate := range p.Rates() {
			if line := lines[1+2*i+k]; line[1] != p.Phase.Name || line[8] != strconv.FormatFloat(rate, 'g', 10, 64) {
				t.Errorf("%s, round %d: %v in the file for spreadsheets, want %v", p.Phase.Name, k+1, line[:10], rate)
			}
		}
	}
	if r.Name != "here" || r.Environment.Mount == nil || r.Environment.ReadAhead == "" || !strings.HasPrefix(r.Environment.FileSystem, "fuse.juicefs") {
		t.Errorf("environment %+v", r.Environment)
	}
	for _, state := range []string{"cold", "ssd-warm", "memory-warm", "kernel-warm"} {
		out := w.ok("bench", "--big-file-size", "8M", "--small-file-size", "0", "--rounds", "1", "--no-warm-up", "--caches", state, "$/mnt")
		if strings.Contains(out, "asked for") {
			t.Errorf("%s was not reached:\n%s", state, out)
		}
	}
	// Every read that the cache on disk has answered is in its histogram.
	if now := w.counters(); now["blockcache_disk_hits"] == "0" || now["blockcache_disk_hits"] != now["blockcache_read_hist_seconds_total"] {
		t.Errorf("%s reads of the cache on disk are measured, and %s were hits", now["blockcache_read_hist_seconds_total"], now["blockcache_disk_hits"])
	}
	for _, dir := range []string{"mnt", "mnt/.trash"} {
		entries, err := os.ReadDir(w.path(dir))
		must(t, err)
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				t.Errorf("%s/%s is left", dir, e.Name())
			}
		}
	}
	w.refused("is needed", "bench", "--threads", "0", "$/mnt")
	w.refused("inodes are needed", "bench", "--big-file-size", "0", "--small-file-size", "1", "--small-file-count", "99000000", "-p", "2000", "$/mnt")
	w.ok("umount", "$/mnt")
}

// benchUnderWay starts a benchmark of a big file and returns when it has begun to write.
func (w *world) benchUnderWay() (pid int, wait func() result) {
	w.t.Helper()
	cmd := w.command(os.Getenv(programEnv), "bench", "--big-file-size", "20G", "--no-warm-up", "--json", "$/r.json", "$/mnt")
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	must(w.t, cmd.Start())
	for {
		found, err := filepath.Glob(w.path("mnt/__juicefs_benchmark_*/bigfile.0.0"))
		must(w.t, err)
		if len(found) > 0 {
			break
		}
		if ended(cmd.Process.Pid) {
			w.t.Fatalf("it has ended: %v\n%s", cmd.Wait(), log.String())
		}
	}
	w.t.Cleanup(func() { _ = cmd.Process.Kill() })
	pid = cmd.Process.Pid
	return pid, func() result {
		_ = cmd.Wait() // the state tells more
		return result{cmd.ProcessState.ExitCode(), out.String(), log.String()}
	}
}

// TestE2EBenchCutShort: an interrupted benchmark removes its files, and one whose mount dies says so, in one line each.
func TestE2EBenchCutShort(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.mount()
	pid, wait := w.benchUnderWay()
	must(t, syscall.Kill(pid, syscall.SIGINT))
	oneLine := func(r result, want string) {
		t.Helper()
		fatal := ""
		for line := range strings.Lines(r.log) {
			if !strings.Contains(line, "<WARNING>") {
				fatal += line
			}
		}
		if r.code != 1 || !strings.Contains(fatal, want) || strings.Count(fatal, "\n") != 1 {
			t.Errorf("exit code %d, want %q in\n%s", r.code, want, r.log)
		}
	}
	r := wait()
	oneLine(r, "interrupted")
	if found, _ := filepath.Glob(w.path("mnt/__*")); len(found) > 0 || !strings.Contains(r.out, "failed") {
		t.Errorf("left: %v\n%s", found, r.out)
	}
	mount := w.sessions("sqlite3://$/m.db")[0].ProcessID
	_, wait = w.benchUnderWay()
	must(t, syscall.Kill(mount, syscall.SIGKILL))
	oneLine(wait(), "the mount has ended")
	if found, _ := filepath.Glob(w.path(".r.json*")); len(found) > 0 {
		t.Errorf("left: %v", found)
	}
	w.ok("umount", "$/mnt")
}

// TestE2EBenchCompare mounts and measures configurations in turn.
func TestE2EBenchCompare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, os.Mkdir(w.path("scratch"), 0o755))
	small := []string{"--big-file-size", "1M", "--small-file-count", "3", "--no-warm-up", "--scratch", "$/scratch"}
	compare := func(more ...string) []string {
		return append(append([]string{"bench", "compare"}, small...), more...)
	}
	out := w.ok(compare("--rounds", "2", "-c", "through=", "-c", "back=--writeback", "-c", "packed=--compress lz4 --program "+os.Getenv(programEnv), "--json", "$/c.json", "--html", "$/c.html", "--max-regression", "5%")...)
	if !strings.Contains(out, "There are too few rounds for a verdict") {
		t.Errorf("no verdict in\n%s", out)
	}
	var got struct{ Results []*bench.Result }
	b, err := os.ReadFile(w.path("c.json"))
	must(t, err)
	must(t, json.Unmarshal(b, &got))
	if len(got.Results) != 3 {
		t.Fatalf("%d results", len(got.Results))
	}
	for i, r := range got.Results {
		var mount struct {
			Format struct{ Compression string }
			Chunk  struct{ Writeback bool }
		}
		must(t, json.Unmarshal(r.Environment.Mount, &mount))
		if len(r.Phases[0].Rounds) != 2 || mount.Chunk.Writeback != (i == 1) || (mount.Format.Compression == "lz4") != (i == 2) {
			t.Errorf("%s: %d rounds, %+v", r.Name, len(r.Phases[0].Rounds), mount)
		}
	}
	w.format()
	w.ok(compare("--rounds", "1", "-c", "a=", "-c", "b=--cache-size 0 --inject store:delay=2ms", "--inject", "store:delay=1ms", "--json", "$/d.json", "sqlite3://$/m.db")...)
	b, err = os.ReadFile(w.path("d.json"))
	must(t, err)
	for _, far := range []string{"1ms", "2ms"} {
		if !bytes.Contains(b, []byte(`"Inject": "store:delay=`+far)) {
			t.Errorf("no distance of %s", far)
		}
	}
	for want, args := range map[string][]string{
		"--compress is a setting of the volume":   compare("-c", "a=", "-c", "b=--compress lz4", "sqlite3://$/m.db"),
		"configuration b: mount: ":                compare("-c", "a=", "-c", "b=--buffer-size 1M"),
		"--nonsense is no flag":                   compare("-c", "a=", "-c", "b=--nonsense"),
		"there is one configuration, a":           compare("-c", "a="),
		"two configurations are called a":         compare("-c", "a=", "-c", "a="),
		"is too little space":                     {"bench", "compare", "--scratch", "$/scratch", "--big-file-size", "900T", "-c", "a=", "-c", "b="},
		"give two files or more":                  {"bench", "compare", "$/c.json"},
		"c.json: not a result of a benchmark":     {"bench", "compare", "$/c.json", "$/c.json"},
		"please run \"jfs format ":                compare("-c", "a=", "-c", "b=", "sqlite3://$/none.db"),
		"\"x\" is not a percentage from 0 to 100": compare("--max-regression", "x", "-c", "a=", "-c", "b="),
	} {
		w.refused(want, args...)
	}
	if left, err := os.ReadDir(w.path("scratch")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestE2EBenchProfiles: a benchmark takes profiles of the mount in each phase, which can be shown, compared and merged.
func TestE2EBenchProfiles(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.ok("mount", "-d", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", "sqlite3://$/m.db", "$/mnt")
	small := []string{"bench", "--big-file-size", "64M", "--small-file-count", "5", "--rounds", "2", "--no-warm-up"}
	run := func(dir string) string {
		return w.ok(append(append([]string{}, small...), "--pprof", dir, "--html", "$/r.html", "$/mnt")...)
	}
	if out := run("$/a"); !strings.Contains(out, "Write big file: 2 items in ") || !strings.Contains(out, "Profiles were taken meanwhile") {
		t.Errorf("no profiles in\n%s", out)
	}
	page, err := os.ReadFile(w.path("r.html"))
	must(t, err)
	if !bytes.Contains(page, []byte("Where the mount spends its time")) || !bytes.Contains(page, []byte(`<svg class="flame"`)) {
		t.Error("no flame graphs in the report")
	}
	for _, dir := range []string{"01-write-big-file", "05-stat-file"} {
		for _, file := range []string{"cpu.pprof", "allocs.pprof", "heap.pprof", "mutex.pprof", "block.pprof", "goroutine.pprof", "trace.out"} {
			if info, err := os.Stat(w.path("a/" + dir + "/" + file)); err != nil || info.Size() == 0 {
				t.Errorf("%s/%s: %v", dir, file, err)
			}
		}
	}
	run("$/b")
	out := w.ok("bench", "profile", "--kind", "allocs", "--phase", "Write big", "--html", "$/p.html", "$/a")
	if !strings.Contains(out, "allocated: ") || !strings.Contains(out, "FLAT") || strings.Contains(out, "Stat file") {
		t.Errorf("profile:\n%s", out)
	}
	if out := w.ok("bench", "profile", "--html", "$/d.html", "$/a", "$/b"); !strings.Contains(out, "CPU, for each item: ") || !strings.Contains(out, "CHANGE") {
		t.Errorf("difference:\n%s", out)
	}
	if page, err := os.ReadFile(w.path("d.html")); err != nil || bytes.Count(page, []byte(`<svg class="flame"`)) < 5 || !bytes.Contains(page, []byte("costs less")) {
		t.Errorf("no differential flame graphs: %v", err)
	}
	w.ok("bench", "profile", "--merge", "$/default.pgo", "$/a", "$/b")
	if out := w.ok("bench", "profile", "$/default.pgo"); !strings.Contains(out, "CPU: ") {
		t.Errorf("merged:\n%s", out)
	}
	for want, args := range map[string][]string{
		"$/a is not empty":                     append(append([]string{}, small...), "--pprof", "$/a", "$/mnt"),
		"is not in a mount of jfs":             append(append([]string{}, small...), "--pprof", "$/c", w.dir),
		"give a directory that jfs bench":      {"bench", "profile", "$/mnt"},
		"the capture has no such phase":        {"bench", "profile", "--phase", "x", "$/a"},
		"give cpu allocs heap":                 {"bench", "profile", "--kind", "x", "$/a"},
		"one capture is shown or two are comp": {"bench", "profile", "$/a", "$/a", "$/a"},
	} {
		w.refused(want, args...)
	}
	w.ok("umount", "$/mnt")
	w.mount()
	w.refused("mount it without --no-agent", append(append([]string{}, small...), "--pprof", "$/c", "$/mnt")...)
	w.ok("umount", "$/mnt")
}
