package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"jfs/block"
	"jfs/cache"
	"jfs/internal/bytepool"
	"jfs/internal/posix"
	"jfs/meta"
	"jfs/meta/tkv"
	"jfs/object"
	"jfs/object/faulty"
	"jfs/upload"
	"jfs/upload/stage"
)

// life is that of a process: after some calls that change something outside of it, nothing it does has an effect.
type life struct {
	mu    sync.Mutex
	calls int
	stop  int  // the call that is the last; 0: none
	late  bool // the last one has its effect, and nobody learns of it
}

var errDead = errors.New("the process is dead")

// do makes a call.
func (l *life) do(f func() error) error {
	l.mu.Lock()
	l.calls++
	n, stop, late := l.calls, l.stop, l.late
	l.mu.Unlock()
	switch {
	case stop == 0 || n < stop:
		return f()
	case n == stop && late:
		_ = f() // nobody learns of it
	}
	return errDead
}

func (l *life) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop == 0 || l.stop > l.calls {
		l.stop, l.late = l.calls, false
	}
}

func (l *life) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

type mortalDisk struct {
	stage.Disk
	life *life
	sick *atomic.Bool
}

func (d mortalDisk) Open(name string) (f stage.File, err error) {
	err = d.life.do(func() error { f, err = d.Disk.Open(name); return err })
	return mortalFile{f, d.life, d.sick}, err
}
func (d mortalDisk) Rename(a, b string) error {
	return d.life.do(func() error { return d.Disk.Rename(a, b) })
}
func (d mortalDisk) Remove(a string) error {
	return d.life.do(func() error { return d.Disk.Remove(a) })
}

type mortalFile struct {
	stage.File
	life *life
	sick *atomic.Bool
}

func (f mortalFile) WriteAt(b []byte, off int64) (n int, err error) {
	if f.sick.Load() {
		return 0, syscall.EIO
	}
	err = f.life.do(func() error { n, err = f.File.WriteAt(b, off); return err })
	return n, err
}

func (f mortalFile) Close() error {
	if f.File == nil {
		return nil
	}
	return f.File.Close()
}

type mortalSink struct {
	*block.Store
	life *life
}

func (s mortalSink) Put(ctx context.Context, key block.Key, data []byte) error {
	return s.life.do(func() error { return s.Store.Put(ctx, key, data) })
}
func (s mortalSink) Delete(ctx context.Context, keys ...block.Key) error {
	return s.life.do(func() error { return s.Store.Delete(ctx, keys...) })
}

// mortalEngine counts changes, too.
type mortalEngine struct {
	meta.Engine
	life *life

	mu      sync.Mutex
	updates int
}

func (e *mortalEngine) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	e.mu.Lock()
	e.updates++
	e.mu.Unlock()
	return e.life.do(func() error { return e.Engine.Update(ctx, want, fn) })
}

// backRig is a volume with a cache directory.
type backRig struct {
	*rig
	dir   string
	block uint32
}

