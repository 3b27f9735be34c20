package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"jfs/internal/posix"
)

// FileCommit is what WriteAll publishes of one file. Several of one file are published in their order.
type FileCommit struct {
	Ino Ino
	Commit
}

// Published is what became of a FileCommit.
type Published struct {
	Before, After Attr
	// Err is ENOENT or EPERM for a file that is gone, ENOSPC or EDQUOT for one that may not grow; its slices, and
	// those of its later commits, are then not published.
	Err error

	dirs holders // in which it was when it grew
}

// WriteAll publishes slices of several files in one transaction. One file that is refused does not harm the others. A
// slice that several of them show must not be part of another call, because its references are counted here. After an
// error nothing is known: ask Landed before trying again.
func (v *Volume) WriteAll(ctx context.Context, all []FileCommit) ([]Published, error) {
	for try := 1; ; try++ {
		done, err := v.writeAll(ctx, all)
		if errors.Is(err, ErrChunkFull) && v.compactAll(ctx, all) {
			done, err = v.writeAll(ctx, all)
		}
		switch {
		case err == nil:
			v.publishedAll(ctx, all, done)
			return done, nil
		case !errors.Is(err, ErrUnknown) || try == commitTries:
			return nil, err
		}
		landed, lookErr := v.Landed(ctx, all)
		if lookErr != nil {
			return nil, errors.Join(err, lookErr)
		}
		if slices.Contains(landed, true) { // all that was not refused is there
			v.publishedAll(ctx, all, done)
			return done, nil
		}
	}
}

// compactAll makes room in the chunks that commits append to, and says whether that was tried.
func (v *Volume) compactAll(ctx context.Context, all []FileCommit) (tried bool) {
	for i := range all {
		tried = v.compact.all(ctx, all[i].Ino, all[i].Slices) || tried
	}
	return tried
}

// Landed says which of the commits are published, by their last record. A compaction by another client can hide
// that.
func (v *Volume) Landed(ctx context.Context, all []FileCommit) ([]bool, error) {
	landed := make([]bool, len(all))
	var want Want
	for _, c := range all {
		want.Chunks = append(want.Chunks, ChunkID{c.Ino, c.last().Index})
	}
	slices.SortFunc(want.Chunks, func(a, b ChunkID) int { return cmpChunk(a, b) })
	want.Chunks = slices.Compact(want.Chunks)
	what := func() string { return fmt.Sprintf("look for what was published of %d files", len(all)) }
	err := v.view(ctx, what, want, func(r Reader) error {
		for i, c := range all {
			records, err := r.Chunk(c.Ino, c.last().Index)
			if err != nil {
				return err
			}
			landed[i] = slices.Contains(records, c.last().Slice)
		}
		return nil
	})
	return landed, err
}

func (c *FileCommit) last() Written { return c.Slices[len(c.Slices)-1] }

func cmpChunk(a, b ChunkID) int {
	if a.Ino != b.Ino {
		return int(int64(a.Ino) - int64(b.Ino))
	}
	return int(int64(a.Index) - int64(b.Index))
}

