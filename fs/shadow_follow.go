package fs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"jfs/cache"
	"jfs/internal/posix"
)

// How a shadow that somebody has follows the changes of its file.

const (
	shadowPage = 4 << 10
	shadowRun  = 1 << 20 // copied or compared at a time, bytes
)

// errShadow: the local disk does not take a change of a file that somebody reads from there. It must not be hidden, for the
// reader would go on with old bytes.
func errShadow(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return posix.ENOSPC
	}
	return fmt.Errorf("change a file that is read by passthrough: %w: %w", posix.EIO, err)
}

// alter carries out a change of the file's bytes by this mount, with the shadow. change makes it on the file, and gives
// what of it is to be taken over by the shadow: the bytes [from, to). The length is taken over too.
func (f *file) alter(ctx context.Context, change func() (from, to uint64, err error)) error {
	sh := &f.shadow
	if f.fs.shadows == nil {
		_, _, err := change()
		return err
	}
	sh.mu.Lock()
	sh.changing++
	f.unshadow()
	if !sh.following.Load() {
		sh.mu.Unlock()
		_, _, err := change()
		sh.mu.Lock()
		sh.changing--
		sh.mu.Unlock()
		return err
	}
	defer sh.mu.Unlock()
	defer func() { sh.changing-- }()
	if err := f.gather(ctx); err != nil {
		return err
	}
	from, to, err := change()
	if err != nil {
		f.mu.Lock()
		f.shown = version{} // perhaps something has changed
		f.mu.Unlock()
		return err
	}
	f.mu.RLock()
	length := f.length()
	f.mu.RUnlock()
	if err := sh.resize(length); err != nil {
		return errShadow(err)
	}
	return f.copyOver(ctx, from, min(to, length))
}

// writeBoth is write for a file with a shadow that follows.
func (f *file) writeBoth(ctx context.Context, off uint64, src []byte, atEnd bool) error {
	sh := &f.shadow
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !sh.following.Load() {
		return f.write(ctx, off, src, atEnd)
	}
	if atEnd {
		f.mu.RLock()
		off = f.length()
		f.mu.RUnlock()
	}
	// Room is made before, so that a write which is accepted reaches the readers too.
	err := unix.Fallocate(int(sh.back.File().Fd()), unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(len(src)))
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return errShadow(err)
	}
	sh.layout = nil
	if err := f.gatherPages(ctx, off, uint64(len(src))); err != nil {
		return err
	}
	if err := f.write(ctx, off, src, false); err != nil {
		f.mu.Lock()
		f.shown = version{}
		f.mu.Unlock()
		return err
	}
	if err := sh.put(off, src); err != nil {
		return errShadow(err)
	}
	return nil
}

// resize sets the length of back. mu is held.
func (sh *shadow) resize(length uint64) error {
	info, err := sh.back.File().Stat()
	if err != nil || uint64(info.Size()) == length {
		return err
	}
	cut := min(length, uint64(info.Size()))
	if err := sh.back.File().Truncate(int64(length)); err != nil || sh.expected == nil {
		return err
	}
	pages := (length + shadowPage - 1) / shadowPage
	for uint64(len(sh.expected)) < pages {
		sh.expected = append(sh.expected, zeroPage)
	}
	sh.expected = sh.expected[:pages]
	if cut%shadowPage != 0 { // the rest of this page is zeros now
		return sh.expectPages(cut/shadowPage, cut/shadowPage+1)
	}
	return nil
}

var zeroPage = xxhash.Sum64(make([]byte, shadowPage))

// expect notes the pages of back as they are. mu is held.
func (sh *shadow) expect() error {
	info, err := sh.back.File().Stat()
	if err != nil {
		return err
	}
	sh.expected = make([]uint64, (info.Size()+shadowPage-1)/shadowPage)
	if err := sh.expectPages(0, uint64(len(sh.expected))); err != nil {
		sh.expected = nil
		return err
	}
	return nil
}

func (sh *shadow) expectPages(from, to uint64) error {
	return sh.pages(from, to, func(i uint64, _ []byte, hash uint64) error {
		sh.expected[i] = hash
		return nil
	})
}

// pages calls each for pages of back, with the bytes of a page that the file has, and the hash of them and of zeros to the
// end of the page. mu is held.
func (sh *shadow) pages(from, to uint64, each func(i uint64, data []byte, hash uint64) error) error {
	buf := make([]byte, min(shadowRun, (to-from)*shadowPage))
	for from < to {
		run := buf[:min(uint64(len(buf)), (to-from)*shadowPage)]
		n, err := sh.back.File().ReadAt(run, int64(from*shadowPage))
		if err != nil && err != io.EOF {
			return errShadow(err)
		}
		clear(run[n:])
		for at := 0; at < len(run); at += shadowPage {
			page := run[at : at+shadowPage]
			if err := each(from, page[:min(max(n-at, 0), shadowPage)], xxhash.Sum64(page)); err != nil {
				return err
			}
			from++
		}
	}
	return nil
}