func newBackRig(t *testing.T, block uint32) *backRig {
	r := newRig(t, nil)
	if block != testBlock { // and statistics, which are written in the background, would be counted
		e := tkv.New(r.kv, tkv.Options{})
		f := meta.NewFormat("test", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
		f.BlockSize, f.TrashDays, f.DirStats = int(block>>10), 0, false
		if err := meta.Store(t.Context(), e, f, meta.Time{Sec: 1}); err != nil {
			t.Fatal(err)
		}
	}
	return &backRig{rig: r, dir: t.TempDir(), block: block}
}

// backMount is a mount in back mode.
type backMount struct {
	*FS
	life   *life
	engine *mortalEngine
	stage  *stage.Stage
	left   stage.Recovered
	pool   *bytepool.Pool
	sick   *atomic.Bool // the disk takes nothing
	end    []func(context.Context) error
	ended  bool
}

func (r *backRig) back(l *life, back Back, so stage.Options) *backMount {
	r.t.Helper()
	ctx := context.WithoutCancel(r.t.Context())
	m := &backMount{life: l, pool: bytepool.New(0), sick: &atomic.Bool{}}
	m.engine = &mortalEngine{Engine: tkv.New(r.kv, tkv.Options{}), life: l}
	store := block.New(r.objects, block.Options{BlockSize: int(r.block), Pool: m.pool})
	tiers := cache.NewTiered(store, cache.TieredOptions{})
	up := upload.New(mortalSink{store, l}, upload.Options{Cache: tiers})
	v, err := meta.Open(ctx, m.engine, meta.Options{Heartbeat: -1, NoBGJob: true, MaxDeletes: -1})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := v.StartSession(ctx, meta.SessionInfo{Version: meta.CompatVersion}); err != nil {
		r.t.Fatal(err)
	}
	so.BlockSize = r.block
	so.OpenDisk = func(dir string, mode iofs.FileMode) stage.Disk { return mortalDisk{stage.OS(dir, mode), l, m.sick} }
	if m.stage, m.left, err = stage.Open([]string{r.dir}, so); err != nil {
		r.t.Fatal(err)
	}
	back.Stage, back.Left = m.stage, m.left
	if back.Linger == 0 {
		back.Linger = time.Millisecond
	}
	m.FS = New(v, Options{Blocks: tiers, Uploader: up, Pool: m.pool, Stall: 10 * time.Second, FlushAge: time.Hour, Back: back})
	m.end = []func(context.Context) error{up.Close, v.Close,
		func(context.Context) error {
			return errors.Join(m.stage.Close(), tiers.Close(), store.Close(), m.engine.Close())
		}}
	r.t.Cleanup(func() {
		if m.ended {
			return
		}
		m.close(r.t)
	})
	return m
}

// close drains and ends the mount.
func (m *backMount) close(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	m.ended = true
	if err := m.FS.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	for _, end := range m.end {
		if err := end(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if used := m.pool.Used(); used != 0 {
		t.Errorf("%d bytes of the pool were not given back", used)
	}
}

// kill ends the mount without any effect.
func (m *backMount) kill() {
	m.life.kill()
	m.ended = true
	m.cancel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	close(m.stop)
	m.loop.Wait()
	m.work.Wait()
	m.drain.wait()
	for _, end := range m.end {
		_ = end(ctx) // whatever they say, nothing happens
	}
}

// never lets nothing be stored that nobody waits for.
var never = Back{Hours: func(time.Time) bool { return false }}

func putFile(t *testing.T, f *FS, name string, data []byte) {
	t.Helper()
	h := create(t, f, name)
	write(t, h, 0, data)
	flushed(t, h)
	h.Release(t.Context())
}

// shows checks the size and the contents of a file.
func shows(t *testing.T, f *FS, name string, want []byte) {
	t.Helper()
	h, _ := open(t, f, name, syscall.O_RDONLY)
	defer h.Release(t.Context())
	if a, err := f.GetAttr(t.Context(), h.Ino()); err != nil || a.Length != uint64(len(want)) {
		t.Errorf("%s has %d bytes, %v; want %d", name, a.Length, err, len(want))
		return
	}
	wantBytes(t, h, 0, want)
}

func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7) ^ byte(i>>8) ^ seed
	}
	return b
}

// TestBackCost: a thousand small files are few requests and few transactions.
func TestBackCost(t *testing.T) {
	var counts *faulty.Store
	r := newBackRig(t, 4<<20)
	counts = faulty.New(r.objects)
	r.objects = counts
	m := r.back(&life{}, never, stage.Options{})
	const n = 1000
	mounted := m.engine.updates
	for i := range n {
		putFile(t, m.FS, fmt.Sprint("f", i), pattern(4096, byte(i)))
	}
	if counts.Calls(faulty.Put) != 0 || m.engine.updates-mounted != n {
		t.Errorf("%d PUTs, %d transactions before anything is drained", counts.Calls(faulty.Put), m.engine.updates-mounted)
	}
	before := m.engine.updates
	m.close(t)
	after := m.engine.updates - before
	// 4,096,000 bytes are one block. The end of the session is some transactions, too.
	if puts := counts.Calls(faulty.Put); puts != 1 || after > 4 {
		t.Errorf("%d PUTs and %d transactions for %d files", puts, after, n)
	}
	b := r.back(&life{}, Back{}, stage.Options{})
	for i := 0; i < n; i += 83 {
		shows(t, b.FS, fmt.Sprint("f", i), pattern(4096, byte(i)))
	}
	if gets := counts.Calls(faulty.Get); gets != 1 {
		t.Errorf("%d GETs", gets)
	}
}

