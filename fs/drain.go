package fs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
	"jfs/upload/stage"
)

// Sizes and times of the drain.
const (
	drainBytes   = 64 << 20 // of flushes that are stored together
	drainAhead   = 2        // batches that are being stored while one is published
	drainLinger  = 500 * time.Millisecond
	drainRetry   = time.Second      // after a failure, doubled with each further one
	drainMost    = 30 * time.Second // the longest such pause
	refusedPause = 10 * time.Second // until a flush is tried again that the volume had no room for
	hoursPoll    = time.Minute
)

// drain stores and publishes what is staged: the flushes of a file in their order, all flushes about first in, first
// out. Two goroutines work on batches: one has them stored, the other publishes them once they are. What the store or
// the database does not take is tried until they do.
type drain struct {
	fs    *FS
	stage *stage.Stage
	opt   Back
	ready chan *batch
	kick  chan struct{} // there may be something to take
	retry chan struct{} // somebody waits, so there is to be no pause
	work  sync.WaitGroup

	mu        sync.Mutex // guards the rest; taken after a file's
	queue     []*staged  // in order
	order     uint64
	count     int // flushes that are not done, those of batches included
	refused   int // of those the ones that were refused
	waiters   map[*file][]waiter
	gone      map[*file]bool // removed for good
	finishing bool
	left      bool          // finish has given up
	changed   chan struct{} // closed when count or refused change
	troubled  bool          // the stage does not take anything
	failing   bool          // the last attempt has failed
}

// waiter waits for the publication of a file's flushes up to one.
type waiter struct {
	order uint64
	done  chan error
}

// startDrain takes over what was left in the stage and begins to drain it.
func (f *FS) startDrain() {
	if f.opt.Back.Stage == nil {
		return
	}
	d := &drain{
		fs: f, stage: f.opt.Back.Stage, opt: f.opt.Back,
		ready: make(chan *batch, drainAhead), kick: make(chan struct{}, 1), retry: make(chan struct{}, 1),
		waiters: map[*file][]waiter{}, gone: map[*file]bool{}, changed: make(chan struct{}),
	}
	if d.opt.Linger == 0 {
		d.opt.Linger = drainLinger
	}
	f.opt.Blocks = d.stage.Source(f.opt.Blocks)
	f.drain = d
	left := f.restore(f.opt.Back.Left)
	for _, st := range left {
		d.order++
		st.order = d.order
	}
	d.count = len(left)
	f.vol.OnGone(d.forgotten)
	d.work.Go(func() {
		defer close(d.ready)
		if d.resolve(left) {
			d.send()
		}
	})
	d.work.Go(d.receive)
}

// takes says whether the stage is to be given a flush, or a part of one, of a size.
func (d *drain) takes(size int64) bool {
	return d != nil && !d.opt.Through && (d.opt.Threshold == 0 || size < d.opt.Threshold)
}

// told notes how the stage has answered, and tells the log when that changes.
func (d *drain) told(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	d.mu.Lock()
	news := d.troubled != (err != nil)
	d.troubled = err != nil
	d.mu.Unlock()
	switch {
	case news && err != nil:
		d.fs.log.Warn("nothing is staged for now, data is stored at once", "err", err)
	case news:
		d.fs.log.Info("data is staged again")
	}
}

