package bench

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// clock goes on by a further 100 ms at every look at it: 0.1 s, 0.2 s, ...
func clock() func() time.Time {
	now, step := time.Unix(1_700_000_000, 0), time.Duration(0)
	return func() time.Time {
		step += 100 * time.Millisecond
		now = now.Add(step)
		return now
	}
}

func report(t *testing.T, r *Result, colour bool) string {
	t.Helper()
	var b strings.Builder
	if err := r.Report(&b, colour); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func compare(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestReport(t *testing.T) {
	r := runner(Config{BlockSize: 1 << 20, BigFileSize: 8 << 20, SmallFileSize: 2048, SmallFileCount: 10, Threads: 2})
	r.now = clock()
	res, err := r.Run(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	compare(t, report(t, res, false), `
BlockSize: 1.0 MiB, BigFileSize: 8.0 MiB, SmallFileSize: 2.0 KiB, SmallFileCount: 10, NumThreads: 2
Time used: 8.8 s
+------------------+--------------+----------------+
|       ITEM       |    VALUE     |      COST      |
+------------------+--------------+----------------+
|   Write big file |  40.00 MiB/s |    0.40 s/file |
|    Read big file |  26.67 MiB/s |    0.60 s/file |
| Write small file | 25.0 files/s |  80.00 ms/file |
|  Read small file | 20.0 files/s | 100.00 ms/file |
|        Stat file | 16.7 files/s | 120.00 ms/file |
+------------------+--------------+----------------+
`)
}

func TestReportOfOwnMount(t *testing.T) {
	r := runner(Config{BigFileSize: 1 << 20, SkipSmall: true})
	r.now = clock()
	stats := []string{`
juicefs_cpu_usage 2.5
juicefs_memory 1000
juicefs_fuse_ops_total_read 10
juicefs_fuse_ops_total_write 5
juicefs_fuse_ops_durations_seconds_read 0.5
juicefs_fuse_ops_durations_seconds_write 0.25
juicefs_transaction_durations_histogram_seconds_total 3
juicefs_transaction_durations_histogram_seconds_sum 0.1
juicefs_meta_ops_total_Write 100
juicefs_meta_ops_duration_seconds_Write 100
juicefs_blockcache_write_hist_seconds_total 4
juicefs_blockcache_write_hist_seconds_sum 1
juicefs_blockcache_hits 12
`, `
juicefs_cpu_usage 4
juicefs_memory 188953395
juicefs_fuse_ops_total_read 110
juicefs_fuse_ops_total_write 5
juicefs_fuse_ops_total_flush 1
juicefs_fuse_ops_durations_seconds_read 1.5
juicefs_fuse_ops_durations_seconds_write 0.25
juicefs_fuse_ops_durations_seconds_flush 0.01
juicefs_transaction_durations_histogram_seconds_total 13
juicefs_transaction_durations_histogram_seconds_sum 0.15
juicefs_meta_ops_total_Write 200
juicefs_meta_ops_duration_seconds_Write 200
juicefs_object_request_durations_histogram_seconds_PUT_total 2
juicefs_object_request_durations_histogram_seconds_PUT_sum 0.5
juicefs_blockcache_write_hist_seconds_total 4
juicefs_blockcache_write_hist_seconds_sum 1
juicefs_blockcache_hits 15
`}
	r.counters = func(string) (Counters, error) {
		c := parseCounters([]byte(stats[0]))
		stats = stats[len(stats)-1:]
		return c, nil
	}
	r.dropCaches = func(string) error { return errNotRoot }
	res, err := r.Run(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	compare(t, report(t, res, false), `
BlockSize: 1.0 MiB, BigFileSize: 1.0 MiB, NumThreads: 1
Time used: 2.5 s, CPU: 60.0%, Memory: 180.2 MiB
+------------------+----------------+--------------+
|       ITEM       |     VALUE      |     COST     |
+------------------+----------------+--------------+
|   Write big file |     2.50 MiB/s |  0.40 s/file |
|    Read big file |     1.67 MiB/s |  0.60 s/file |
|   FUSE operation | 101 operations |  10.00 ms/op |
|      Update meta |  10 operations |   5.00 ms/op |
|       Put object |   2 operations | 250.00 ms/op |
| Write into cache |   0 operations |   0.00 ms/op |
+------------------+----------------+--------------+
Read and stat figures may come from the kernel's caches: only root can drop the kernel's caches
`)
}

func TestReportOfFailedRun(t *testing.T) {
	write := Phase{Name: "Write big file", Measure: Throughput}
	read := Phase{Name: "Read big file", Op: Read, Measure: Throughput}
	res := &Result{
		Config: Config{BlockSize: 4096, BigFileSize: 1 << 20, SkipSmall: true, Threads: 1},
		Phases: []PhaseResult{
			{Phase: write, Threads: 1, Rounds: []Round{{Files: 1, Bytes: 1 << 20}}},
			{Phase: read, Threads: 1, Rounds: []Round{{Failed: "broken"}}},
		},
	}
	compare(t, report(t, res, true), `
BlockSize: 4.0 KiB, BigFileSize: 1.0 MiB, NumThreads: 1
Time used: 0.0 s
+----------------+---------------------+-------------+
|      ITEM      |        VALUE        |    COST     |
+----------------+---------------------+-------------+
| Write big file | `+green+`1000000000.00 MiB/s`+plain+` | `+green+`0.00 s/file`+plain+` |
|  Read big file | `+red+`             failed`+plain+` | `+red+`          -`+plain+` |
+----------------+---------------------+-------------+
`)
}

func TestReadCounters(t *testing.T) {
	const text = "juicefs_uptime 12.5\nother 3\njuicefs_bad x\njuicefs_alone\njuicefs_big 1e+09\n\n"
	want := Counters{"uptime": 12.5, "big": 1e9}
	for _, c := range []struct {
		name, text string
		want       Counters
	}{
		{".stats", text, want},
		{".jfs.stats", text, want},
		{".stats", "somebody's own file\n", nil},
		{"unrelated", text, nil},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, c.name), []byte(c.text), 0o444); err != nil {
			t.Fatal(err)
		}
		if got, err := readCounters(dir); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %q: %v, %v; want %v", c.name, c.text, got, err, c.want)
		}
	}

	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".stats"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := readCounters(dir); err != nil || got != nil {
		t.Errorf("a directory: %v, %v", got, err)
	}
	if err := os.Symlink(".jfs.stats", filepath.Join(dir, ".jfs.stats")); err != nil {
		t.Fatal(err)
	}
	if got, err := readCounters(dir); !errors.Is(err, syscall.ELOOP) || got != nil {
		t.Errorf("an unreadable file: %v, %v", got, err)
	}
}

func TestCountersFailure(t *testing.T) {
	broken := errors.New("broken")
	for at := range 2 {
		dir := t.TempDir()
		r := runner(small())
		r.counters = func(string) (Counters, error) {
			if at--; at < 0 {
				return nil, broken
			}
			return Counters{}, nil
		}
		if _, err := r.Run(t.Context(), dir); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
		assertEmpty(t, dir)
	}
}

func TestMountRoot(t *testing.T) {
	if root, err := mountRoot("/proc/self"); err != nil || root != "/proc" {
		t.Errorf("of /proc/self: %s, %v", root, err)
	}
	if root, err := mountRoot("/"); err != nil || root != "/" {
		t.Errorf("of /: %s, %v", root, err)
	}
	if _, err := mountRoot(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of a missing path: %v", err)
	}
}

func TestDropCaches(t *testing.T) {
	dir := t.TempDir()
	control := filepath.Join(dir, "drop_caches")
	if err := os.WriteFile(control, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := dropCaches(dir, control)
	got, rerr := os.ReadFile(control)
	if rerr != nil {
		t.Fatal(rerr)
	}
	if os.Geteuid() != 0 {
		if !errors.Is(err, errNotRoot) || len(got) != 0 {
			t.Errorf("not root: wrote %q, error %v", got, err)
		}
		return
	}
	if err != nil || string(got) != "3\n" {
		t.Errorf("wrote %q, error %v", got, err)
	}
	if err := dropCaches(filepath.Join(dir, "missing"), control); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}