// TestBackVisibility: this mount sees what it has written, others the version before, until it is published whole.
func TestBackVisibility(t *testing.T) {
	r := newBackRig(t, testBlock)
	arrived, gate := make(chan struct{}, 100), make(chan struct{})
	plain := r.objects
	r.objects = faulty.New(plain, faulty.Gate(faulty.Put, arrived, gate))
	m := r.back(&life{}, Back{}, stage.Options{})
	data := pattern(3*testBlock+17, 1)
	putFile(t, m.FS, "f", data)
	shows(t, m.FS, "f", data)
	<-arrived // it is being stored
	r.objects = plain
	other := r.mount(0)
	shows(t, other, "f", nil)

	// A file that replaces another does so with its data.
	putFile(t, m.FS, "old", []byte("old"))
	renamed := make(chan error, 1)
	go func() {
		renamed <- m.Rename(t.Context(), meta.Root, meta.Name{Dir: meta.RootIno, Name: "f"}, meta.Name{Dir: meta.RootIno, Name: "old"}, 0)
	}()
	if err := m.Rename(t.Context(), meta.Root, meta.Name{Dir: meta.RootIno, Name: "old"}, meta.Name{Dir: meta.RootIno, Name: "plain"}, 0); err != nil {
		t.Error(err)
	}
	close(gate)
	if err := <-renamed; err != nil {
		t.Error(err)
	}
	m.close(t)
	shows(t, r.mount(0), "plain", []byte("old"))
	shows(t, r.mount(0), "old", data)
}

// TestBackReplace: a rename over another file waits.
func TestBackReplace(t *testing.T) {
	r := newBackRig(t, testBlock)
	arrived, gate := make(chan struct{}, 100), make(chan struct{})
	plain := r.objects
	r.objects = faulty.New(plain, faulty.Gate(faulty.Put, arrived, gate))
	m := r.back(&life{}, never, stage.Options{})
	putFile(t, m.FS, "old", nil)
	putFile(t, m.FS, "new", []byte("new"))
	ctx, cancel := context.WithCancel(t.Context())
	renamed := make(chan error, 1)
	go func() {
		renamed <- m.Rename(ctx, meta.Root, meta.Name{Dir: meta.RootIno, Name: "new"}, meta.Name{Dir: meta.RootIno, Name: "old"}, 0)
	}()
	<-arrived // it does not wait for the hours of uploads
	cancel()
	if err := <-renamed; !errors.Is(err, context.Canceled) {
		t.Errorf("a rename that was given up: %v", err)
	}
	close(gate)
	if err := m.Rename(t.Context(), meta.Root, meta.Name{Dir: meta.RootIno, Name: "new"}, meta.Name{Dir: meta.RootIno, Name: "old"}, 0); err != nil {
		t.Error(err)
	}
	shows(t, r.mount(0), "old", []byte("new"))
}

// TestBackRemoved: what is removed is not stored.
func TestBackRemoved(t *testing.T) {
	r := newBackRig(t, testBlock)
	counts := faulty.New(r.objects)
	r.objects = counts
	m := r.back(&life{}, never, stage.Options{})
	for i := range 10 {
		putFile(t, m.FS, fmt.Sprint("f", i), pattern(testBlock+i, 1))
	}
	for i := range 10 {
		if err := m.Unlink(t.Context(), meta.Root, meta.RootIno, fmt.Sprint("f", i)); err != nil {
			t.Fatal(err)
		}
	}
	m.close(t)
	if n := counts.Calls(faulty.Put); n != 0 {
		t.Errorf("%d PUTs", n)
	}
	if left, err := os.ReadDir(filepath.Join(r.dir, stage.Sub)); err != nil || len(left) > 0 {
		t.Errorf("left in the stage: %v, %v", left, err)
	}
}