// add takes a flush that is in the stage.
func (d *drain) add(st *staged) {
	f := st.file
	d.fs.hold(f)
	f.mu.Lock()
	d.mu.Lock()
	d.order++
	st.order = d.order
	d.queue = append(d.queue, st)
	d.count++
	d.mu.Unlock()
	f.stages = append(f.stages, st)
	f.staged += st.slices
	f.mu.Unlock()
	poke(d.kick)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// forgotten is told of files that are removed for good: what is staged of them need not be stored.
func (d *drain) forgotten(ino meta.Ino) {
	fl := d.fs.peek(ino)
	if fl == nil || d.idle() {
		return
	}
	fl.mu.RLock()
	defer fl.mu.RUnlock()
	if len(fl.stages) == 0 {
		return
	}
	d.mu.Lock()
	d.gone[fl] = true
	d.mu.Unlock()
	poke(d.kick)
}

// idle says that nothing is staged.
func (d *drain) idle() bool {
	if d == nil {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count == 0
}

func (d *drain) durable(all []*staged) bool {
	commits := make([]*stage.Commit, len(all))
	for i, st := range all {
		commits[i] = st.commit
	}
	return d.stage.Durable(commits...)
}

// await gives a channel that is told when the flushes of a file up to one are published, or an attempt has failed.
// The file's mu is held.
func (d *drain) await(f *file, order uint64) chan error {
	done := make(chan error, 1)
	d.mu.Lock()
	d.waiters[f] = append(d.waiters[f], waiter{order, done})
	for _, st := range d.queue {
		if st.file == f {
			st.notTill = time.Time{}
		}
	}
	d.mu.Unlock()
	poke(d.kick)
	poke(d.retry)
	return done
}

// leave ends a wait.
func (d *drain) leave(f *file, done chan error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tell(f, func(w waiter) bool { return w.done == done }, nil)
}

// tell ends the waits for a file that are meant. mu is held.
func (d *drain) tell(f *file, meant func(waiter) bool, err error) {
	left := slices.DeleteFunc(d.waiters[f], func(w waiter) bool {
		if !meant(w) {
			return false
		}
		select {
		case w.done <- err:
		default:
		}
		return true
	})
	if d.waiters[f] = left; len(left) == 0 {
		delete(d.waiters, f)
	}
}

// take gives the next flushes that are to be stored together, or how long there is nothing to do; less than nothing
// means until something happens.
func (d *drain) take() (items []*staged, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.fs.now()
	open := d.opt.Hours == nil || d.opt.Hours(now)
	wait = -1
	soon := func(in time.Duration) {
		if in = max(in, time.Millisecond); wait < 0 || in < wait {
			wait = in
		}
	}
	passed := map[*file]bool{} // their later flushes have to wait, too
	var kept []*staged
	var bytes int64
	records, urgent, i := 0, false, 0
	for ; i < len(d.queue); i++ {
		st := d.queue[i]
		waited := d.finishing || len(d.waiters[st.file]) > 0 || d.gone[st.file]
		in := st.notTill.Sub(now)
		switch {
		case in > 0 || waited:
		case !open:
			in = hoursPoll
		default:
			in = d.opt.Delay - now.Sub(stagedAt(st))
		}
		if in > 0 || passed[st.file] {
			if in > 0 {
				soon(in)
			}
			passed[st.file] = true
			kept = append(kept, st)
			continue
		}
		n := len(st.commit.Extents)
		if len(items) > 0 && (records+n > commitMost || bytes >= drainBytes) {
			break
		}
		items = append(items, st)
		records, bytes, urgent = records+n, bytes+st.commit.Bytes(), urgent || waited
	}
	if len(items) == 0 {
		return nil, wait
	}
	if i == len(d.queue) && !urgent && records < commitMost && bytes < drainBytes/4 {
		if in := d.opt.Linger - now.Sub(stagedAt(items[0])); in > 0 {
			soon(in)
			return nil, wait
		}
	}
	d.queue = append(kept, d.queue[i:]...)
	return items, 0
}

func stagedAt(st *staged) time.Time {
	return time.Unix(st.commit.Staged.Sec, int64(st.commit.Staged.Nsec))
}

// send has batches stored.
func (d *drain) send() {
	for {
		items, wait := d.take()
		if len(items) == 0 {
			if !d.pause(wait, d.kick) {
				return
			}
			continue
		}
		b := &batch{drain: d, items: items}
		b.store()
		select {
		case d.ready <- b:
		case <-d.fs.ctx.Done():
			return
		}
	}
}

// pause waits for a time, less than nothing for ever, or until it is woken. It gives false when the mount ends.
func (d *drain) pause(wait time.Duration, wake chan struct{}) bool {
	var timeout <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-timeout:
	case <-wake:
	case <-d.fs.ctx.Done():
		return false
	}
	return true
}

// receive publishes the batches in their order.
func (d *drain) receive() {
	for b := range d.ready {
		for wait := drainRetry; ; wait = min(2*wait, drainMost) {
			err := b.publish()
			if d.fs.ctx.Err() != nil {
				break
			}
			d.attempted(err)
			if err == nil || !d.pause(wait, d.retry) {
				break
			}
			b.store()
		}
	}
}

// attempted tells the log and those who wait how an attempt went.
func (d *drain) attempted(err error) {
	d.mu.Lock()
	news := d.failing != (err != nil)
	d.failing = err != nil
	if err != nil {
		for f := range d.waiters {
			d.tell(f, func(waiter) bool { return true }, errors.Join(posix.EIO, err))
		}
	}
	left := d.count
	d.mu.Unlock()
	switch {
	case news && err != nil:
		d.fs.log.Error("staged data cannot be brought in, it is tried again and again", "flushes", left, "err", err)
	case news:
		d.fs.log.Info("staged data is brought in again", "flushes", left)
	}
}

// resolve finds out which of the flushes that were left had been published already, and queues the others. It gives
// false when the mount ends.
func (d *drain) resolve(left []*staged) bool {
	var asked []*staged
	var all []meta.FileCommit
	there := map[*staged]*meta.Published{}
	for _, st := range left {
		if st.commit.Planned != nil {
			st.renew = true
			asked = append(asked, st)
			all = append(all, st.publication(st.commit.Planned))
		}
	}
	for wait := drainRetry; len(all) > 0; wait = min(2*wait, drainMost) {
		n := min(len(all), commitMost)
		done, err := d.landed(all[:n])
		if d.attempted(err); err != nil {
			if !d.pause(wait, d.retry) {
				return false
			}
			continue
		}
		for i, p := range done {
			there[asked[i]] = p
		}
		asked, all = asked[n:], all[n:]
	}
	for _, st := range left {
		if p := there[st]; p != nil && p.Err == nil {
			d.over(st, p, nil)
			continue
		}
		d.mu.Lock()
		d.queue = append(d.queue, st)
		d.mu.Unlock()
	}
	d.mu.Lock()
	slices.SortFunc(d.queue, func(a, b *staged) int { return int(int64(a.order) - int64(b.order)) })
	d.mu.Unlock()
	return true
}

// landed says which of the commits were published by an earlier attempt, with what their files are now.
func (d *drain) landed(all []meta.FileCommit) ([]*meta.Published, error) {
	there, err := d.fs.vol.Landed(d.fs.ctx, all)
	if err != nil {
		return nil, err
	}
	done := make([]*meta.Published, len(all))
	for i, is := range there {
		if !is {
			continue
		}
		a, err := d.fs.vol.GetAttr(d.fs.ctx, all[i].Ino)
		if err != nil && !errors.Is(err, posix.ENOENT) {
			return nil, err
		}
		done[i] = &meta.Published{Before: a, After: a, Err: err}
	}
	return done, nil
}

// back queues flushes again that were in a batch.
func (d *drain) back(items []*staged) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, items...)
	slices.SortFunc(d.queue, func(a, b *staged) int { return int(int64(a.order) - int64(b.order)) })
	d.signal()
	poke(d.kick)
}

