package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"jfs/block"
	"jfs/internal/bytepool"
)

// Backed is Disks with backing files: copies of whole files that a kernel can read by itself. Blocks that lie in one are
// read from it, and are not kept a second time.
//
// The files are in {first directory}/passthrough/{n}/, a directory that one process has for itself, because it changes
// them while they are open. Their names are inode numbers. A file without its checksums (NAME.sums) is none, so what a
// killed process was making goes at the next start; all others are verified before their first use.
type Backed struct {
	*Disks
	o    BackedOptions
	dir  string
	lock *os.File
	one  sync.Mutex // held by who makes or verifies a backing: one at a time is enough for a disk

	mu     sync.Mutex // guards the rest
	closed bool
	known  map[uint64]*Backing // by inode
	places map[block.Key]place
	open   int   // backings with open files
	space  int64 // of all, those included that are gone and still held
}

// place is where a block lies.
type place struct {
	in  *Backing
	pos uint64
}

// BackedOptions are the settings of a Backed. BlockSize is needed.
type BackedOptions struct {
	BlockSize uint32
	MaxBytes  int64         // disk space to use; 0 means half of what the first directory may use
	Expire    time.Duration // backings go that were not opened for longer; 0 means never
}

// maxOpenBackings is how many backings stay open although nobody has them.
const maxOpenBackings = 128

// errNoLeases: the cache's file system cannot tell who has a file open.
var errNoLeases = errors.New("the file system of the cache grants no leases")

// OpenBacked opens the backing files in the first of the disks, which belong to it from then on if there is no error.
func OpenBacked(disks *Disks, o BackedOptions) (*Backed, error) {
	first := disks.dirs[0]
	if o.MaxBytes == 0 {
		o.MaxBytes = first.o.MaxBytes / 2
	}
	b := &Backed{Disks: disks, o: o, known: map[uint64]*Backing{}, places: map[block.Key]place{}}
	if err := b.takeDir(filepath.Join(first.layout.dir, "passthrough")); err != nil {
		return nil, fmt.Errorf("open backing files: %w", err)
	}
	err := b.probe()
	if err == nil {
		err = b.load()
	}
	if err != nil {
		_ = b.lock.Close()
		return nil, fmt.Errorf("open backing files in %s: %w", b.dir, err)
	}
	return b, nil
}

// maxProcesses bounds the search for a directory that no process has.
const maxProcesses = 64

// takeDir takes the first directory that no process has, and empties the others of that kind.
func (b *Backed) takeDir(parent string) error {
	mode := b.dirs[0].layout.dirMode()
	if err := mkdir(parent, mode); err != nil {
		return err
	}
	for n := range maxProcesses {
		dir := filepath.Join(parent, strconv.Itoa(n))
		if b.lock != nil {
			if _, err := os.Lstat(dir); err != nil {
				continue
			}
		} else if err := mkdir(dir, mode); err != nil {
			return err
		}
		lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, b.dirs[0].o.Mode)
		if err != nil {
			return err
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			_ = lock.Close()
			continue
		}
		if b.lock == nil {
			b.lock, b.dir = lock, dir
			continue
		}
		_ = os.RemoveAll(dir) // with the lock: who opened it meanwhile has nothing in it
		_ = lock.Close()
	}
	if b.lock == nil {
		return errors.New("too many processes use this cache")
	}
	return nil
}

// probe finds out whether leases work.
func (b *Backed) probe() error {
	f, err := os.OpenFile(filepath.Join(b.dir, "probe"), os.O_RDWR|os.O_CREATE, b.dirs[0].o.Mode)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing is in it
	if !alone(f) {
		return errNoLeases
	}
	second, err := os.Open(f.Name())
	if err != nil {
		return err
	}
	defer second.Close() //nolint:errcheck // only read
	if alone(f) {
		return errNoLeases
	}
	return os.Remove(f.Name())
}

// load finds the backings of earlier processes.
func (b *Backed) load() error {
	names, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	whole := map[string]bool{"lock": true}
	for _, e := range names {
		ino, isSums := strings.CutSuffix(e.Name(), sumsSuffix)
		if !isSums {
			continue
		}
		if bk := b.found(ino); bk != nil {
			b.enter(bk)
			whole[ino], whole[e.Name()] = true, true
		}
	}
	for _, e := range names {
		if !whole[e.Name()] {
			_ = os.Remove(filepath.Join(b.dir, e.Name()))
		}
	}
	return nil
}

// found looks at a file of checksums and gives its backing, nil if it is none.
func (b *Backed) found(name string) *Backing {
	f, err := os.Open(filepath.Join(b.dir, name+sumsSuffix))
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // only read
	l, err := parseHeader(f)
	if err != nil || strconv.FormatUint(l.Ino, 10) != name {
		return nil
	}
	info, err := os.Lstat(filepath.Join(b.dir, name))
	if err != nil || !info.Mode().IsRegular() || uint64(info.Size()) != l.Length {
		return nil
	}
	bk := &Backing{in: b, layout: l, used: lastUse(info), space: allocated(info)}
	if info, err := f.Stat(); err == nil {
		bk.space += allocated(info)
	}
	return bk
}

// enter makes a complete backing known. b.mu is held, or b is not shared yet.
func (b *Backed) enter(bk *Backing) {
	b.known[bk.layout.Ino] = bk
	b.space += bk.space
	bk.layout.blocks(b.o.BlockSize, func(key block.Key, pos uint64) { b.places[key] = place{bk, pos} })
}

