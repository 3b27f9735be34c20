package fs

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"jfs/block"
	"jfs/internal/posix"
	"jfs/meta"
	"jfs/upload/stage"
)

// batch is flushes that are stored together and published in one transaction.
//
// Small slices are packed, those of several files into one object: a thousand small files are then a few requests and
// a few transactions. A slice that is published by several records has as many references.
type batch struct {
	drain *drain
	items []*staged

	targets map[uint64]stage.Target // by the slice as it was staged
	puts    []*put
	planned bool
	unsure  bool // an earlier attempt may have published it
	err     error

	corrupt map[uint64]bool // slices that the stage cannot give any more

	mu      sync.Mutex // guards the rest and the state of the puts
	sending int
	idle    chan struct{} // closed when nothing is being sent; nil while that is so
}

// put is a block to be stored, and of which staged ones it is made.
type put struct {
	key    block.Key
	parts  []block.Key
	stored bool
	err    error
}

// store begins to store what is not stored yet.
func (b *batch) store() {
	b.err = nil
	if b.targets == nil {
		if b.err = b.plan(); b.err != nil {
			b.targets = nil
			return
		}
	}
	for _, p := range b.puts {
		b.mu.Lock()
		stored := p.stored
		b.mu.Unlock()
		if stored {
			continue
		}
		if b.err = b.send(p); b.err != nil {
			return
		}
	}
}

// plan decides under which numbers the slices are stored.
func (b *batch) plan() error {
	d := b.drain
	size := d.fs.blockSize
	b.targets, b.puts = map[uint64]stage.Target{}, nil
	var pack []stage.Extent // small slices
	bytes := uint32(0)
	closePack := func() error {
		if len(pack) == 0 {
			return nil
		}
		id, err := d.number(pack[0].ID, len(pack) > 1 || b.renews(pack[0].ID))
		if err != nil {
			return err
		}
		p := &put{key: block.Key{Slice: id, Size: bytes}}
		base := uint32(0)
		for _, s := range pack {
			b.targets[s.ID] = stage.Target{Slice: s.ID, ID: id, Base: base, Size: bytes}
			p.parts = append(p.parts, block.Key{Slice: s.ID, Size: s.Size})
			base += s.Size
		}
		b.puts = append(b.puts, p)
		pack, bytes = nil, 0
		return nil
	}
	for _, st := range b.items {
		if b.isGone(st) {
			continue
		}
		for _, s := range st.commit.Slices() {
			if s.Size < size {
				if bytes+s.Size > size {
					if err := closePack(); err != nil {
						return err
					}
				}
				pack = append(pack, s)
				bytes += s.Size
				continue
			}
			id, err := d.number(s.ID, st.renew)
			if err != nil {
				return err
			}
			b.targets[s.ID] = stage.Target{Slice: s.ID, ID: id, Size: s.Size}
			for i := range block.Count(s.Size, size) {
				b.puts = append(b.puts, &put{key: block.KeyAt(id, s.Size, i, size), parts: []block.Key{block.KeyAt(s.ID, s.Size, i, size)}})
			}
		}
	}
	return closePack()
}

// number gives the number under which a slice is stored: its own or another.
func (d *drain) number(own uint64, other bool) (uint64, error) {
	if !other {
		return own, nil
	}
	return d.fs.vol.NewSlice(d.fs.ctx)
}

func (b *batch) renews(slice uint64) bool {
	return slices.ContainsFunc(b.items, func(st *staged) bool {
		return st.renew && slices.ContainsFunc(st.commit.Extents, func(e stage.Extent) bool { return e.ID == slice })
	})
}

// isGone says that the file of a flush is removed for good.
func (b *batch) isGone(st *staged) bool {
	b.drain.mu.Lock()
	defer b.drain.mu.Unlock()
	return b.drain.gone[st.file]
}

// send gives a block to the uploader.
func (b *batch) send(p *put) error {
	d := b.drain
	buf, err := d.fs.opt.Pool.Get(d.fs.ctx, int(p.key.Size))
	if err != nil {
		return err
	}
	at := 0
	for _, part := range p.parts {
		err := d.stage.Load(part, buf.B[at:at+int(part.Size)])
		if errors.Is(err, stage.ErrCorrupt) {
			if b.corrupt == nil {
				b.corrupt = map[uint64]bool{}
			}
			b.corrupt[part.Slice] = true
			err = nil
		}
		if err != nil {
			buf.Release()
			return err
		}
		at += int(part.Size)
	}
	b.mu.Lock()
	if b.sending++; b.idle == nil {
		b.idle = make(chan struct{})
	}
	b.mu.Unlock()
	err = d.fs.opt.Uploader.Submit(d.fs.ctx, p.key, buf, func(err error) {
		b.mu.Lock()
		p.stored, p.err = err == nil, err
		b.mu.Unlock()
		b.sent()
	})
	if err != nil {
		b.sent()
	}
	return err
}

func (b *batch) sent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sending--; b.sending == 0 {
		close(b.idle)
		b.idle = nil
	}
}

// wait returns when nothing is being sent, or the mount ends; uploads end later then, by themselves.
func (b *batch) wait() error {
	b.mu.Lock()
	idle := b.idle
	b.mu.Unlock()
	if idle == nil {
		return b.err
	}
	select {
	case <-idle:
		return b.err
	case <-b.drain.fs.ctx.Done():
		return b.drain.fs.ctx.Err()
	}
}

