package meta

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// dirStats collects the changes of directory statistics between two flushes.
type dirStats struct {
	// io is held by a flush, so that after flushStats has returned everything that came before is stored. It is
	// taken before mu.
	io sync.Mutex

	mu      sync.Mutex // guards pending
	pending map[Ino]DirStat

	// below has the beat at which a record would have become negative for the first time; guarded by io, as is beat.
	below map[Ino]uint64
	beat  uint64 // counts intervals

	patience uint64 // statPatience, or statLastPatience at the end; guarded by io
}

const (
	statFlushInterval = time.Second
	statFlushBatch    = 200 // directories per transaction
	// statPatience is how many intervals are waited for what another client has added, and not flushed, when this one takes
	// more away than is recorded. A count of the entries at once would have what that client adds twice.
	statPatience = 10
	// statLastPatience is how many a client waits that is being closed.
	statLastPatience = 5
)

func (s DirStat) negate() DirStat { return DirStat{-s.Length, -s.Space, -s.Inodes} }

func (s DirStat) plus(d DirStat) DirStat {
	return DirStat{s.Length + d.Length, s.Space + d.Space, s.Inodes + d.Inodes}
}

// take splits a change of the record s into what can be added to it and what would make a figure negative. Each figure
// goes by itself: two clients whose changes go up in one and down in the other would wait for each other for ever.
func (s DirStat) take(d DirStat) (now, rest DirStat) {
	part := func(have, change int64, now, rest *int64) {
		if have+change < 0 {
			*rest = change
		} else {
			*now = change
		}
	}
	part(s.Length, d.Length, &now.Length, &rest.Length)
	part(s.Space, d.Space, &now.Space, &rest.Space)
	part(s.Inodes, d.Inodes, &now.Inodes, &rest.Inodes)
	return now, rest
}

// statOf is what an entry adds to the statistics of its directory.
func statOf(a *Attr) DirStat { return DirStat{Length: a.dataLength(), Space: a.Space(), Inodes: 1} }

func (d *dirStats) init() {
	d.pending, d.below, d.patience = map[Ino]DirStat{}, map[Ino]uint64{}, statPatience
}

// forget drops what is pending for a directory that is gone.
func (d *dirStats) forget(dir Ino) {
	d.mu.Lock()
	delete(d.pending, dir)
	d.mu.Unlock()
}

func (v *Volume) addDirStat(dir Ino, d DirStat) {
	if d == (DirStat{}) || dir == TrashIno || !v.format.Load().DirStats {
		return
	}
	v.stats.mu.Lock()
	v.stats.pending[dir] = v.stats.pending[dir].plus(d)
	v.stats.mu.Unlock()
}

func (v *Volume) flushStatsLoop(ctx context.Context) {
	tick := time.NewTicker(statFlushInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			v.stats.nextBeat()
			if err := v.flushStats(ctx); err != nil && ctx.Err() == nil {
				v.log.Warn("flush directory statistics", "err", err)
			}
		}
	}
}

// flushAllStats is flushStats that leaves nothing behind: it waits where that would try again later.
func (v *Volume) flushAllStats(ctx context.Context) error {
	const looks = 10 // in an interval
	v.stats.io.Lock()
	v.stats.patience = statLastPatience
	v.stats.io.Unlock()
	for n := 1; ; n++ {
		err := v.flushStats(ctx)
		v.stats.io.Lock()
		left := len(v.stats.below)
		v.stats.io.Unlock()
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(statFlushInterval / looks):
		}
		if n%looks == 0 {
			v.stats.nextBeat()
		}
	}
}

func (d *dirStats) nextBeat() {
	d.io.Lock()
	d.beat++
	d.io.Unlock()
}