// TestBackTimes: publication changes nothing that stat has shown, also after a crash, whatever was set meanwhile.
func TestBackTimes(t *testing.T) {
	set := meta.Time{Sec: 1_000_000, Nsec: 3}
	mode := uint16(04755)
	cases := map[string]func(t *testing.T, f *FS, h *Handle){
		"written": func(*testing.T, *FS, *Handle) {},
		"times set": func(t *testing.T, f *FS, h *Handle) {
			change(t, f, h, meta.Change{Mtime: &set, Atime: &set})
		},
		"times and mode set": func(t *testing.T, f *FS, h *Handle) {
			change(t, f, h, meta.Change{Mtime: &set})
			change(t, f, h, meta.Change{Mode: &mode})
		},
		"written after that": func(t *testing.T, f *FS, h *Handle) {
			change(t, f, h, meta.Change{Mtime: &set})
			write(t, h, 5, []byte("more"))
			flushed(t, h)
		},
		"written, set, written, set": func(t *testing.T, f *FS, h *Handle) {
			change(t, f, h, meta.Change{Mtime: &set})
			write(t, h, 5, []byte("more"))
			flushed(t, h)
			later := meta.Time{Sec: 2_000_000}
			change(t, f, h, meta.Change{Mtime: &later})
		},
		"set to what it was": func(t *testing.T, f *FS, h *Handle) {
			a, err := f.vol.GetAttr(t.Context(), h.Ino())
			if err != nil {
				t.Fatal(err)
			}
			change(t, f, h, meta.Change{Mtime: &a.Mtime})
		},
	}
	for name, do := range cases {
		for _, crash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, crash %v", name, crash), func(t *testing.T) {
				r := newBackRig(t, testBlock)
				m := r.back(&life{}, never, stage.Options{})
				h := create(t, m.FS, "f")
				write(t, h, 0, []byte("something"))
				flushed(t, h)
				do(t, m.FS, h)
				before, err := m.GetAttr(t.Context(), h.Ino())
				if err != nil {
					t.Fatal(err)
				}
				ino := h.Ino()
				if crash {
					m.kill()
					m = r.back(&life{}, never, stage.Options{})
					if a, err := m.GetAttr(t.Context(), ino); err != nil || a.Mtime != before.Mtime || a.Mode != before.Mode || a.Length != before.Length {
						t.Errorf("after the crash: %+v, before %+v, %v", a, before, err)
					}
				} else {
					h.Release(t.Context())
				}
				m.close(t)
				after, err := r.mount(0).GetAttr(t.Context(), ino)
				if err != nil || after.Mtime != before.Mtime || after.Mode != before.Mode || after.Length != before.Length {
					t.Errorf("published: %+v, before %+v, %v", after, before, err)
				}
				if d := after.Ctime.Sub(before.Ctime); d < 0 || d > time.Microsecond {
					t.Errorf("the ctime has changed by %v", d)
				}
			})
		}
	}
}

func change(t *testing.T, f *FS, h *Handle, c meta.Change) {
	t.Helper()
	if _, err := f.SetAttr(t.Context(), meta.Root, h.Ino(), SetAttr{Change: c}, nil); err != nil {
		t.Fatal(err)
	}
}

// TestBackModel compares random operations with a byte array, while the drain works, and what another mount sees at
// the end.
func TestBackModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newBackRig(t, testBlock)
			back := Back{}
			if seed%3 == 2 {
				back.Threshold = 100_000
			}
			m := r.back(&life{}, back, stage.Options{Segment: 1 << 20})
			model := scramble(t, m.FS, seed, 300)
			m.close(t)
			shows(t, r.mount(0), "f", model)
		})
	}
}

