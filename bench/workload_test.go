package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestWorkloads runs what is built in, in small.
func TestWorkloads(t *testing.T) {
	names := Workloads()
	if !reflect.DeepEqual(names, []string{"checkpoint", "dataset", "metadata", "random", "untar"}) {
		t.Errorf("workloads %v", names)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			phases, err := ReadWorkload(name)
			if err != nil {
				t.Fatal(err)
			}
			for i := range phases {
				p := &phases[i]
				p.Files, p.Calls, p.Size, p.Block = min(p.Files, 10), min(p.Calls, 20), min(p.Size, 40<<10), min(p.Block, 4096)
				for j := range p.Sizes {
					p.Sizes[j] /= 10
				}
				p.Verify = Full
			}
			dir := t.TempDir()
			r := runner(Config{Phases: phases, Threads: 2, Rounds: 2, BlockSize: 1000, WarmUp: true})
			res, err := r.Run(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Phases) != len(phases) {
				t.Fatalf("%d phases", len(res.Phases))
			}
			for i, p := range phases {
				var items int64
				for thread := range 2 {
					items += 2 * int64(p.items(thread))
				}
				if got := res.Phases[i]; got.Files() != items || got.Bytes() != 2*2*p.moves(p.block(res.Config)) || items == 0 {
					t.Errorf("%s: %d items and %d bytes, want %d and %d", p.Name, got.Files(), got.Bytes(), items, 4*p.moves(p.block(res.Config)))
				}
			}
			assertEmpty(t, dir)
		})
	}
}

func TestTree(t *testing.T) {
	p := Phase{Set: "s", Dirs: 2, Depth: 2}
	r := &run{dir: "/x"}
	want := []string{"/x/s.1", "/x/s.1/d0", "/x/s.1/d1", "/x/s.1/d0/d0", "/x/s.1/d0/d1", "/x/s.1/d1/d0", "/x/s.1/d1/d1"}
	if got := r.tree(p, 1); !reflect.DeepEqual(got, want) || p.treeSize() != 7 {
		t.Errorf("%d: %v", p.treeSize(), got)
	}
	p.Shared = true
	if a, b := r.tree(p, 0), r.tree(p, 1); !reflect.DeepEqual(a, b) || p.items(0) != 0 {
		t.Errorf("shared: %v, %v", a, b)
	}
	sizes := Phase{Files: 7, Sizes: []int64{1, 10, 100}}
	if n := sizes.volume(); n != 3*1+2*10+2*100 {
		t.Errorf("volume %d", n)
	}
}

func TestBadWorkload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "w.yaml")
	for text, want := range map[string]string{
		"":                             "",
		"[]":                           "has no phases",
		"- {name: a, op: fly, set: s}": `phase 1 (a): invalid workload: no operation is called "fly"`,
		"- {op: read, set: s}":         "needs a name and a set",
		"- {name: a, op: read, set: s, size: -1}":                "sizes are not negative",
		"- {name: a, op: read, set: s, sice: 1}":                 "field sice not found",
		"- {name: a, op: random, set: s, size: 9}":               "random needs calls",
		"- {name: a, op: mkdir, set: s, dirs: 900, depth: 19}":   "the tree has more than",
		"- {name: a, op: read, set: s, caches: lukewarm}":        `no state of caches is called "lukewarm"`,
		"- {name: a, op: random, set: s, calls: 1, writes: 101}": "writes is a percentage",
		"{": "workload",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadWorkload(file)
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ReadWorkload(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "metadata") {
		t.Errorf("missing: %v", err)
	}
}

// tiers notes what it is told.
type tiers struct{ told []string }

func (t *tiers) note(word string) error { t.told = append(t.told, word); return nil }

func (t *tiers) Evict(context.Context, string) error     { return t.note("evict") }
func (t *tiers) Fill(context.Context, string) error      { return t.note("fill") }
func (t *tiers) Near(context.Context, string) error      { return t.note("near") }
func (t *tiers) EvictNear(context.Context, string) error { return t.note("evict near") }

func TestCacheStates(t *testing.T) {
	for state, want := range map[State][]string{
		Cold: {"evict", "drop"}, SSDWarm: {"fill", "evict near", "drop"}, MemoryWarm: {"near", "drop"}, KernelWarm: nil, Dropped: {"drop"},
	} {
		var c tiers
		r := runner(Config{BigFileSize: 10000, SkipSmall: true, Caches: state})
		r.Tiers = &c
		r.dropCaches = func(string) error { return c.note("drop") }
		res, err := r.Run(t.Context(), t.TempDir())
		if err != nil || !reflect.DeepEqual(c.told, want) || res.Phases[1].Phase.Caches != state {
			t.Errorf("%s: told %v, %v", state, c.told, err)
		}
	}
	dir := t.TempDir()
	if res, err := runner(Config{Caches: SSDWarm}).Run(t.Context(), dir); !errors.Is(err, ErrConfig) || res != nil {
		t.Errorf("without tiers: %v", err)
	}
	assertEmpty(t, dir)
}

// The state of the caches is not believed: the counters must show it.
func TestStateIsProved(t *testing.T) {
	one := Round{Bytes: 1 << 20}
	for _, c := range []struct {
		state State
		grown Counters
		want  string
	}{
		{Cold, Counters{"blockcache_miss_bytes": 1 << 20}, ""},
		{Cold, Counters{"blockcache_miss_bytes": 1 << 19}, "only 50% of the bytes came from the store"},
		{SSDWarm, Counters{"blockcache_disk_hit_bytes": 1 << 20}, ""},
		{SSDWarm, Counters{"blockcache_memory_hit_bytes": 1 << 20}, "nothing came from the cache on disk"},
		{SSDWarm, Counters{"blockcache_disk_hit_bytes": 1 << 19, "blockcache_miss_bytes": 1 << 19}, "50% of the bytes came from the store"},
		{MemoryWarm, Counters{"blockcache_memory_hit_bytes": 1 << 20}, ""},
		{MemoryWarm, Counters{"blockcache_disk_hit_bytes": 1 << 19}, "50% of the bytes came from further away"},
		{KernelWarm, Counters{"fuse_ops_total_open": 5}, ""},
		{KernelWarm, Counters{"fuse_ops_total_read": 8}, "asked the mount 8 times"},
		{Dropped, Counters{}, ""},
		{Cold, nil, ""},
	} {
		got := Phase{Op: Read, Caches: c.state}.proved(one, c.grown)
		if got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("%s, %v: %q, want %q", c.state, c.grown, got, c.want)
		}
	}
}

func TestPrices(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	for text, want := range map[string]string{
		"put: 0.01\nout: 0.09\n": "", "putt: 1": "give lines such as", "put: -1": "a number from 0 on", "put: much": "give lines such as",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := ReadPrices(file)
		if want == "" && (err != nil || p != Prices{Currency: "USD", Put: 0.01, Out: 0.09}) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %+v, %v", text, p, err)
		}
	}
}