// writeAll also gives the results when the outcome is unknown: they hold if it was committed.
func (v *Volume) writeAll(ctx context.Context, all []FileCommit) (done []Published, err error) {
	var want Want
	for _, c := range all {
		want.Attrs = append(want.Attrs, c.Ino)
	}
	slices.Sort(want.Attrs)
	want.Attrs = slices.Compact(want.Attrs)
	what := func() string { return fmt.Sprintf("write to %d files", len(want.Attrs)) }
	err = v.update(ctx, what, want, func(tx Tx) error {
		done = make([]Published, len(all))
		now := make(map[Ino]*Published, len(want.Attrs))
		changed := make(map[Ino]*Attr, len(want.Attrs))
		var room int64
		var written []Written
		for i := range all {
			c, p := &all[i], now[all[i].Ino]
			if p == nil {
				p = &Published{}
				now[c.Ino] = p
				var ok bool
				var err error
				if p.After, ok, err = tx.Attr(c.Ino); err != nil {
					return err
				}
				switch {
				case !ok:
					p.Err = posix.ENOENT
				case p.After.Type != TypeFile:
					p.Err = posix.EPERM
				}
			}
			p.Before = p.After
			if p.Err == nil {
				a := grownBy(p.Before, c.Slices)
				grown := a.Space() - p.Before.Space()
				var err error
				if a.Length != p.Before.Length {
					p.dirs, err = v.mayGrow(tx, c.Ino, &p.Before, grown, room)
				}
				if err != nil {
					if !isRefusal(err) {
						return err
					}
					p.Err = err
				} else {
					c.stamp(&a, v.time())
					p.After = a
					changed[c.Ino] = &p.After
					room += grown
					written = append(written, c.Slices...)
					appendWritten(tx, c.Ino, c.Slices)
				}
			}
			done[i] = *p
		}
		for _, ino := range want.Attrs {
			if a := changed[ino]; a != nil {
				tx.SetAttr(ino, a)
			}
		}
		countRefs(tx, written)
		if room != 0 {
			tx.AddUsage(room, 0)
		}
		return nil
	})
	return done, err
}

// mayGrow is checkGrowth for one of many: the volume must have room for what the others take, too.
func (v *Volume) mayGrow(tx Tx, ino Ino, a *Attr, grown, others int64) (holders, error) {
	in, err := v.holdersOf(tx, ino, a)
	if err == nil {
		err = v.checkGrowth(in, a, grown)
	}
	if err == nil && grown > 0 {
		err = v.checkRoom(grown+others, 0)
	}
	return in, err
}

// isRefusal says whether an error of a commit is an answer about one file.
func isRefusal(err error) bool {
	return errors.Is(err, posix.ENOENT) || errors.Is(err, posix.EPERM) || errors.Is(err, posix.ENOSPC) || errors.Is(err, posix.EDQUOT)
}

func (v *Volume) publishedAll(ctx context.Context, all []FileCommit, done []Published) {
	for i := range all {
		if done[i].Err != nil {
			continue
		}
		v.kept(all[i].Promise, done[i].After.Space())
		v.resized(ctx, done[i].dirs, &done[i].Before, &done[i].After)
		for _, w := range all[i].Slices {
			v.compact.wrote(ctx, ChunkID{all[i].Ino, w.Index}, 1)
		}
	}
}

// grownBy is an attribute with the length that slices give it.
func grownBy(a Attr, ws []Written) Attr {
	for _, w := range ws {
		a.Length = max(a.Length, uint64(w.Index)<<ChunkBits+uint64(w.Slice.Pos)+uint64(w.Slice.Len))
	}
	return a
}

// appendWritten appends the records of slices, as many of one chunk at a time as engines take.
func appendWritten(tx Tx, ino Ino, ws []Written) {
	for i := 0; i < len(ws); {
		run := i
		var records []Slice
		for ; i < len(ws) && ws[i].Index == ws[run].Index && len(records) < appendMost; i++ {
			records = append(records, ws[i].Slice)
		}
		tx.AppendSlices(ino, ws[run].Index, records)
	}
}

// stamp sets the times that a commit gives a file.
//
// A late one comes some time after its writes, in which somebody may have set the times by hand: whoever did it after
// the write has the last word. What the user of this mount has seen since the write stays as it was, but for the
// smallest step of the ctime where it would not change, since caches of other clients go by it.
func (c *Commit) stamp(a *Attr, now Time) {
	if !c.Late {
		a.Mtime, a.Ctime = c.Mtime, now
		return
	}
	if a.Mtime == c.Base {
		a.Mtime = c.Mtime
	}
	if c.Mtime.Sub(a.Ctime) > 0 {
		a.Ctime = c.Mtime
	} else {
		a.Ctime = TimeOf(a.Ctime.Time().Add(time.Nanosecond))
	}
}