// put writes to back. The hashes are those of what was there with what is put over it, without another look: what is
// stored by mapping meanwhile differs from them. mu is held.
func (sh *shadow) put(off uint64, src []byte) error {
	if sh.expected == nil {
		_, err := sh.back.File().WriteAt(src, int64(off))
		return err
	}
	end := off + uint64(len(src))
	first, last := off/shadowPage, (end+shadowPage-1)/shadowPage
	for uint64(len(sh.expected)) < last {
		sh.expected = append(sh.expected, zeroPage)
	}
	var whole [shadowPage]byte
	err := sh.pages(first, last, func(i uint64, data []byte, hash uint64) error {
		if hash != sh.expected[i] {
			return nil // it is still to be gathered
		}
		clear(whole[:])
		copy(whole[:], data)
		from, to := max(off, i*shadowPage), min(end, (i+1)*shadowPage)
		copy(whole[from-i*shadowPage:], src[from-off:to-off])
		sh.expected[i] = xxhash.Sum64(whole[:])
		return nil
	})
	if err != nil {
		return err
	}
	_, err = sh.back.File().WriteAt(src, int64(off))
	return err
}

// gather writes what was stored in a mapping to the file. mu is held.
func (f *file) gather(ctx context.Context) error {
	sh := &f.shadow
	if sh.expected == nil {
		return nil
	}
	sh.gathered = f.fs.now()
	return f.gatherPages(ctx, 0, uint64(len(sh.expected))*shadowPage)
}

// gatherPages is gather for the pages of n bytes at off. mu is held.
func (f *file) gatherPages(ctx context.Context, off, n uint64) error {
	sh := &f.shadow
	if sh.expected == nil || n == 0 {
		return nil
	}
	first, last := off/shadowPage, min((off+n+shadowPage-1)/shadowPage, uint64(len(sh.expected)))
	if first >= last {
		return nil
	}
	return sh.pages(first, last, func(i uint64, data []byte, hash uint64) error {
		if hash == sh.expected[i] || len(data) == 0 {
			return nil
		}
		if err := f.write(ctx, i*shadowPage, data, false); err != nil {
			return err
		}
		sh.expected[i] = hash
		return nil
	})
}

// gatherNow is gather for who does not hold the shadow.
func (f *file) gatherNow(ctx context.Context) error {
	if !f.shadow.following.Load() {
		return nil
	}
	f.shadow.mu.Lock()
	defer f.shadow.mu.Unlock()
	return f.gather(ctx)
}

// copyOver brings the bytes [from, to) of the file into back. mu is held.
func (f *file) copyOver(ctx context.Context, from, to uint64) error {
	var buf []byte
	for from < to {
		if buf == nil {
			buf = make([]byte, min(shadowRun, to-from))
		}
		run := buf[:min(uint64(len(buf)), to-from)]
		n, err := f.read(ctx, from, run, true)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if err := f.shadow.put(from, run[:n]); err != nil {
			return errShadow(err)
		}
		from += uint64(n)
	}
	return nil
}

// renew brings back up to what the file is now, after another client has changed it. mu is held.
func (f *file) renew(ctx context.Context) error {
	sh := &f.shadow
	if err := f.gather(ctx); err != nil {
		return err
	}
	old := sh.layout
	sh.follow()
	layout, v, err := f.layout(ctx)
	if err != nil {
		return err
	}
	f.mu.RLock()
	length := f.length()
	f.mu.RUnlock()
	if err := sh.resize(length); err != nil {
		return errShadow(err)
	}
	for _, r := range differences(old, layout, length) {
		if err := f.copyOver(ctx, r[0], r[1]); err != nil {
			return err
		}
	}
	f.mu.Lock()
	f.shown = v
	f.mu.Unlock()
	sh.layout = layout
	return nil
}

// differences gives the ranges in which two layouts do not show the same bytes of the same slices; nil is a layout that is
// not known.
func differences(old, now *cache.Layout, length uint64) (all [][2]uint64) {
	if old == nil || now == nil {
		return [][2]uint64{{0, length}}
	}
	// What covers a place: the slice, and its offset less the place, which is the same in all of the run.
	at := func(l *cache.Layout, i *int, pos uint64) (slice, shift, end uint64) {
		for *i < len(l.Extents) && l.Extents[*i].Pos+uint64(l.Extents[*i].Len) <= pos {
			*i++
		}
		if *i == len(l.Extents) {
			return 0, 0, length
		}
		e := l.Extents[*i]
		if e.Pos > pos {
			return 0, 0, e.Pos
		}
		return e.Slice, uint64(e.Off) - e.Pos, e.Pos + uint64(e.Len)
	}
	var i, j int
	for pos := uint64(0); pos < length; {
		s1, d1, e1 := at(old, &i, pos)
		s2, d2, e2 := at(now, &j, pos)
		end := min(e1, e2, length)
		if s1 != s2 || d1 != d2 {
			if n := len(all); n > 0 && all[n-1][1] == pos {
				all[n-1][1] = end
			} else {
				all = append(all, [2]uint64{pos, end})
			}
		}
		pos = end
	}
	return all
}
