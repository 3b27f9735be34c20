package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jfs/block"
)

const blockSize = 4096

func open(t *testing.T, dir string, o Options) (*Stage, Recovered) {
	t.Helper()
	o.BlockSize = blockSize
	s, rec, err := Open([]string{dir}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s, rec
}

func closed(t *testing.T, s *Stage) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// data is what slice id of a test holds.
func data(id uint64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(uint64(i)*7 + id*31 + id>>8)
	}
	return b
}

func blocksOf(id uint64, size int) (all []Block) {
	d := data(id, size)
	for i := range block.Count(uint32(size), blockSize) {
		key := block.KeyAt(id, uint32(size), i, blockSize)
		all = append(all, Block{key, d[int(i)*blockSize:][:key.Size]})
	}
	return all
}

func commitOf(ino, id uint64, size int) *Commit {
	return &Commit{Ino: ino, Mtime: Time{int64(id), 1}, Base: Time{2, 3}, Extents: []Extent{{1, 2, id, uint32(size), 0, uint32(size)}}}
}

// add stages a slice with its commit.
func add(t *testing.T, s *Stage, ino, id uint64, size int) *Commit {
	t.Helper()
	c := commitOf(ino, id, size)
	if err := s.Append(t.Context(), blocksOf(id, size), c); err != nil {
		t.Fatal(err)
	}
	return c
}

// holds checks that the commits are those of these slices, in this order, with the right bytes.
func holds(t *testing.T, s *Stage, commits []*Commit, ids ...uint64) {
	t.Helper()
	var got []uint64
	for _, c := range commits {
		e := c.Extents[0]
		got = append(got, e.ID)
		if want := commitOf(c.Ino, e.ID, int(e.Size)); !slices.Equal(c.Extents, want.Extents) || c.Mtime != want.Mtime || c.Base != want.Base {
			t.Errorf("commit %+v, want %+v", c, want)
		}
		for _, b := range blocksOf(e.ID, int(e.Size)) {
			load, part := make([]byte, b.Key.Size), make([]byte, b.Key.Size-b.Key.Size/2)
			if err := s.Load(b.Key, load); err != nil || !bytes.Equal(load, b.Data) {
				t.Errorf("block %+v: other bytes, %v", b.Key, err)
			}
			if ok, err := s.ReadAt(b.Key, part, int(b.Key.Size/2)); !ok || err != nil || !bytes.Equal(part, b.Data[b.Key.Size/2:]) {
				t.Errorf("end of block %+v: %v, %v", b.Key, ok, err)
			}
		}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("slices %v, want %v", got, ids)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s, rec := open(t, dir, Options{})
	holds(t, s, rec.Commits)
	a, b := add(t, s, 1, 10, 100), add(t, s, 2, 11, 3*blockSize+5)
	c := add(t, s, 1, 12, 300_000) // is not written with one call
	holds(t, s, []*Commit{a, b, c}, 10, 11, 12)
	if err := s.Append(t.Context(), blocksOf(13, 100), nil); err != nil { // its commit never comes
		t.Fatal(err)
	}
	if err := s.Plan(t.Context(), []*Commit{a, c}, []Target{{10, 99, 5, 1000}, {12, 12, 0, 300_000}}); err != nil {
		t.Fatal(err)
	}
	s.Done(b)
	if ok, err := s.ReadAt(blocksOf(11, 3*blockSize+5)[0].Key, make([]byte, 1), 0); ok || err != nil {
		t.Errorf("a block that is done: %v, %v", ok, err)
	}
	closed(t, s)

	s, rec = open(t, dir, Options{})
	holds(t, s, rec.Commits, 10, 12)
	if p := rec.Commits[0].Planned; len(p) != 1 || p[0] != (Target{10, 99, 5, 1000}) {
		t.Errorf("planned: %+v", p)
	}
	if st := s.Stats(); st.Commits != 2 || st.Bytes != 300_100 || st.Blocks != 1+74 {
		t.Errorf("%+v", st)
	}
	d := add(t, s, 3, 14, 10)
	s.Done(rec.Commits...)
	closed(t, s)
	s, rec = open(t, dir, Options{})
	holds(t, s, rec.Commits, 14)
	if d.Staged != rec.Commits[0].Staged {
		t.Error("the time of staging is lost")
	}
	s.Done(rec.Commits...)
	closed(t, s)
	if left, err := os.ReadDir(filepath.Join(dir, Sub)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// file gives the only segment.
func file(t *testing.T, dir string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, Sub, "0", "*.seg"))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0]
}