// drop takes a backing out of the cache. b.mu is held.
func (b *Backed) drop(bk *Backing) {
	if bk.gone {
		return
	}
	bk.gone = true
	if b.known[bk.layout.Ino] == bk {
		delete(b.known, bk.layout.Ino)
	}
	bk.layout.blocks(b.o.BlockSize, func(key block.Key, _ uint64) {
		if b.places[key].in == bk {
			delete(b.places, key)
		}
	})
	if err := bk.unlinkFiles(); err != nil {
		b.dirs[0].trouble(err)
	}
	b.settle(bk)
}

// settle closes a backing that nobody has and nothing leads to. b.mu is held.
func (b *Backed) settle(bk *Backing) {
	if !bk.gone || bk.held > 0 {
		return
	}
	if bk.data != nil {
		b.open--
	}
	bk.closeFiles()
	b.space -= bk.space
	bk.space = 0
}

// hold opens a backing for who is going to use it. b.mu is held.
func (b *Backed) hold(bk *Backing) error {
	if bk.data == nil {
		if err := bk.openFiles(); err != nil {
			return err
		}
		b.open++
	}
	bk.held++
	return nil
}

// release is the reverse of hold. b.mu is held.
func (b *Backed) release(bk *Backing) {
	bk.held--
	b.settle(bk)
	for b.open > maxOpenBackings {
		old := b.oldest(func(bk *Backing) bool { return bk.data != nil })
		if old == nil {
			return
		}
		old.closeFiles()
		b.open--
	}
}

// oldest gives the backing that nobody has and that was not used for longest. b.mu is held.
func (b *Backed) oldest(want func(*Backing) bool) (old *Backing) {
	for _, bk := range b.known {
		if bk.held == 0 && want(bk) && (old == nil || bk.used.Before(old.used)) {
			old = bk
		}
	}
	return old
}

// Bytes is the disk space that the backings take, which DiskOptions.Beside has to tell.
func (b *Backed) Bytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.space
}

// Knows reports whether there is a backing of an inode, of whatever state of it.
func (b *Backed) Knows(ino uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[ino] != nil
}

// Trim gives up what is too old, and the oldest backing if the disk is short of space.
func (b *Backed) Trim() {
	bytes, files := b.dirs[0].shortage()
	now := b.dirs[0].o.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	short := bytes > 0 || files > 0
	for b.o.Expire > 0 || short {
		bk := b.oldest(func(bk *Backing) bool { return short || now.Sub(bk.used) > b.o.Expire })
		if bk == nil {
			return
		}
		b.drop(bk)
		b.evictions.Add(1)
		short = false
	}
}

// find gives where a block lies, with the backing held.
func (b *Backed) find(key block.Key) (place, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.places[key]
	if !ok || b.closed {
		return p, false
	}
	if err := b.hold(p.in); err != nil {
		b.drop(p.in)
		return p, false
	}
	return p, true
}

// ReadAt implements Tier.
func (b *Backed) ReadAt(key block.Key, dst []byte, off int) bool {
	if !inside(key, off, len(dst)) {
		return false
	}
	if p, ok := b.find(key); ok {
		err := p.in.readAt(dst, p.pos+uint64(off))
		if err != nil {
			b.unreadable(p.in, err)
		}
		p.in.Done()
		if err == nil {
			return b.read(true, len(dst))
		}
	}
	return b.Disks.ReadAt(key, dst, off)
}

// unreadable gives up a backing whose file is not what was written.
func (b *Backed) unreadable(bk *Backing, err error) {
	if errors.Is(err, fs.ErrClosed) {
		return
	}
	b.dirs[0].log.Warn("removed unreadable backing file from cache", "inode", bk.layout.Ino, "err", err)
	bk.Detach()
}

func (b *Backed) has(key block.Key) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.places[key]
	return ok
}

// Has implements Tier.
func (b *Backed) Has(key block.Key) bool { return b.has(key) || b.Disks.Has(key) }

// HasPart implements Tier.
func (b *Backed) HasPart(key block.Key, off, n int) bool {
	return inside(key, off, n) && b.has(key) || b.Disks.HasPart(key, off, n)
}

// Put implements Tier.
func (b *Backed) Put(key block.Key, buf *bytepool.Buf) {
	if !b.has(key) {
		b.Disks.Put(key, buf)
	}
}

// PutPart implements Tier.
func (b *Backed) PutPart(key block.Key, buf *bytepool.Buf, off int) {
	if !b.has(key) {
		b.Disks.PutPart(key, buf, off)
	}
}

// Remove implements Tier. A backing without one of its blocks is not worth keeping: its file has changed.
func (b *Backed) Remove(key block.Key) {
	b.mu.Lock()
	if p, ok := b.places[key]; ok {
		b.drop(p.in)
	}
	b.mu.Unlock()
	b.Disks.Remove(key)
}

// Stats implements Tier.
func (b *Backed) Stats() Stats {
	s := b.Disks.Stats()
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Blocks += int64(len(b.places))
	s.Bytes += b.space
	return s
}

// Close implements Tier. Backings that are still held stay open until Done.
func (b *Backed) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	for _, bk := range b.known {
		if bk.held == 0 && bk.data != nil {
			bk.closeFiles()
			b.open--
		}
	}
	clear(b.places)
	b.mu.Unlock()
	return errors.Join(b.Disks.Close(), b.lock.Close())
}
