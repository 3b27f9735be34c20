package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRounds(t *testing.T) {
	dir := t.TempDir()
	r := runner(small())
	r.Config.Rounds, r.Config.WarmUp = 3, true
	var seen []int
	r.Progress = func(p Progress) {
		if n := len(seen); n == 0 || seen[n-1] != p.Round {
			seen = append(seen, p.Round)
		}
	}
	res, err := r.Run(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(seen, []int{0, 1, 2, 3}) {
		t.Errorf("rounds %v", seen)
	}
	for i, p := range res.Phases {
		items := []int64{3, 3, 12, 12, 12}[i]
		if len(p.Rounds) != 3 || len(p.Rates()) != 3 || p.Files() != 3*items || p.Latency["item"].Count() != 3*items {
			t.Errorf("%s: %d rounds, %d items, %d times", p.Phase.Name, len(p.Rounds), p.Files(), p.Latency["item"].Count())
		}
	}
	// A big file of two and a half blocks is three calls, and one for each open and close.
	for kind, want := range map[string]int64{"open": 9, "write": 27, "close": 9, "fsync": 0} {
		if h := res.Phases[0].Latency[kind]; h == nil && want > 0 || h != nil && h.Count() != want {
			t.Errorf("%s: want %d", kind, want)
		}
	}
	if call := res.Phases[0].Call(); call != "write" || res.Phases[2].Call() != "item" {
		t.Errorf("described by %s", call)
	}
	assertEmpty(t, dir)
}

// TestRecord: what is recorded is each phase of each round that counts, and a failure to record ends the run.
func TestRecord(t *testing.T) {
	r := runner(small())
	r.Config.Rounds, r.Config.WarmUp = 2, true
	var seen []string
	var items int64
	broken := errors.New("the recorder is full")
	r.Record = func(_ context.Context, p Phase, round int) (func(context.Context, Round, error) error, error) {
		seen = append(seen, p.Name)
		return func(_ context.Context, one Round, err error) error {
			items += one.Files
			if len(seen) == 8 {
				return broken
			}
			return err
		}, nil
	}
	res, err := r.Run(t.Context(), t.TempDir())
	if !errors.Is(err, broken) || len(seen) != 8 || seen[5] != seen[0] || res.Phases[2].Failed() == "" {
		t.Errorf("%v: %q", err, seen)
	}
	if want := int64(3 + 3 + 12 + 12 + 12 + 3 + 3 + 12); items != want {
		t.Errorf("%d items, want %d", items, want)
	}
}

func TestTimeLimit(t *testing.T) {
	r := runner(small())
	r.now = clock()
	r.Config.Rounds, r.Config.TimeLimit = 100, 100*time.Second
	res, err := r.Run(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n := len(res.Phases[0].Rounds)
	if n < 2 || n > 10 || len(res.Notes) != 1 || !strings.Contains(res.Notes[0], "of 100 rounds") {
		t.Errorf("%d rounds, notes %q", n, res.Notes)
	}
}

// counted is a runner on a mount that counts: each look at its counters finds what next makes of them.
func counted(next func(c Counters)) *Runner {
	r := runner(small())
	c := Counters{"memory": 1000}
	r.counters = func(string) (Counters, error) {
		next(c)
		out := Counters{}
		for k, v := range c {
			out[k] = v
		}
		return out, nil
	}
	return r
}

func TestCost(t *testing.T) {
	const requests = "object_request_durations_histogram_seconds_"
	r := counted(func(c Counters) {
		c["meta_round_trips_total"] += 6
		c[requests+"PUT_total"] += 4
		c[requests+"GET_total"] += 2
		c["object_request_data_bytes_PUT"] += 61440
		c["object_request_data_bytes_GET"] += 15360
		c["blockcache_memory_hit_bytes"] += 30
		c["blockcache_disk_hit_bytes"] += 10
		c["blockcache_miss_bytes"] += 60
		c["prefetch_bytes"] += 25
		c["prefetch_used_bytes"] += 5
		c["cpu_usage"] += 0.5
		c["memory"] += 1
	})
	r.Config.SkipSmall = true
	res, err := r.Run(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write, ok := res.Cost(res.Phases[0], Prices{Put: 1, Get: 10, In: 1 << 20})
	if !ok || write.Trips != 12 || write.PerItem != 4 || write.Puts != 8 || write.Gets != 4 || write.PutBytes != 122880 || // three looks: before, behind, stored
		write.WriteAmp != 4 || !math.IsNaN(write.ReadAmp) || math.Abs(write.Price-(0.008+0.04+120)) > 1e-9 || write.CPU != 1 {
		t.Errorf("write: %+v", write)
	}
	read, _ := res.Cost(res.Phases[1], Prices{})
	near := 25.0 / 95 // without what was read ahead
	if read.Trips != 6 || read.Gets != 2 || read.ReadAmp != 0.5 || math.Abs(read.Memory-near) > 1e-9 || math.Abs(read.Disk-10.0/95) > 1e-9 ||
		read.Ahead != 5 || read.Wasted != 20 || read.Resident <= 1000 || read.Price != 0 {
		t.Errorf("read: %+v", read)
	}
	var b strings.Builder
	if err := res.Sections(&b, DefaultPrices(), false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| Write big file |       12 |     4.00 |   8 |", "26.3% | 10.5% | 63.2% |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// A file system that does not count costs nothing that is known.
func TestNoCost(t *testing.T) {
	res, err := runner(small()).Run(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := res.Cost(res.Phases[0], DefaultPrices()); ok {
		t.Errorf("%+v", c)
	}
}

func TestDrainCounts(t *testing.T) {
	res := PhaseResult{Phase: Phase{Op: Write, Measure: Throughput}, Rounds: []Round{
		{Bytes: 100, Elapsed: time.Second, Drain: 3 * time.Second}, {Bytes: 50, Elapsed: time.Second, Failed: "broken"},
	}}
	if r, d := res.Rates(), res.Drained(); len(r) != 1 || r[0] != 100 || len(d) != 1 || d[0] != 25 {
		t.Errorf("%v, stored %v", r, d)
	}
	left := 3
	r := &run{Runner: Runner{DrainLimit: time.Hour, counters: func(string) (Counters, error) {
		left--
		return Counters{"staging_blocks": float64(left)}, nil
	}}, held: true}
	if err := r.drain(t.Context(), t.TempDir()); err != nil || left != 0 {
		t.Errorf("%d left, %v", left, err)
	}
	r.DrainLimit, r.counters = time.Nanosecond, func(string) (Counters, error) { return Counters{"staging_blocks": 1}, nil }
	if err := r.drain(t.Context(), t.TempDir()); !errors.Is(err, ErrDrain) {
		t.Errorf("error %v", err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	r := runner(small())
	r.Config.Rounds = 2
	res, err := r.Run(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	res.Name = "here"
	file := filepath.Join(t.TempDir(), "r.json")
	var b bytes.Buffer
	if err := res.Save(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "here" || got.Environment.Kernel == "" || got.Environment.CPUs == 0 || len(got.Phases) != 5 || !reflect.DeepEqual(got.Config, res.Config) {
		t.Errorf("loaded %+v", got)
	}
	for i, p := range got.Phases {
		was := res.Phases[i]
		if !reflect.DeepEqual(p.Rounds, was.Rounds) || p.Quantile(0.99) != was.Quantile(0.99) {
			t.Errorf("phase %d: %+v, was %+v", i, p, was)
		}
	}
	var text bytes.Buffer
	if err := got.CSV(&text, DefaultPrices()); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&text).ReadAll()
	if err != nil || len(lines) != 1+5*2 || lines[1][1] != "Write big file" || lines[2][2] != "2" || lines[3][9] != "" {
		t.Errorf("%v, %q", err, lines)
	}

	for name, c := range map[string]struct{ text, want string }{
		"older":   {`{"kind":"bench","phases":[]}`, "its format is 0 and this version reads 1: run the benchmark again"},
		"newer":   {`{"format":7,"kind":"bench","phases":[]}`, "its format is 7"},
		"other":   {`{"a":1}`, "give a file that --json has written"},
		"text":    {"hello", "give a file that --json has written"},
		"cut":     {b.String()[:b.Len()/2], "give a file that --json has written"},
		"damaged": {strings.Replace(b.String(), `"hdr_ns": "H`, `"hdr_ns": "x`, 1), "not a result of a benchmark"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

// A mount that ends in the middle is told of in one line, with what is left to do.
func TestMountGone(t *testing.T) {
	r := runner(small())
	at := 0
	r.dropCaches = func(string) error { return nil }
	r.counters = func(string) (Counters, error) {
		if at++; at < 4 {
			return Counters{"uptime": 1}, nil
		}
		return nil, &os.PathError{Op: "open", Path: ".stats", Err: syscall.ENOTCONN}
	}
	_, err := r.Run(t.Context(), t.TempDir())
	if !errors.Is(err, ErrMountGone) || !strings.Contains(err.Error(), "remove /") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
}

func TestRemoveHook(t *testing.T) {
	for _, works := range []bool{true, false} {
		dir := t.TempDir()
		r := runner(small())
		asked := 0
		r.Remove = func(_ context.Context, path string) error {
			asked++
			if !works {
				return errors.New("no trash here")
			}
			return os.RemoveAll(path)
		}
		if _, err := r.Run(t.Context(), dir); err != nil || asked != 1 {
			t.Errorf("asked %d times, %v", asked, err)
		}
		assertEmpty(t, dir)
	}
}
