package prefetch_test

import (
	"math/rand/v2"
	"testing"

	"jfs/prefetch"
)

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
)

type read struct{ off, n int64 }

func TestDetectorWindows(t *testing.T) {
	seq := func(from, n int64, count int) (rs []read) {
		for i := range int64(count) {
			rs = append(rs, read{from + i*n, n})
		}
		return rs
	}
	for name, c := range map[string]struct {
		reads []read
		want  prefetch.Window // after the last one
	}{
		"begin of a file":           {seq(0, 128*kib, 1), prefetch.Window{Off: 128 * kib, Len: 4 * mib}},
		"one read in the middle":    {seq(100*mib, 128*kib, 1), prefetch.Window{Off: 100*mib + 128*kib}},
		"two reads in the middle":   {seq(100*mib, 128*kib, 2), prefetch.Window{Off: 100*mib + 256*kib, Len: 4 * mib}},
		"small reads":               {seq(100*mib, 512, 3), prefetch.Window{Off: 100*mib + 1536, Len: 4 * mib}},
		"same read again and again": {[]read{{7 * mib, 4096}, {7 * mib, 4096}, {7 * mib, 4096}}, prefetch.Window{Off: 7*mib + 4096}},
		"doubled after 4 MiB":       {seq(0, 128*kib, 33), prefetch.Window{Off: 33 * 128 * kib, Len: 8 * mib}},
		"not yet doubled":           {seq(0, 128*kib, 32), prefetch.Window{Off: 32 * 128 * kib, Len: 4 * mib}},
		"largest":                   {seq(0, mib, 200), prefetch.Window{Off: 200 * mib, Len: 32 * mib}},
		"jump":                      {append(seq(0, mib, 200), read{900 * mib, mib}), prefetch.Window{Off: 901 * mib}},
		"back after a jump":         {append(seq(0, mib, 200), read{900 * mib, mib}, read{200 * mib, mib}), prefetch.Window{Off: 201 * mib, Len: 32 * mib}},
		"backwards":                 {[]read{{9 * mib, mib}, {8 * mib, mib}, {7 * mib, mib}, {6 * mib, mib}}, prefetch.Window{Off: 8 * mib}},
		"strided":                   {[]read{{mib, 4096}, {mib + 65536, 4096}, {mib + 131072, 4096}, {mib + 196608, 4096}}, prefetch.Window{Off: mib + 196608 + 4096}},
		"small gaps":                {[]read{{mib, 8192}, {mib + 12288, 8192}, {mib + 24576, 8192}}, prefetch.Window{Off: mib + 32768, Len: 4 * mib}},
		"overtaken":                 {[]read{{128 * kib, 128 * kib}, {0, 128 * kib}}, prefetch.Window{Off: 256 * kib, Len: 4 * mib}},
		"overtaken in the middle":   {[]read{{50 * mib, mib}, {49 * mib, mib}, {51 * mib, mib}}, prefetch.Window{Off: 52 * mib, Len: 4 * mib}},
		"nothing":                   {[]read{{5, 0}}, prefetch.Window{Off: 5}},
		"nonsense":                  {[]read{{-5, 10}, {1<<63 - 1, 10}, {7, -1}}, prefetch.Window{Off: 7}},
	} {
		t.Run(name, func(t *testing.T) {
			d := prefetch.NewDetector(prefetch.DetectorOptions{})
			var got prefetch.Window
			for _, r := range c.reads {
				got = d.Observe(r.off, r.n)
			}
			if got != c.want {
				t.Errorf("window %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestDetectorTellsStreamsApart(t *testing.T) {
	d := prefetch.NewDetector(prefetch.DetectorOptions{})
	var w [4]prefetch.Window
	for i := range int64(100) {
		for s := range int64(4) {
			w[s] = d.Observe(s<<30+i*mib, mib)
		}
	}
	for s := range int64(4) {
		if want := (prefetch.Window{Off: s<<30 + 100*mib, Len: 32 * mib}); w[s] != want {
			t.Errorf("stream %d: %+v, want %+v", s, w[s], want)
		}
	}
}

// A stream survives random reads elsewhere in the file, as long as its context does.
func TestDetectorStreamAmongRandomReads(t *testing.T) {
	d := prefetch.NewDetector(prefetch.DetectorOptions{})
	r := rand.New(rand.NewPCG(1, 2))
	var w prefetch.Window
	for i := range int64(100) {
		w = d.Observe(i*mib, mib)
		for range 3 {
			d.Observe(10<<30+r.Int64N(1<<40), 4096)
		}
	}
	if w.Len != 32*mib {
		t.Errorf("window %+v", w)
	}
}

func TestDetectorReordered(t *testing.T) {
	d := prefetch.NewDetector(prefetch.DetectorOptions{})
	r := rand.New(rand.NewPCG(3, 4))
	var w prefetch.Window
	for group := range int64(100) {
		for _, i := range r.Perm(8) {
			w = d.Observe((group*8+int64(i))*128*kib, 128*kib)
		}
	}
	if want := (prefetch.Window{Off: 100 * mib, Len: 32 * mib}); w != want {
		t.Errorf("window %+v, want %+v", w, want)
	}
}

func TestDetectorRandomReadsHaveNoWindow(t *testing.T) {
	for _, n := range []int64{4 * kib, 128 * kib} {
		d := prefetch.NewDetector(prefetch.DetectorOptions{})
		r := rand.New(rand.NewPCG(5, 6))
		windows := 0
		for range 10_000 {
			if w := d.Observe(mib+r.Int64N(10<<30)/n*n, n); w.Len > 0 {
				windows++
			}
		}
		if windows > 50 { // two reads in a row may be neighbours by chance
			t.Errorf("%d windows in 10000 random reads of %d bytes", windows, n)
		}
	}
}

func TestDetectorOptions(t *testing.T) {
	d := prefetch.NewDetector(prefetch.DetectorOptions{Max: -1})
	if w := d.Observe(0, mib); w.Len != 0 {
		t.Errorf("window %+v with read-ahead off", w)
	}
	d = prefetch.NewDetector(prefetch.DetectorOptions{Max: mib})
	if w := d.Observe(0, mib); w.Len != mib {
		t.Errorf("window %+v with at most 1 MiB", w)
	}
	d = prefetch.NewDetector(prefetch.DetectorOptions{})
	if n := testing.AllocsPerRun(100, func() { d.Observe(rand.Int64N(1<<40), 4096) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	d := prefetch.NewDetector(prefetch.DetectorOptions{})
	for i := range b.N {
		d.Observe(int64(i)*128*kib, 128*kib)
	}
}
