package bench

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// small is a workload that is over at once: 3 threads, a big file of two and a half blocks, small files of a block
// and a bit.
func small() Config {
	return Config{BlockSize: 4096, BigFileSize: 10240, SmallFileSize: 5000, SmallFileCount: 4, Threads: 3}
}

// runner leaves the machine's caches alone.
func runner(c Config) *Runner {
	return &Runner{
		Config: c, dropCaches: func(string) error { return nil }, sync: func(context.Context, string) error { return nil },
	}
}

// tree returns the lengths of all files below dir by their base names.
func tree(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	sizes := map[string]int64{}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		sizes[d.Name()] = info.Size()
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return sizes
}

func assertEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("left behind in %s: %v, %v", dir, entries, err)
	}
}

func TestRunCounts(t *testing.T) {
	dir := t.TempDir()
	r := runner(small())
	var seen []map[string]int64
	r.dropCaches = func(scratch string) error {
		if filepath.Dir(scratch) != dir || !strings.HasPrefix(filepath.Base(scratch), "__juicefs_benchmark_") {
			t.Errorf("works in %s", scratch)
		}
		seen = append(seen, tree(t, scratch))
		return nil
	}
	res, err := r.Run(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}

	big := map[string]int64{}
	all := map[string]int64{}
	for thread := range 3 {
		name := fmt.Sprintf("bigfile.%d.0", thread)
		big[name], all[name] = 10240, 10240
		for i := range 4 {
			all[fmt.Sprintf("smallfile.%d.%d", thread, i)] = 5000
		}
	}
	if want := []map[string]int64{big, all, all}; !reflect.DeepEqual(seen, want) {
		t.Errorf("files before the reads: %v, want %v", seen, want)
	}
	want := []struct {
		name         string
		files, bytes int64
	}{
		{"Write big file", 3, 30720},
		{"Read big file", 3, 30720},
		{"Write small file", 12, 60000},
		{"Read small file", 12, 60000},
		{"Stat file", 12, 0},
	}
	if len(res.Phases) != len(want) {
		t.Fatalf("%d phases", len(res.Phases))
	}
	for i, w := range want {
		p := res.Phases[i]
		if p.Phase.Name != w.name || p.Files() != w.files || p.Bytes() != w.bytes || p.Threads != 3 || p.Failed() != "" || len(p.Rounds) != 1 {
			t.Errorf("phase %d: %+v, want %+v", i, p, w)
		}
	}
	if res.CachesKept != nil || res.Before != nil || res.After != nil {
		t.Errorf("result: %+v", res)
	}
	assertEmpty(t, dir)
}

func TestContents(t *testing.T) {
	r := runner(Config{SkipBig: true, BlockSize: 1000, SmallFileSize: 40_000, SmallFileCount: 5, Threads: 2})
	r.dropCaches = func(scratch string) error {
		var all bytes.Buffer
		w, err := flate.NewWriter(&all, flate.BestCompression)
		if err != nil {
			return err
		}
		for name := range tree(t, scratch) {
			data, err := os.ReadFile(filepath.Join(scratch, name))
			if err != nil {
				return err
			}
			if _, err := w.Write(data); err != nil {
				return err
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
		if all.Len() < 10*40_000 {
			t.Errorf("400000 bytes in 10 files can be compressed to %d", all.Len())
		}
		return nil
	}
	res, err := r.Run(t.Context(), t.TempDir())
	if err != nil || res.CachesKept != nil {
		t.Fatal(err, res.CachesKept)
	}
}

func TestPattern(t *testing.T) {
	const piece = 3*maxPeriod + 5
	c, err := Config{BigFileSize: 4 * maxPeriod, BlockSize: piece, Threads: 2}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p := newPattern(1, c)
	if p.period != maxPeriod || len(p.random) != maxPeriod+piece {
		t.Errorf("period %d, %d bytes", p.period, len(p.random))
	}
	second := p.start(1, c.BigFileSize)
	whole := bytes.Clone(p.at(second, 0, piece))
	for _, off := range []int64{0, 1, maxPeriod - 1, maxPeriod, 2*maxPeriod + 4} {
		if !bytes.Equal(p.at(second, off, 100), whole[off:off+100]) {
			t.Errorf("bytes at %d are not those of the whole", off)
		}
	}
	if bytes.Equal(p.at(p.start(0, c.BigFileSize), 0, 100), whole[:100]) {
		t.Error("the files of two threads have the same contents")
	}
	if other := newPattern(2, c); bytes.Equal(other.at(second, 0, 100), whole[:100]) {
		t.Error("two runs have the same contents")
	}

	p = newPattern(1, Config{SkipBig: true, SmallFileSize: 10, SmallFileCount: 3, Threads: 2, BlockSize: 4096})
	if p.period != 6*(10+stagger) || len(p.random) != int(p.period)+10 {
		t.Errorf("few files: period %d, %d bytes", p.period, len(p.random))
	}
}

func TestFaultsAreFound(t *testing.T) {
	change := func(name string, at int64, b []byte) error {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(b, at)
		return errors.Join(err, f.Close())
	}
	for _, c := range []struct {
		name, phase string
		spoil       func(scratch string) error
		want        error
	}{
		{"big file cut", "Read big file", func(s string) error {
			return os.Truncate(filepath.Join(s, "bigfile.1.0"), 10239)
		}, ErrContents},
		{"big file grown", "Read big file", func(s string) error {
			return os.Truncate(filepath.Join(s, "bigfile.1.0"), 10241)
		}, ErrContents},
		{"small file cut", "Read small file", func(s string) error {
			return os.Truncate(filepath.Join(s, "smallfile.2.3"), 4096)
		}, ErrContents},
		{"small file changed", "Read small file", func(s string) error {
			data, err := os.ReadFile(filepath.Join(s, "smallfile.0.1"))
			if err != nil {
				return err
			}
			return change(filepath.Join(s, "smallfile.0.1"), 4999, []byte{data[4999] ^ 1})
		}, ErrContents},
		{"small files mixed up", "Read small file", func(s string) error {
			return os.Rename(filepath.Join(s, "smallfile.0.1"), filepath.Join(s, "smallfile.0.2"))
		}, fs.ErrNotExist},
		{"small file removed before stat", "Stat file", func(s string) error {
			return os.Remove(filepath.Join(s, "smallfile.0.1"))
		}, fs.ErrNotExist},
		{"small file grown before stat", "Stat file", func(s string) error {
			return os.Truncate(filepath.Join(s, "smallfile.0.1"), 5001)
		}, ErrContents},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			cold := map[string]int{"Read big file": 1, "Read small file": 2, "Stat file": 3}[c.phase]
			r := runner(small())
			r.Config.Threads = 3
			r.dropCaches = func(scratch string) error {
				if cold--; cold == 0 {
					return c.spoil(scratch)
				}
				return nil
			}
			res, err := r.Run(t.Context(), dir)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), strings.ToLower(c.phase)) {
				t.Fatalf("error %v, want %v in phase %s", err, c.want, c.phase)
			}
			last := res.Phases[len(res.Phases)-1]
			if res.CachesKept != nil || last.Phase.Name != c.phase || last.Failed() == "" {
				t.Errorf("spoiled: %v; last phase %+v", res.CachesKept, last)
			}
			assertEmpty(t, dir)
		})
	}
}