// scramble does random operations on a file "f" and gives what it must hold.
func scramble(t *testing.T, f *FS, seed uint64, steps int) (model []byte) {
	rnd := rand.New(rand.NewPCG(seed, 9))
	h := create(t, f, "f")
	defer h.Release(t.Context())
	const most = 4 * testBlock
	for step := range steps {
		off := rnd.IntN(most)
		n := 1 + rnd.IntN(most-off)
		if rnd.IntN(3) > 0 {
			n = 1 + rnd.IntN(min(4096, most-off))
		}
		switch op := rnd.IntN(12); op {
		case 0, 1, 2, 3, 4:
			b := pattern(n, byte(step))
			write(t, h, off, b)
			if off+n > len(model) {
				model = append(model, make([]byte, off+n-len(model))...)
			}
			copy(model[off:], b)
		case 5, 6, 7:
			got := make([]byte, n)
			k, err := h.Read(t.Context(), uint64(off), got)
			want := model[min(off, len(model)):min(off+n, len(model))]
			if err != nil || k != len(want) || !bytes.Equal(got[:k], want) {
				t.Fatalf("step %d: read %d at %d gives %d bytes, %v; want %d; first difference %d", step, n, off, k, err, len(want), firstDiff(got[:min(k, len(want))], want))
			}
		case 8, 9:
			flushed(t, h)
		case 10:
			if err := h.Fsync(t.Context()); err != nil {
				t.Fatal(err)
			}
		case 11:
			size := rnd.IntN(most)
			if _, err := h.Truncate(t.Context(), meta.Root, uint64(size)); err != nil {
				t.Fatal(err)
			}
			model = append(model[:min(size, len(model)):min(size, len(model))], make([]byte, max(0, size-len(model)))...)
		}
	}
	flushed(t, h)
	return model
}

// TestBackKill ends the process at every call that changes something. What was flushed before is there on the next
// mount at once, and on others once that has drained it, and no file shows anything that it did not hold at some time.
func TestBackKill(t *testing.T) {
	const files = 3
	for _, late := range []bool{false, true} {
		for stop := 6; ; stop++ { // the mount itself makes a few
			r := newBackRig(t, testBlock)
			l := &life{stop: stop, late: late}
			m := r.back(l, Back{}, stage.Options{Segment: 100_000})
			states := make([][][]byte, files) // of each file, the last is what was written last
			sure := make([]int, files)        // the state that was flushed
			func() {
				for round := range 4 {
					for i := range files {
						name := fmt.Sprint("f", i)
						var h *Handle
						var err error
						if len(states[i]) == 0 {
							_, h, err = m.Create(t.Context(), meta.Root, meta.RootIno, name, meta.New{Mode: 0644}, syscall.O_RDWR|syscall.O_EXCL)
							if err != nil {
								return
							}
							states[i] = [][]byte{{}}
						} else if n, err := m.Lookup(t.Context(), meta.Root, meta.RootIno, name); err != nil {
							return
						} else if h, _, err = m.Open(t.Context(), meta.Root, n.Ino, syscall.O_RDWR); err != nil {
							return
						}
						last := states[i][len(states[i])-1]
						next := bytes.Clone(last)
						size := 1000 + 40_000*i
						off := max(0, len(last)-500)
						piece := pattern(size, byte(16*round+i))
						next = append(next[:off], piece...)
						states[i] = append(states[i], next)
						if _, err = h.Write(t.Context(), uint64(off), piece); err == nil {
							if round%2 == 0 {
								err = h.Fsync(t.Context())
							} else {
								err = h.Flush(t.Context())
							}
						}
						h.Release(t.Context())
						if err != nil {
							return
						}
						sure[i] = len(states[i]) - 1
					}
				}
			}()
			complete := l.count() < stop
			m.kill()
			check := func(where string, f *FS) {
				for i := range files {
					name := fmt.Sprint("f", i)
					n, err := f.Lookup(t.Context(), meta.Root, meta.RootIno, name)
					if errors.Is(err, posix.ENOENT) && sure[i] == 0 {
						continue
					}
					h, _, err2 := f.Open(t.Context(), meta.Root, n.Ino, syscall.O_RDONLY)
					if err != nil || err2 != nil {
						t.Fatal(where, err, err2)
					}
					got := make([]byte, 1<<20)
					k, err := h.Read(t.Context(), 0, got)
					h.Release(t.Context())
					ok := k == 0 && len(states[i]) == 0
					for _, s := range states[i][sure[i]:] {
						ok = ok || bytes.Equal(got[:k], s)
					}
					if err != nil || !ok {
						t.Errorf("stop at %d, late %v, %s: file %d has %d bytes, %v, of %d states, flushed %d", stop, late, where, i, k, err, len(states[i]), sure[i])
					}
				}
			}
			m = r.back(&life{}, never, stage.Options{})
			check("mounted again", m.FS)
			m.close(t)
			check("on another mount", r.mount(0))
			if left, err := os.ReadDir(filepath.Join(r.dir, stage.Sub)); err != nil || len(left) > 0 {
				files, _ := filepath.Glob(filepath.Join(r.dir, stage.Sub, "*", "*")) //nolint:errcheck // for the text
				t.Errorf("stop at %d: left in the stage: %v, %v", stop, files, err)
			}
			if t.Failed() {
				return
			}
			if complete {
				break
			}
		}
	}
}

