package meta

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"jfs/internal/posix"
)

// RestoreOptions are the settings of Restore. The zero value works.
type RestoreOptions struct {
	PutBack  bool        // also move what does not lie in a removed directory back to where it was
	Threads  int         // entries that are moved at the same time; 0 means 10
	Progress func(n int) // told from several goroutines how many entries have just been dealt with; may be nil
}

// Restored counts the entries of the trash that Restore has looked at.
type Restored struct {
	Moved   int64 // entered where they were
	Skipped int64 // left in the trash, as they did not lie in a removed directory and were not to be put back
	Failed  int64 // left in the trash because they could not be moved: see the log
}

// Restore gives removed trees their form again. What was removed in the given hours, written as 2006-01-02-15 in
// UTC, lies flat in the trash; first every entry whose directory is there as well is moved back into it. With
// PutBack, what remains is then moved back to the directories that it was removed from. An entry is not moved if
// its name is taken or its directory is gone.
func (v *Volume) Restore(ctx context.Context, hours []string, opt RestoreOptions) (Restored, error) {
	if v.opt.ReadOnly {
		return Restored{}, posix.EROFS
	}
	r := restorer{v: v, opt: opt, dirs: map[Ino]bool{}}
	for _, hour := range hours {
		if _, err := time.Parse(trashHour, hour); err != nil {
			return Restored{}, fmt.Errorf("hour %q is not valid: give the name of a directory of the trash, like %s", hour, trashHour)
		}
		ino, _, err := v.Lookup(ctx, Root, TrashIno, hour)
		if err != nil {
			return Restored{}, fmt.Errorf("trash of hour %s: %w", hour, err)
		}
		r.hours = append(r.hours, ino)
	}
	if err := r.findDirs(ctx); err != nil {
		return Restored{}, err
	}
	// Trees take their form inside the trash before anything leaves it, so that each is moved as a whole.
	if err := r.pass(ctx, true); err != nil {
		return r.done, err
	}
	if err := r.pass(ctx, false); err != nil {
		return r.done, err
	}
	return r.done, r.recount(ctx)
}

// restorer is one run of Restore.
type restorer struct {
	v     *Volume
	opt   RestoreOptions
	hours []Ino
	dirs  map[Ino]bool // directories among the entries of the hours

	mu   sync.Mutex // guards done
	done Restored
}

// trashed is what the name of an entry in the trash says.
func trashed(name string) (parent Ino, orig string, ok bool) {
	p, rest, ok := strings.Cut(name, "-")
	if !ok {
		return 0, "", false
	}
	_, orig, ok = strings.Cut(rest, "-")
	n, err := strconv.ParseUint(p, 10, 64)
	return Ino(n), orig, ok && err == nil && n != 0 && !Ino(n).IsTrash() && orig != ""
}

func (r *restorer) findDirs(ctx context.Context) error {
	for _, hour := range r.hours {
		err := r.v.eachPage(ctx, hour, false, func(page []Dirent) error {
			for _, e := range page {
				if e.Type == TypeDirectory {
					r.dirs[e.Ino] = true
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pass moves the entries whose directories are in the trash, or the others.
func (r *restorer) pass(ctx context.Context, inside bool) error {
	crew, ctx := newCrew(ctx, orDefault(r.opt.Threads, defaultThreads))
	defer crew.close()
	t := team{crew: crew}
	var err error
	for _, hour := range r.hours {
		err = r.v.eachPage(ctx, hour, false, func(page []Dirent) error {
			for _, e := range page {
				parent, name, ok := trashed(e.Name)
				switch {
				case !ok:
					if !inside {
						r.count(&r.done.Failed)
						r.v.log.Warn("entry of the trash has a name that says nothing", "name", e.Name)
					}
				case r.dirs[parent] != inside:
				case !inside && !r.opt.PutBack:
					r.count(&r.done.Skipped)
				default:
					t.do(func() error { return r.move(ctx, Name{hour, e.Name}, Name{parent, name}) })
				}
			}
			return nil
		})
		if err != nil {
			break
		}
	}
	return t.wait(err)
}

func (r *restorer) count(n *int64) {
	r.mu.Lock()
	*n++
	r.mu.Unlock()
	if r.opt.Progress != nil {
		r.opt.Progress(1)
	}
}

// move puts an entry of the trash back. A reason that lies in this entry is counted, others end the work.
func (r *restorer) move(ctx context.Context, from, to Name) error {
	var fact posix.Error
	err := checkName(to.Name)
	if err == nil {
		err = r.v.move(ctx, move{who: Root, from: from, to: to, noReplace: true, restore: true})
	}
	switch {
	case err == nil:
		r.count(&r.done.Moved)
	case errors.As(err, &fact):
		r.count(&r.done.Failed)
		r.v.log.Warn("restore", "entry", from.Name, "err", err)
	default:
		return err
	}
	return nil
}

// recount makes statistics for the directories. They lost them on their way into the trash, or have what was true when a
// restoration ended in the middle.
func (r *restorer) recount(ctx context.Context) error {
	v := r.v
	if !v.format.Load().DirStats {
		return nil
	}
	if err := v.flushStats(ctx); err != nil {
		return err
	}
	for dir := range r.dirs {
		if err := v.recountDir(ctx, dir, true); err != nil {
			return err
		}
	}
	return nil
}
