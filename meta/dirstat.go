package meta

import (
	"context"
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
}

const (
	statFlushInterval = time.Second
	statFlushBatch    = 200 // directories per transaction
)

func (s DirStat) negate() DirStat { return DirStat{-s.Length, -s.Space, -s.Inodes} }

func (s DirStat) plus(d DirStat) DirStat {
	return DirStat{s.Length + d.Length, s.Space + d.Space, s.Inodes + d.Inodes}
}

// statOf is what an entry adds to the statistics of its directory.
func statOf(a *Attr) DirStat { return DirStat{Length: a.dataLength(), Space: a.Space(), Inodes: 1} }

func (d *dirStats) init() { d.pending = map[Ino]DirStat{} }

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
			if err := v.flushStats(ctx); err != nil && ctx.Err() == nil {
				v.log.Warn("flush directory statistics", "err", err)
			}
		}
	}
}

// flushStats writes the pending changes. After an error they are lost; a record that went wrong is recounted
// when it is found negative or missing, or by fsck.
func (v *Volume) flushStats(ctx context.Context) error {
	v.stats.io.Lock()
	defer v.stats.io.Unlock()
	v.stats.mu.Lock()
	pending := v.stats.pending
	v.stats.pending = map[Ino]DirStat{}
	v.stats.mu.Unlock()

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
			if err := v.recountDir(ctx, dir); err != nil {
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
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// addStats adds to the records that exist and lists the directories whose record must be counted anew.
func (v *Volume) addStats(ctx context.Context, batch map[Ino]DirStat) (recount []Ino, err error) {
	what := func() string { return "flush directory statistics" }
	err = v.update(ctx, what, Want{}, func(tx Tx) error {
		recount = recount[:0]
		stored, err := tx.DirStats(slices.Collect(maps.Keys(batch)))
		if err != nil {
			return err
		}
		for dir, d := range batch {
			s, ok := stored[dir]
			if sum := s.plus(d); !ok || sum.Length < 0 || sum.Space < 0 || sum.Inodes < 0 {
				recount = append(recount, dir)
				continue
			}
			tx.AddDirStat(dir, d)
		}
		return nil
	})
	return recount, err
}

// recountDir counts a directory and stores the result, if the directory exists.
func (v *Volume) recountDir(ctx context.Context, dir Ino) error {
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
		if err != nil || !ok || a.Type != TypeDirectory {
			return err
		}
		tx.SetDirStat(dir, s)
		return nil
	})
}