// written makes a journal of a few records, and gives its bytes with the offsets at which the commits end.
func written(t *testing.T, dir string) (b []byte, ends []int64, sizes []int) {
	t.Helper()
	s, _ := open(t, dir, Options{Segment: 1 << 20})
	sizes = []int{50, 2*blockSize + 9, 1, 700}
	for i, n := range sizes {
		add(t, s, uint64(i%2), uint64(10+i), n)
		ends = append(ends, s.own.active.size)
	}
	closed(t, s)
	b, err := os.ReadFile(file(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	return b[:ends[len(ends)-1]], ends, sizes
}

// TestTorn cuts the journal at every byte: what was complete is there, and nothing else.
func TestTorn(t *testing.T) {
	dir := t.TempDir()
	b, ends, _ := written(t, dir)
	name := file(t, dir)
	for cut := range len(b) {
		torn := bytes.Clone(b[:cut])
		if cut%2 == 0 { // the file is as long as before
			torn = append(torn, bytes.Repeat([]byte{b[cut] + 1}, len(b)-cut)...)
		}
		if cut > 500 && cut < 8600 && cut%97 != 0 {
			continue // inside of a block
		}
		if err := os.WriteFile(name, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		s, rec, err := Open([]string{dir}, Options{BlockSize: blockSize})
		if err != nil {
			t.Fatal(err)
		}
		var want []uint64
		for i, end := range ends {
			if int64(cut) >= end {
				want = append(want, uint64(10+i))
			}
		}
		holds(t, s, rec.Commits, want...)
		if len(rec.Lost) > 0 {
			t.Errorf("lost %v", rec.Lost)
		}
		closed(t, s)
		if t.Failed() {
			t.Fatalf("cut at %d of %d", cut, len(b))
		}
		for _, more := range must(filepath.Glob(filepath.Join(dir, Sub, "0", "*"))) {
			if more != name && filepath.Base(more) != lockName {
				t.Fatalf("cut at %d: there is %s", cut, more)
			}
		}
		_ = os.MkdirAll(filepath.Dir(name), 0o700) // an empty journal removes itself
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestDamage changes one byte after the other: no wrong byte is given, files that are not concerned lose nothing, and
// what is not trusted is kept.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	b, ends, _ := written(t, dir)
	name := file(t, dir)
	for at := range b {
		if at > 500 && at < 8600 && at%97 != 0 {
			continue
		}
		bad := bytes.Clone(b)
		bad[at] ^= 0x40
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, rec, err := Open([]string{dir}, Options{BlockSize: blockSize})
		if err != nil {
			t.Fatal(err)
		}
		hit := slices.IndexFunc(ends, func(end int64) bool { return int64(at) < end })
		var got []uint64
		for _, c := range rec.Commits {
			got = append(got, c.Extents[0].ID)
		}
		holds(t, s, rec.Commits, got...)
		for i := range ends {
			there := slices.Contains(got, uint64(10+i))
			switch {
			case i < hit && !there && at > int(ends[0]):
				t.Errorf("slice %d was before the damage and is not there", 10+i)
			case i == hit && there && at >= headerSize+8:
				t.Errorf("slice %d was hit and is there", 10+i)
			case i > hit && i%2 == hit%2 && there && at >= headerSize+8:
				t.Errorf("slice %d is there, of a file that has lost one before", 10+i)
			}
		}
		torn := hit == len(ends)-1 && len(rec.Lost) == 0
		kept := len(must(filepath.Glob(name + ".bad")))
		if !torn && at >= headerSize+8 && (kept != 1 || len(rec.Lost) == 0 && hit < len(ends)-1) {
			t.Errorf("%d kept, lost %v", kept, rec.Lost)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("byte %d of %d, in commit %d: %v", at, len(b), hit, got)
		}
		_ = os.Remove(name + ".bad")
		_ = os.MkdirAll(filepath.Dir(name), 0o700)
	}
}

// disk is a Disk with faults.
type disk struct {
	Disk

	mu     sync.Mutex
	calls  int
	stopAt int // from this call that changes something on, all fail
	half   bool
	syncs  int
	gate   chan struct{} // syncs wait for it
	free   float64
	fail   error // of writes
}

var errDead = errors.New("dead")

func (d *disk) step() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if d.stopAt > 0 && d.calls >= d.stopAt {
		return errDead
	}
	return d.fail
}

func (d *disk) Open(name string) (File, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	f, err := d.Disk.Open(name)
	return &faultyFile{f, d}, err
}

func (d *disk) Rename(a, b string) error {
	return errors.Join(d.step(), d.then(func() error { return d.Disk.Rename(a, b) }))
}
func (d *disk) Remove(a string) error {
	return errors.Join(d.step(), d.then(func() error { return d.Disk.Remove(a) }))
}
func (d *disk) Free() (float64, error) { return d.free, nil }

func (d *disk) then(f func() error) error {
	d.mu.Lock()
	dead := d.stopAt > 0 && d.calls >= d.stopAt
	d.mu.Unlock()
	if dead {
		return nil
	}
	return f()
}

type faultyFile struct {
	File
	d *disk
}

func (f *faultyFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.d.step(); err != nil {
		f.d.mu.Lock()
		first := f.d.calls == f.d.stopAt
		f.d.mu.Unlock()
		if first && f.d.half {
			_, _ = f.File.WriteAt(b[:len(b)/2], off)
		}
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f *faultyFile) Sync() error {
	if err := f.d.step(); err != nil {
		return err
	}
	f.d.mu.Lock()
	f.d.syncs++
	gate := f.d.gate
	f.d.mu.Unlock()
	if gate != nil {
		gate <- struct{}{}
		<-gate
	}
	return f.File.Sync()
}

func onDisk(d *disk) Options {
	return Options{OpenDisk: func(dir string, mode fs.FileMode) Disk {
		d.Disk = OS(dir, mode)
		return d
	}, SyncEvery: time.Hour}
}

// TestSyncIsShared: those who want their data durable while a sync is under way share the next one.
func TestSyncIsShared(t *testing.T) {
	d := &disk{free: 1, gate: make(chan struct{})}
	s, _ := open(t, t.TempDir(), onDisk(d))
	flush := func(id uint64, done *sync.WaitGroup) {
		done.Go(func() {
			if err := s.Append(t.Context(), blocksOf(id, 100), commitOf(id, id, 100)); err != nil {
				t.Error(err)
			}
		})
	}
	var appended, synced sync.WaitGroup
	flush(1, &appended)
	appended.Wait()
	synced.Go(func() {
		if err := s.Sync(t.Context()); err != nil {
			t.Error(err)
		}
	})
	<-d.gate // the first sync is under way
	const n = 50
	for i := range uint64(n) {
		flush(2+i, &appended)
	}
	appended.Wait() // appending does not wait for it
	for range n {
		synced.Go(func() {
			if err := s.Sync(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Sync(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a sync that nobody waits for: %v", err)
	}
	d.gate <- struct{}{}
	<-d.gate
	d.gate <- struct{}{}
	synced.Wait()
	d.mu.Lock()
	d.gate = nil
	d.mu.Unlock()
	if d.syncs != 2 {
		t.Errorf("%d syncs for 1 and %d flushes", d.syncs, n)
	}
}

// TestSegments: segments go in order, and are used again without showing what they held.
func TestSegments(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, Options{Segment: 3000})
	var all []*Commit
	id := uint64(100)
	next := func() {
		all = append(all, add(t, s, id, id, 1000))
		id++
	}
	for range 20 {
		next()
	}
	files := func() int { return len(must(filepath.Glob(filepath.Join(dir, Sub, "0", "*.s*")))) }
	if n := len(s.own.segs); n != 7 {
		t.Errorf("%d segments", n)
	}
	for range 5 {
		s.Done(all[1:10]...)
		all = append(all[:1:1], all[10:]...)
		for range 9 {
			next()
		}
	}
	// The first commit, which is never done, has moved instead of keeping all segments.
	if n := len(s.own.segs); n > 12 {
		t.Errorf("%d segments for %d commits", n, len(all))
	}
	holds(t, s, all[:1], 100)
	for _, c := range all[1:] {
		s.Done(c)
	}
	for range 9 {
		s.Done(add(t, s, id, id, 1000))
		id++
	}
	if n := files(); n > spareMost+moveFrom {
		t.Errorf("%d files for one commit", n)
	}
	half := commitOf(6, 6, 2000) // its blocks are in an older segment than itself, and go before it
	if err := s.Append(t.Context(), blocksOf(6, 2000), nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.Done(add(t, s, id, id, 1000))
		id++
	}
	if err := s.Append(t.Context(), nil, half); err != nil {
		t.Fatal(err)
	}
	s.Done(half)
	last := add(t, s, 5, 5, 100)
	closed(t, s)
	s, rec := open(t, dir, Options{Segment: 3000})
	holds(t, s, rec.Commits, 100, 5)
	if len(rec.Lost) > 0 {
		t.Errorf("lost %v", rec.Lost)
	}
	if !slices.Equal(rec.Commits[1].Extents, last.Extents) {
		t.Error("other extents")
	}
}

// TestKill stops the disk at every call: what was appended is there afterwards, complete and in order, and at most
// one more.
func TestKill(t *testing.T) {
	for _, half := range []bool{false, true} {
		for stop := 1; ; stop++ {
			dir := t.TempDir()
			d := &disk{free: 1, stopAt: stop, half: half}
			o := onDisk(d)
			o.BlockSize, o.Segment = blockSize, 3000
			s, _, err := Open([]string{dir}, o)
			var ids, finished []uint64
			if err == nil {
				for i := range uint64(12) {
					c := commitOf(i%3, i, 600)
					if s.Append(t.Context(), blocksOf(i, 600), c) != nil {
						break
					}
					ids = append(ids, i)
					if i >= 4 && i%2 == 0 {
						if s.Plan(t.Context(), []*Commit{c}, nil) != nil {
							break
						}
						s.Done(c)
						finished = append(finished, i)
					}
				}
				_ = s.Close() // nothing reaches the disk any more
			}
			s, rec := open(t, dir, Options{Segment: 3000})
			var got []uint64
			for _, c := range rec.Commits {
				got = append(got, c.Extents[0].ID)
			}
			holds(t, s, rec.Commits, got...)
			for _, id := range ids {
				done := slices.Contains(finished, id)
				if there := slices.Contains(got, id); there == done && (!done || id != finished[len(finished)-1]) {
					t.Errorf("stop at %d: commit %d, done %v, is there: %v", stop, id, done, there)
				}
			}
			if len(rec.Lost) > 0 || len(got) > len(ids)-len(finished)+2 {
				t.Errorf("stop at %d: lost %v, have %v of %v", stop, rec.Lost, got, ids)
			}
			if t.Failed() {
				t.FailNow()
			}
			if d.calls < stop {
				break
			}
		}
	}
}

// TestTwoMounts: each has a journal of its own, and what the one that has ended left is found by the next.
func TestTwoMounts(t *testing.T) {
	dir := t.TempDir()
	a, _ := open(t, dir, Options{})
	b, rec := open(t, dir, Options{})
	holds(t, b, rec.Commits)
	add(t, a, 1, 1, 100)
	add(t, b, 2, 2, 100)
	closed(t, a)
	c, rec := open(t, dir, Options{})
	holds(t, c, rec.Commits, 1)
	closed(t, c)
	closed(t, b)
	d, rec := open(t, dir, Options{})
	holds(t, d, rec.Commits, 1, 2)
	add(t, d, 3, 3, 100)
	d.Done(rec.Commits...)
	closed(t, d)
	e, rec := open(t, dir, Options{})
	holds(t, e, rec.Commits, 3)
}

// TestTrouble: a disk that fails or is full takes nothing, and works again later.
func TestTrouble(t *testing.T) {
	now := time.Unix(1000, 0)
	var mu sync.Mutex
	d := &disk{free: 0.5}
	o := onDisk(d)
	o.FreeRatio = 0.1
	o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	later := func() { mu.Lock(); now = now.Add(retryAfter); mu.Unlock() }
	dir := t.TempDir()
	s, _ := open(t, dir, o)
	try := func(id uint64, want error) {
		t.Helper()
		if err := s.Append(t.Context(), blocksOf(id, 100), commitOf(id, id, 100)); !errors.Is(err, want) {
			t.Errorf("append: %v, want %v", err, want)
		}
	}
	set := func(f func()) { d.mu.Lock(); f(); d.mu.Unlock() }
	try(1, nil)
	set(func() { d.free = 0.05 })
	later()
	try(2, ErrFull)
	set(func() { d.free = 0.5 })
	later()
	try(3, nil)
	set(func() { d.fail = errDead })
	try(4, errDead)
	set(func() { d.fail = nil })
	try(5, ErrPaused)
	later()
	try(6, nil)
	c := commitOf(7, 7, 100)
	if err := s.Append(t.Context(), blocksOf(7, 100), c); err != nil {
		t.Fatal(err)
	}
	set(func() { d.fail = errDead })
	if err := s.Sync(t.Context()); !errors.Is(err, errDead) || s.Durable(c) {
		t.Errorf("sync: %v", err)
	}
	set(func() { d.fail = nil })
	later()
	try(8, nil)
	if err := s.Sync(t.Context()); err != nil || s.Durable(c) {
		t.Errorf("a sync after one that has failed: %v", err)
	}
	if st := s.Stats(); st.Commits != 5 || st.Errors != 2 {
		t.Errorf("%+v", st)
	}
	closed(t, s)
	s, rec := open(t, dir, Options{})
	holds(t, s, rec.Commits, 1, 3, 6, 7, 8)
}

func TestOtherVersion(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, Options{})
	add(t, s, 1, 1, 100)
	closed(t, s)
	if _, _, err := Open([]string{dir}, Options{BlockSize: 1 << 20}); err == nil || !strings.Contains(err.Error(), "blocks of 4096 bytes") {
		// The next journal can be used, so the stage opens; the old one must still be there.
		s, rec := open(t, dir, Options{})
		holds(t, s, rec.Commits, 1)
	}
}

func BenchmarkAppend(b *testing.B) {
	s, _, err := Open([]string{b.TempDir()}, Options{BlockSize: 4 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for _, durable := range []bool{false, true} {
		b.Run(fmt.Sprint("sync=", durable), func(b *testing.B) {
			b.SetBytes(blockSize)
			b.ReportAllocs()
			for i := range uint64(b.N) {
				c := commitOf(i, i, blockSize)
				if err := s.Append(b.Context(), blocksOf(i, blockSize), c); err != nil {
					b.Fatal(err)
				}
				if durable {
					if err := s.Sync(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				s.Done(c)
			}
		})
	}
}

// TestDamageWhileOpen: what the disk has changed meanwhile is given to nobody, neither as a whole block nor as a part of
// one, and does not get a new checksum when it is moved. The rest of the block is there.
func TestDamageWhileOpen(t *testing.T) {
	const size = 3*pageSize + 100
	dir := t.TempDir()
	s, _, err := Open([]string{dir}, Options{BlockSize: 4 * pageSize})
	if err != nil {
		t.Fatal(err)
	}
	key, want := block.Key{Slice: 7, Size: size}, data(7, size)
	c := commitOf(1, 7, size)
	if err := s.Append(t.Context(), []Block{{key, want}}, c); err != nil {
		t.Fatal(err)
	}
	p := s.own.blocks[key]
	f, err := os.OpenFile(file(t, dir), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{^want[pageSize+5]}, p.off+pageSize+5); err != nil {
		t.Fatal(err)
	}
	read := func(off, n int) ([]byte, error) {
		b := make([]byte, n)
		ok, err := s.ReadAt(key, b, off)
		if !ok {
			t.Fatal("the stage does not have the block")
		}
		return b, err
	}
	for _, off := range []int{0, 100, pageSize - 200, 2 * pageSize, 2*pageSize + 1, 3 * pageSize, size - 100} {
		if b, err := read(off, 100); err != nil || !bytes.Equal(b, want[off:off+100]) {
			t.Errorf("at %d, beside the damage: %v", off, err)
		}
	}
	if b, err := read(2*pageSize, size-2*pageSize); err != nil || !bytes.Equal(b, want[2*pageSize:]) {
		t.Errorf("pages behind the damage: %v", err)
	}
	for _, part := range [][2]int{{0, size}, {pageSize, pageSize}, {pageSize - 1, 2}, {2*pageSize - 1, 1}} {
		if _, err := read(part[0], part[1]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes at %d, with the damage: %v", part[1], part[0], err)
		}
	}
	if _, err := s.Source(nil).Load(t.Context(), key); !errors.Is(err, ErrCorrupt) {
		t.Errorf("load: %v", err)
	}
	if err := p.load(key, make([]byte, size)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("load for a move: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if s, rec, err := Open([]string{dir}, Options{BlockSize: 4 * pageSize}); err != nil || len(rec.Commits) != 0 {
		t.Errorf("%d commits after the damage, %v", len(rec.Commits), err)
	} else {
		closed(t, s)
	}
}