// TestBackFallback: without a disk that takes anything data is stored at once, behind what was staged before.
func TestBackFallback(t *testing.T) {
	r := newBackRig(t, testBlock)
	counts := faulty.New(r.objects)
	r.objects = counts
	var now atomic.Int64
	m := r.back(&life{}, never, stage.Options{Now: func() time.Time { return time.Now().Add(time.Duration(now.Load())) }})
	h := create(t, m.FS, "f")
	data := pattern(10*testBlock, 3)
	write(t, h, 0, data[:1000])
	flushed(t, h)
	if counts.Calls(faulty.Put) != 0 {
		t.Error("a staged file was stored")
	}
	m.sick.Store(true)
	write(t, h, 1000, data[1000:])
	flushed(t, h)
	shows(t, r.mount(0), "f", data)
	m.sick.Store(false)
	now.Store(int64(time.Minute)) // after a pause
	write(t, h, 0, []byte("again"))
	flushed(t, h)
	copy(data, "again")
	shows(t, m.FS, "f", data)
	if g, err := r.mount(0).vol.GetAttr(t.Context(), h.Ino()); err != nil || g.Length != uint64(len(data)) {
		t.Error(g, err)
	}
	h.Release(t.Context())
	m.close(t)
	shows(t, r.mount(0), "f", data)
}

// TestBackRefused: what the volume has no room for stays in the stage, also over a restart, and harms no other file.
func TestBackRefused(t *testing.T) {
	r := newBackRig(t, testBlock)
	e := tkv.New(r.kv, tkv.Options{})
	limit := func(capacity uint64) {
		f, err := meta.Load(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		f.Capacity = capacity
		if err := meta.Store(t.Context(), e, f, meta.Time{Sec: 1}); err != nil {
			t.Fatal(err)
		}
	}
	m := r.back(&life{}, never, stage.Options{})
	big, small := pattern(200_000, 1), pattern(5000, 2)
	putFile(t, m.FS, "big", big)
	m.kill()
	limit(100_000) // set after the writes were accepted
	m = r.back(&life{}, never, stage.Options{})
	putFile(t, m.FS, "small", small)
	h, _ := open(t, m.FS, "big", syscall.O_RDWR)
	if _, err := h.Truncate(t.Context(), meta.Root, 10); !errors.Is(err, posix.ENOSPC) {
		t.Errorf("truncate behind a write that is refused: %v", err)
	}
	h.Release(t.Context())
	shows(t, m.FS, "big", big)
	m.close(t)
	shows(t, r.mount(0), "small", small)
	shows(t, r.mount(0), "big", nil)
	limit(0)
	m = r.back(&life{}, never, stage.Options{})
	shows(t, m.FS, "big", big)
	m.close(t)
	shows(t, r.mount(0), "big", big)
}

// TestBackStoreFails: who waits for a publication is told when it fails, and it comes later.
func TestBackStoreFails(t *testing.T) {
	r := newBackRig(t, testBlock)
	plain := r.objects
	r.objects = faulty.New(plain, faulty.First(1, faulty.Put, object.ErrDenied))
	m := r.back(&life{}, never, stage.Options{})
	h := create(t, m.FS, "f")
	write(t, h, 0, []byte("data"))
	flushed(t, h)
	if _, err := h.Truncate(t.Context(), meta.Root, 2); !errors.Is(err, posix.EIO) || !errors.Is(err, object.ErrDenied) {
		t.Errorf("truncate: %v", err)
	}
	if _, err := h.Truncate(t.Context(), meta.Root, 2); err != nil {
		t.Errorf("truncate again: %v", err)
	}
	h.Release(t.Context())
	shows(t, r.mount(0), "f", []byte("da"))
}