// signal tells who waits for the drain that something has changed. mu is held.
func (d *drain) signal() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// over ends a flush: it is published, if p is given, as these records, or it is not wanted any more. Without records an
// earlier attempt has published it, and only what the file is now is known.
func (d *drain) over(st *staged, p *meta.Published, records []meta.Written) {
	f := st.file
	f.mu.Lock()
	from, i := 0, 0
	for ; f.stages[i] != st; i++ { // the first, unless the file is gone
		from += f.stages[i].slices
	}
	for _, s := range f.pending[from : from+st.slices] {
		delete(f.byID, s.id)
	}
	if from == 0 { // not moved, because there may be many
		f.pending, f.stages = f.pending[st.slices:], f.stages[1:]
	} else {
		f.pending = append(slices.Clone(f.pending[:from]), f.pending[from+st.slices:]...)
		f.stages = append(slices.Clone(f.stages[:i]), f.stages[i+1:]...)
	}
	f.staged -= st.slices
	if len(f.pending) == 0 {
		f.pending, f.end = nil, 0
	}
	if p == nil {
		f.shown = version{} // the shadow has more
	}
	if p != nil {
		f.changed(&p.Before, &p.After)
		if records == nil {
			f.dropViews()
		}
		f.show(records)
	}
	f.settlePromise()
	last := len(f.stages) == 0
	f.mu.Unlock()
	d.stage.Done(st.commit)

	d.mu.Lock()
	d.count--
	if st.refused != nil {
		d.refused--
	}
	if last {
		delete(d.gone, f)
	}
	d.tell(f, func(w waiter) bool { return w.order <= st.order }, nil)
	d.signal()
	d.mu.Unlock()
	d.fs.put(f)
}

// refuse queues flushes again for which the volume has no room.
func (d *drain) refuse(st *staged, err error) {
	d.mu.Lock()
	if st.refused == nil {
		d.refused++
		d.fs.log.Warn("staged data is refused and stays in the stage, it is tried again", "inode", st.file.ino, "err", err)
	}
	st.refused, st.notTill = err, d.fs.now().Add(refusedPause)
	d.tell(st.file, func(waiter) bool { return true }, err)
	d.mu.Unlock()
	d.back([]*staged{st})
}

// finish drains until nothing is left that could be published, or ctx ends.
func (d *drain) finish(ctx context.Context) {
	if d == nil {
		return
	}
	d.mu.Lock()
	if d.left {
		d.mu.Unlock()
		return
	}
	d.finishing = true
	d.mu.Unlock()
	poke(d.kick)
	poke(d.retry)
	for {
		d.mu.Lock()
		left, refused, changed := d.count, d.refused, d.changed
		d.mu.Unlock()
		if left == refused {
			break
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
		}
		d.mu.Lock()
		d.left = true
		d.mu.Unlock()
		break
	}
	if left := d.stage.Stats(); left.Commits > 0 {
		d.fs.log.Warn("data stays in the stage, the next mount with this cache directory brings it in",
			"flushes", left.Commits, "bytes", left.Bytes)
	}
}

// wait ends with the goroutines, which end with the context of the mount.
func (d *drain) wait() {
	if d != nil {
		d.work.Wait()
	}
}