// publish waits until the batch is stored and publishes it. On an error all of it is to be tried again.
func (b *batch) publish() error {
	d := b.drain
	if err := b.wait(); err != nil {
		return err
	}
	for _, p := range b.puts {
		if p.err != nil {
			return p.err
		}
	}
	if b.corrupt != nil {
		b.setAside()
		return nil
	}
	var all []meta.FileCommit
	var items, later, gone []*staged
	for i, st := range b.items {
		switch {
		case b.isGone(st) || b.targets[st.commit.Extents[0].ID] == (stage.Target{}):
			gone = append(gone, st)
		case !b.isNext(i):
			later = append(later, st)
		default:
			items = append(items, st)
			all = append(all, st.publication(b.targetsOf(st)))
		}
	}
	done, earlier, err := b.commit(items, all)
	if err != nil {
		return err
	}
	used := map[uint64]bool{}
	for i, st := range items {
		switch err := done[i].Err; {
		case err == nil:
			for _, w := range all[i].Slices {
				used[w.Slice.ID] = true
			}
			if earlier {
				d.over(st, &done[i], nil)
			} else {
				d.over(st, &done[i], all[i].Slices)
			}
		case errors.Is(err, posix.ENOENT), errors.Is(err, posix.EPERM):
			d.fs.log.Info("staged data is dropped, its file was removed", "inode", st.file.ino)
			gone = append(gone, st)
		default:
			d.refuse(st, err)
		}
	}
	for _, st := range gone {
		d.over(st, nil, nil)
	}
	b.discard(used, append(later, refusedOf(items)...))
	d.back(later)
	return nil
}

func refusedOf(items []*staged) []*staged {
	return slices.DeleteFunc(slices.Clone(items), func(st *staged) bool { return st.refused == nil })
}

// isNext says whether the flushes of the file that come before item i are published or in the batch.
func (b *batch) isNext(i int) bool {
	f := b.items[i].file
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, st := range f.stages {
		if st == b.items[i] {
			return true
		}
		if !slices.Contains(b.items[:i], st) {
			return false
		}
	}
	return false
}

// commit publishes items; earlier says that it has found them published by the attempt before.
func (b *batch) commit(items []*staged, all []meta.FileCommit) (done []meta.Published, earlier bool, err error) {
	d := b.drain
	if len(items) == 0 {
		return nil, false, nil
	}
	if b.unsure {
		landed, err := d.landed(all)
		if err != nil {
			return nil, false, err
		}
		for _, p := range landed {
			one := meta.Published{Err: posix.ENOSPC} // it was refused then, and is tried again
			if p != nil {
				one, earlier = *p, true
			}
			done = append(done, one)
		}
		if earlier {
			return done, true, nil
		}
	}
	if !b.planned {
		var commits []*stage.Commit
		var targets []stage.Target
		for _, st := range items {
			commits = append(commits, st.commit)
			targets = append(targets, b.targetsOf(st)...)
		}
		if err := d.stage.Plan(d.fs.ctx, commits, targets); err != nil {
			if d.fs.ctx.Err() != nil {
				return nil, false, err
			}
			// Only a crash in the next moment could tell.
			d.fs.log.Warn("the stage cannot record what is being published", "err", err)
		}
		b.planned = true
	}
	done, err = d.fs.vol.WriteAll(d.fs.commit, all)
	b.unsure = err != nil
	if err != nil {
		return nil, false, fmt.Errorf("publish %d flushes: %w", len(all), err)
	}
	return done, false, nil
}

func (b *batch) targetsOf(st *staged) (all []stage.Target) {
	for _, s := range st.commit.Slices() {
		all = append(all, b.targets[s.ID])
	}
	return all
}

// publication is what is to be published of a flush, with its slices at the targets.
func (st *staged) publication(targets []stage.Target) meta.FileCommit {
	c := meta.FileCommit{Ino: st.file.ino, Commit: meta.Commit{
		Promise: &st.file.promise, Mtime: meta.Time(st.commit.Mtime), Base: meta.Time(st.commit.Base), Late: true,
	}}
	for _, e := range st.commit.Extents {
		w := written(e)
		for _, t := range targets {
			if t.Slice == e.ID {
				w.Slice.ID, w.Slice.Size, w.Slice.Off = t.ID, t.Size, t.Base+e.Off
			}
		}
		c.Slices = append(c.Slices, w)
	}
	return c
}

// discard removes blocks that were stored and that nothing published refers to, but for the slices of those that are
// to be stored again under their own numbers.
func (b *batch) discard(used map[uint64]bool, again []*staged) {
	var keys []block.Key
	for _, p := range b.puts {
		own := slices.ContainsFunc(again, func(st *staged) bool {
			return slices.ContainsFunc(st.commit.Extents, func(e stage.Extent) bool { return e.ID == p.key.Slice })
		})
		if !used[p.key.Slice] && !own {
			keys = append(keys, p.key)
		}
	}
	if len(keys) == 0 {
		return
	}
	if err := b.drain.fs.opt.Uploader.Delete(b.drain.fs.ctx, keys...); err != nil {
		b.drain.fs.log.Warn("blocks of a write that is not wanted are left in the store", "blocks", len(keys), "err", err)
	}
}

// setAside ends the flushes that the stage cannot give any more, and has the others stored again without them.
func (b *batch) setAside() {
	d := b.drain
	var rest []*staged
	for _, st := range b.items {
		if slices.ContainsFunc(st.commit.Extents, func(e stage.Extent) bool { return b.corrupt[e.ID] }) {
			d.stage.Aside(st.commit)
			d.over(st, nil, nil)
			continue
		}
		rest = append(rest, st)
	}
	b.discard(nil, rest)
	d.back(rest)
}
