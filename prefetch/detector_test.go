package prefetch_test

import (
	"math/rand/v2"
	"testing"
	"time"

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
		"begin of a file":           {seq(0, 128*kib, 1), ahead(128*kib, 4*mib, 128*kib)},
		"one read in the middle":    {seq(100*mib, 128*kib, 1), prefetch.Window{Off: 100*mib + 128*kib}},
		"two reads in the middle":   {seq(100*mib, 128*kib, 2), ahead(100*mib+256*kib, 4*mib, 100*mib+256*kib)},
		"small reads":               {seq(100*mib, 512, 3), prefetch.Window{Off: 100*mib + 1536, Len: 4 * mib}},
		"a portion later":           {seq(0, mib, 3), ahead(3*mib, 4*mib, 5*mib)},
		"same read again and again": {[]read{{7 * mib, 4096}, {7 * mib, 4096}, {7 * mib, 4096}}, prefetch.Window{Off: 7*mib + 4096}},
		"doubled after 4 MiB":       {seq(0, mib, 5), ahead(5*mib, 8*mib, 7*mib)},
		"not yet doubled":           {seq(0, 128*kib, 32), prefetch.Window{Off: 32 * 128 * kib, Len: 4 * mib}},
		"largest":                   {seq(0, mib, 200), prefetch.Window{Off: 200 * mib, Len: 32 * mib}},
		"jump":                      {append(seq(0, mib, 200), read{900 * mib, mib}), prefetch.Window{Off: 901 * mib}},
		"back after a jump":         {append(seq(0, mib, 200), read{900 * mib, mib}, read{200 * mib, mib}), ahead(201*mib, 32*mib, 231*mib)},
		"backwards, not yet":        {[]read{{9 * mib, mib}, {8 * mib, mib}, {7 * mib, mib}}, prefetch.Window{Off: 10 * mib}},
		"backwards":                 {[]read{{9 * mib, mib}, {8 * mib, mib}, {7 * mib, mib}, {6 * mib, mib}}, prefetch.Window{Off: 2 * mib, Len: 4 * mib, From: 2 * mib, To: 6 * mib}},
		"backwards in small reads":  {back(40*mib, 4096, 4), prefetch.Window{Off: 36*mib - 4*4096, Len: 4 * mib, From: 36*mib - 4*4096, To: 40*mib - 4*4096}},
		"backwards for long":        {back(100*mib, mib, 21), prefetch.Window{Off: 47 * mib, Len: 32 * mib, From: 47 * mib, To: 49 * mib}},
		"backwards to the begin":    {back(6*mib, mib, 5), prefetch.Window{Len: mib}},
		"small gaps":                {[]read{{mib, 8192}, {mib + 12288, 8192}, {mib + 24576, 8192}}, prefetch.Window{Off: mib + 32768, Len: 4 * mib}},
		"dense pieces":              {stride(mib, 4096, 64*kib, 4), ahead(mib+3*64*kib+4096, 4*mib, mib+3*64*kib+4096)},
		"pieces, not yet":           {stride(mib, 4096, mib, 3), prefetch.Window{Off: 3*mib + 4096}},
		"pieces":                    {stride(mib, 4096, mib, 4), pieces(4*mib+4096, 5*mib, mib, 4)},
		"pieces named before":       {stride(mib, 4096, mib, 5), prefetch.Window{Off: 5*mib + 4096}},
		"more pieces":               {stride(mib, 4096, mib, 6), pieces(6*mib+4096, 9*mib, mib, 4)},
		"pieces far apart":          {stride(mib, 4096, 70*mib, 4), pieces(211*mib+4096, 281*mib, 70*mib, 4)},
		"pieces backwards":          {stride(80*mib, 8192, -10*mib, 4), prefetch.Window{Off: 50*mib + 8192, Strided: prefetch.Strided{Off: 40 * mib, Len: 8192, Step: -10 * mib, Count: 4}}},
		"pieces to the begin":       {stride(40*mib, 8192, -10*mib, 4), prefetch.Window{Off: 10*mib + 8192, Strided: prefetch.Strided{Off: 0, Len: 8192, Step: -10 * mib, Count: 1}}},
		"overtaken":                 {[]read{{128 * kib, 128 * kib}, {0, 128 * kib}}, ahead(256*kib, 4*mib, 256*kib)},
		"overtaken in the middle":   {[]read{{50 * mib, mib}, {49 * mib, mib}, {51 * mib, mib}}, ahead(52*mib, 4*mib, 52*mib)},
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

// ahead is a window of which nothing before from is new.
func ahead(off, n, from int64) prefetch.Window {
	return prefetch.Window{Off: off, Len: n, From: from, To: off + n}
}

// pieces is what follows a read of 4 KiB that ends at off.
func pieces(off, first, step int64, count int) prefetch.Window {
	return prefetch.Window{Off: off, Strided: prefetch.Strided{Off: first, Len: 4096, Step: step, Count: count}}
}

func back(end, n int64, count int) (rs []read) {
	for i := range int64(count) {
		rs = append(rs, read{end - (i+1)*n, n})
	}
	return rs
}

func stride(from, n, step int64, count int) (rs []read) {
	for i := range int64(count) {
		rs = append(rs, read{from + i*step, n})
	}
	return rs
}

// Every byte of a stream is named once, in either direction, and nothing beyond the end.
func TestDetectorNamesEachByteOnce(t *testing.T) {
	const end, n = 100*mib + 77, 128 * kib
	for _, backwards := range []bool{false, true} {
		d := prefetch.NewDetector(prefetch.DetectorOptions{})
		d.Bound(end)
		named, windows := int64(0), 0
		at := int64(0)
		for i := int64(0); i*n < end; i++ {
			off, length := i*n, min(n, end-i*n)
			if backwards {
				off = max(end-(i+1)*n, 0)
				length = end - i*n - off
			}
			w := d.Observe(off, length)
			if w.From == w.To {
				continue
			}
			windows++
			named += w.To - w.From
			if windows > 1 && (!backwards && w.From != at || backwards && w.To != at) {
				t.Errorf("backwards %v: [%d, %d) named after %d", backwards, w.From, w.To, at)
			}
			if at = w.To; backwards {
				at = w.From
			}
			if w.From < 0 || w.To > end || w.From > w.To {
				t.Errorf("backwards %v: [%d, %d) named", backwards, w.From, w.To)
			}
		}
		if want := map[bool]int64{false: end - n, true: end - 4*n}[backwards]; named != want || windows > 50 {
			t.Errorf("backwards %v: %d bytes named in %d windows, want %d", backwards, named, windows, want)
		}
	}
}

// What was not taken is named again.
func TestDetectorRefused(t *testing.T) {
	d := prefetch.NewDetector(prefetch.DetectorOptions{})
	if w := d.Observe(0, mib); w != ahead(mib, 4*mib, mib) {
		t.Errorf("%+v", w)
	}
	d.Refused()
	if w := d.Observe(mib, mib); w != ahead(2*mib, 4*mib, 2*mib) {
		t.Errorf("%+v", w)
	}
	if w := d.Observe(2*mib, mib); w.From != w.To {
		t.Errorf("%+v", w)
	}
}

// The window is as large as the bandwidth-delay product, within First and Max.
func TestDetectorAim(t *testing.T) {
	d := prefetch.NewDetector(prefetch.DetectorOptions{})
	at := int64(0)
	window := func(aim int64) int64 {
		d.Aim(aim)
		w := d.Observe(at, mib)
		at += mib
		return w.Len
	}
	for range 100 {
		window(0)
	}
	for _, c := range [][2]int64{{0, 32 * mib}, {20 * mib, 20 * mib}, {100 * mib, 32 * mib}, {1, 4 * mib}, {0, 32 * mib}} {
		if got := window(c[0]); got != c[1] {
			t.Errorf("window %d with an aim of %d, want %d", got, c[0], c[1])
		}
	}
}

func TestPace(t *testing.T) {
	var p prefetch.Pace
	now := time.Unix(1000, 0)
	during := func(want int64) {
		t.Helper()
		if got := p.During(20 * time.Millisecond); got != want {
			t.Errorf("%d bytes in 20 ms, want %d", got, want)
		}
	}
	steps := func(n int, each time.Duration) {
		for range n {
			p.Observe(now, mib)
			now = now.Add(each)
		}
	}
	during(0)
	steps(10, 5*time.Millisecond)
	during(0)                      // not long enough yet
	steps(1, 5*time.Millisecond)   // 10 MiB in 50 ms
	during(8 * mib)                // twice what is read in 20 ms at 200 MiB/s
	steps(10, 10*time.Millisecond) // slower: 11 MiB in 105 ms, then 5 in 50
	if got := p.During(20 * time.Millisecond); got >= 8*mib || got < 4*mib {
		t.Errorf("%d bytes for a slower reader", got)
	}
	now = now.Add(2 * time.Second)
	steps(1, 0)
	during(0) // another reader, as far as is known
}

// Streams that leave more unread than they read cost those behind them the trust of their first bytes.
func TestDetectorTrust(t *testing.T) {
	var trust prefetch.Trust
	open := func() *prefetch.Detector {
		d := prefetch.NewDetector(prefetch.DetectorOptions{Trust: &trust})
		d.Bound(64 * mib)
		return d
	}
	header := func() int64 { // reads the begin of a file and closes it
		d := open()
		defer d.Close()
		return d.Observe(0, 64*kib).Len
	}
	if n := header(); n != 4*mib {
		t.Errorf("the first file has a window of %d", n)
	}
	for range 5 {
		if n := header(); n != 0 {
			t.Errorf("a file has a window of %d after one whose window was of no use", n)
		}
	}
	first := func(d *prefetch.Detector) int64 { // bytes read before there is a window
		for at := int64(0); ; at += 64 * kib {
			if d.Observe(at, 64*kib).Len > 0 {
				return at
			}
		}
	}
	if n := first(open()); n != 256*kib {
		t.Errorf("a window after %d bytes", n)
	}
	for range 3 { // windows of no use make it dearer
		d := open()
		first(d)
		d.Close()
	}
	if n := first(open()); n != mib {
		t.Errorf("a window after %d bytes", n)
	}
	for range 3 { // streams that go on make it cheaper
		d := open()
		for at := int64(0); at < 8*mib; at += mib {
			d.Observe(at, mib)
		}
	}
	if n := header(); n != 4*mib {
		t.Errorf("a window of %d after streams that went on", n)
	}
}

func TestDetectorStridedReadersAtOnce(t *testing.T) {
	d := prefetch.NewDetector(prefetch.DetectorOptions{})
	named := map[int64]int{}
	for i := range int64(40) {
		for s := range int64(3) {
			w := d.Observe((s+1)<<40+i*(s+3)*mib, 4096).Strided
			for k := range int64(w.Count) {
				named[w.Off+k*w.Step]++
			}
		}
	}
	for s := range int64(3) {
		for i := int64(4); i < 60; i++ {
			if n := named[(s+1)<<40+i*(s+3)*mib]; n != 1 {
				t.Errorf("piece %d of reader %d is named %d times", i, s, n)
			}
		}
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
		if w[s].Off != s<<30+100*mib || w[s].Len != 32*mib {
			t.Errorf("stream %d: %+v", s, w[s])
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
	if w.Off != 100*mib || w.Len != 32*mib {
		t.Errorf("window %+v", w)
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