func TestCancel(t *testing.T) {
	for i, name := range []string{"Write big file", "Read big file", "Write small file", "Read small file", "Stat file"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := runner(small())
			r.Progress = func(p Progress) {
				if p.Phase.Name == name {
					cancel()
				}
			}
			res, err := r.Run(ctx, dir)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			if len(res.Phases) != i+1 || res.Phases[i].Files() != 0 || res.Phases[i].Bytes() != 0 {
				t.Errorf("phases %+v", res.Phases)
			}
			assertEmpty(t, dir)
		})
	}
}

func TestProgress(t *testing.T) {
	var first, last []Progress
	r := runner(small())
	r.Progress = func(p Progress) {
		if n := len(last); n == 0 || last[n-1].Phase.Name != p.Phase.Name {
			first, last = append(first, p), append(last, p)
			return
		}
		was := &last[len(last)-1]
		if p.Files < was.Files || p.Bytes < was.Bytes {
			t.Errorf("went back from %+v to %+v", *was, p)
		}
		*was = p
	}
	if _, err := r.Run(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if len(first) != 5 {
		t.Fatalf("%d phases told", len(first))
	}
	for i, p := range last {
		bytes := []int64{30720, 30720, 60000, 60000, 0}[i]
		files := []int64{3, 3, 12, 12, 12}[i]
		if first[i].Files != 0 || first[i].Bytes != 0 || first[i].TotalFiles != files || first[i].TotalBytes != bytes {
			t.Errorf("first of phase %d: %+v", i, first[i])
		}
		if p.Files != files || p.Bytes != bytes || p.TotalFiles != files || p.TotalBytes != bytes {
			t.Errorf("last of phase %d: %+v", i, p)
		}
	}
}

func TestLeaveOut(t *testing.T) {
	for _, c := range []struct {
		skipBig, skipSmall bool
		want               []string
	}{
		{true, false, []string{"Write small file", "Read small file", "Stat file"}},
		{false, true, []string{"Write big file", "Read big file"}},
	} {
		cfg := small()
		cfg.SkipBig, cfg.SkipSmall = c.skipBig, c.skipSmall
		res, err := runner(cfg).Run(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range res.Phases {
			got = append(got, p.Phase.Name)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("phases %q, want %q", got, c.want)
		}
	}
}

func TestConfig(t *testing.T) {
	got, err := Config{}.withDefaults()
	want := Config{BlockSize: 1 << 20, BigFileSize: 1 << 30, SmallFileSize: 128 << 10, SmallFileCount: 100, Threads: 1, Rounds: 1}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("defaults: %+v, %v", got, err)
	}
	for _, bad := range []Config{
		{BlockSize: -1}, {BlockSize: 1<<30 + 1}, {BigFileSize: -1}, {SmallFileSize: -1},
		{SmallFileCount: -1}, {Threads: -1}, {Rounds: -1}, {Caches: "lukewarm"}, {SkipBig: true, SkipSmall: true},
	} {
		dir := t.TempDir()
		res, err := runner(bad).Run(t.Context(), dir)
		if !errors.Is(err, ErrConfig) || res != nil {
			t.Errorf("%+v: %+v, %v", bad, res, err)
		}
		assertEmpty(t, dir)
	}
}

func TestBadPath(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		want error
		text string
	}{
		{filepath.Join(dir, "missing"), fs.ErrNotExist, "create the directory first"},
		{file, syscall.ENOTDIR, "give a directory"},
		{filepath.Join(file, "below"), syscall.ENOTDIR, "not a directory"},
	} {
		res, err := runner(small()).Run(t.Context(), c.path)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), c.path) || res != nil {
			t.Errorf("%s: %+v, %v; want %v and %q", c.path, res, err, c.want, c.text)
		}
	}
}