// flushStats writes the pending changes. What cannot be written stays pending. A record that went wrong is recounted when
// it is found missing, or negative for a while, or by fsck.
func (v *Volume) flushStats(ctx context.Context) error {
	v.stats.io.Lock()
	defer v.stats.io.Unlock()
	v.stats.mu.Lock()
	pending := v.stats.pending
	v.stats.pending = map[Ino]DirStat{}
	v.stats.mu.Unlock()
	maps.DeleteFunc(v.stats.below, func(dir Ino, _ uint64) bool { return pending[dir] == DirStat{} })

	var failed error
	batch := make(map[Ino]DirStat, min(len(pending), statFlushBatch))
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		recount, err := v.addStats(ctx, batch)
		clear(batch)
		if err != nil {
			return err
		}
		for _, dir := range recount {
			if err := v.recountDir(ctx, dir, false); err != nil {
				return err
			}
		}
		return nil
	}
	for dir, d := range pending {
		if d == (DirStat{}) {
			continue
		}
		batch[dir] = d
		if len(batch) == statFlushBatch {
			failed = errors.Join(failed, flush())
		}
	}
	return errors.Join(failed, flush())
}

// addStats adds to the records that exist and lists the directories whose record must be counted anew.
func (v *Volume) addStats(ctx context.Context, batch map[Ino]DirStat) (recount []Ino, err error) {
	what := func() string { return "flush directory statistics" }
	later := map[Ino]DirStat{}
	err = v.update(ctx, what, Want{}, func(tx Tx) error {
		recount = recount[:0]
		clear(later)
		stored, err := tx.DirStats(slices.Collect(maps.Keys(batch)))
		if err != nil {
			return err
		}
		for dir, d := range batch {
			s, ok := stored[dir]
			now, rest := s.take(d)
			switch missing := rest != (DirStat{}); {
			case !ok || missing && !v.stats.waits(dir):
				recount = append(recount, dir)
				continue
			case missing:
				later[dir] = rest
			}
			if now != (DirStat{}) {
				tx.AddDirStat(dir, now)
			}
		}
		return nil
	})
	if err != nil {
		if !errors.Is(err, ErrUnknown) { // else they may be stored
			for dir, d := range batch {
				v.addDirStat(dir, d)
			}
		}
		return nil, err
	}
	for dir := range batch {
		if _, waits := later[dir]; !waits {
			delete(v.stats.below, dir)
		}
	}
	for dir, rest := range later {
		if _, known := v.stats.below[dir]; !known {
			v.stats.below[dir] = v.stats.beat
		}
		v.addDirStat(dir, rest)
	}
	return recount, err
}

// waits says whether a record that would become negative may still be put right by another client.
func (d *dirStats) waits(dir Ino) bool {
	since, known := d.below[dir]
	return !known || d.beat-since < d.patience
}

// EnableDirStats begins to keep statistics of directories. Records of an earlier time go: they are not true any more,
// and one that is missing is counted when it is needed.
func (v *Volume) EnableDirStats(ctx context.Context) error {
	for cursor := ""; ; {
		page, next, err := v.ScanNodes(ctx, cursor, statFlushBatch)
		if err != nil {
			return err
		}
		err = v.update(ctx, func() string { return "drop old directory statistics" }, Want{}, func(tx Tx) error {
			for _, n := range page {
				if n.Attr.Type == TypeDirectory {
					tx.DropDirStat(n.Ino)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	return v.changeFormat(ctx, func(f *Format) { f.DirStats = true })
}

// recountDir counts a directory and stores the result, if the directory exists. One in the trash has lost its record on
// purpose: it would not be kept up, and be wrong when the directory comes back. It gets one only if trashed says so.
func (v *Volume) recountDir(ctx context.Context, dir Ino, trashed bool) error {
	v.stats.forget(dir) // what is counted now has it
	var s DirStat
	for cursor := ""; ; {
		page, next, err := v.Readdir(ctx, dir, cursor, 1000, true)
		if err != nil {
			return err
		}
		for _, e := range page {
			one := DirStat{Space: pageSize, Inodes: 1}
			if e.Attr != nil {
				one.Length, one.Space = e.Attr.dataLength(), e.Attr.Space()
			}
			s = s.plus(one)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	what := func() string { return fmt.Sprintf("store statistics of directory %d", dir) }
	return v.update(ctx, what, Want{Perms: []Ino{dir}}, func(tx Tx) error {
		a, ok, err := tx.Perm(dir)
		if err != nil || !ok || a.Type != TypeDirectory || a.Parent.IsTrash() && !dir.IsTrash() && !trashed {
			return err
		}
		tx.SetDirStat(dir, s)
		return nil
	})
}
