package meta

import (
	"context"
	"fmt"
	"sync"
)

// Totals is what a tree holds, its top included. A file with several names counts once for each.
type Totals struct {
	Length int64 // Σ length of regular files, bytes
	Space  int64 // Σ charge, bytes
	Files  int64 // everything but directories
	Dirs   int64
}

func (t Totals) plus(d Totals) Totals {
	return Totals{t.Length + d.Length, t.Space + d.Space, t.Files + d.Files, t.Dirs + d.Dirs}
}

func (t Totals) use() use { return use{t.Space, t.Files + t.Dirs} }

// totalsOf is what one inode adds; a is nil for an entry whose inode is missing.
func totalsOf(typ Type, a *Attr) Totals {
	t := Totals{Space: pageSize}
	if a != nil {
		t.Length, t.Space = a.dataLength(), a.Space()
	}
	if typ == TypeDirectory {
		t.Dirs = 1
	} else {
		t.Files = 1
	}
	return t
}

// Summary gives the totals of a tree. It takes them from the statistics of the directories, which may lag by
// seconds behind what other clients do; strict adds up the attributes of all entries instead.
func (v *Volume) Summary(ctx context.Context, ino Ino, strict bool) (Totals, error) {
	defer v.timed("GetSummary", v.began())
	a, err := v.GetAttr(ctx, ino)
	if err != nil || a.Type != TypeDirectory {
		return totalsOf(a.Type, &a), err
	}
	s, ctx, err := v.newSummer(ctx, strict, defaultThreads)
	if err != nil {
		return Totals{}, err
	}
	defer s.crew.close()
	err = s.top(ctx, ino)
	return s.sum.plus(totalsOf(a.Type, &a)), err
}

// DirectTotals gives the totals of a directory and its direct entries, of a file its own.
func (v *Volume) DirectTotals(ctx context.Context, ino Ino) (Totals, error) {
	a, err := v.GetAttr(ctx, ino)
	if err != nil {
		return Totals{}, err
	}
	t := totalsOf(a.Type, &a)
	if a.Type == TypeDirectory {
		err = v.eachPage(ctx, ino, true, func(page []Dirent) error {
			for _, e := range page {
				t = t.plus(totalsOf(e.Type, e.Attr))
			}
			return nil
		})
	}
	return t, err
}

// summer adds up a tree.
type summer struct {
	v      *Volume
	strict bool
	crew   *crew

	mu  sync.Mutex // guards sum
	sum Totals     // of what lies below the top
}

func (v *Volume) newSummer(ctx context.Context, strict bool, threads int) (*summer, context.Context, error) {
	strict = strict || !v.format.Load().DirStats
	if !strict && !v.opt.ReadOnly {
		if err := v.flushStats(ctx); err != nil {
			return nil, ctx, err
		}
	}
	crew, ctx := newCrew(ctx, threads)
	return &summer{v: v, strict: strict, crew: crew}, ctx, nil
}

func (s *summer) add(t Totals) {
	s.mu.Lock()
	s.sum = s.sum.plus(t)
	s.mu.Unlock()
}

// top adds what lies below a directory, as dir does.
func (s *summer) top(ctx context.Context, ino Ino) error {
	stats, err := s.stats(ctx, []Ino{ino})
	if err != nil {
		return err
	}
	return s.dir(ctx, ino, stats)
}

func (s *summer) stats(ctx context.Context, dirs []Ino) (map[Ino]DirStat, error) {
	if s.strict || len(dirs) == 0 {
		return nil, nil
	}
	var stats map[Ino]DirStat
	what := func() string { return fmt.Sprintf("statistics of %d directories", len(dirs)) }
	err := s.v.view(ctx, what, Want{}, func(r Reader) (err error) {
		stats, err = r.DirStats(dirs)
		return err
	})
	return stats, err
}

// dir adds what lies below a directory. stats holds its statistics if there are any.
func (s *summer) dir(ctx context.Context, ino Ino, stats map[Ino]DirStat) error {
	stat, known := stats[ino]
	known = known && stat.Length >= 0 && stat.Space >= 0 && stat.Inodes >= 0
	subdirs, entries := int64(0), Totals{}
	t := team{crew: s.crew}
	err := s.v.eachPage(ctx, ino, !known, func(page []Dirent) error {
		var below []Ino
		for _, e := range page {
			if e.Type == TypeDirectory {
				below = append(below, e.Ino)
			}
			entries = entries.plus(totalsOf(e.Type, e.Attr))
		}
		subdirs += int64(len(below))
		stats, err := s.stats(ctx, below)
		if err != nil {
			return err
		}
		for _, sub := range below {
			t.do(func() error { return s.dir(ctx, sub, stats) })
		}
		return nil
	})
	if known {
		// What came or went since the statistics were written must not make a count negative.
		entries = Totals{Length: stat.Length, Space: stat.Space, Files: max(stat.Inodes-subdirs, 0), Dirs: subdirs}
	}
	s.add(entries)
	return t.wait(err)
}
