package meta

import (
	"context"
	"fmt"
	"time"
)

// AtimeMode says when access times are kept up.
type AtimeMode uint8

// The modes of access times.
const (
	NoAtime     AtimeMode = iota // never
	RelAtime                     // when they are older than the last change, or than a day
	StrictAtime                  // also when they are older than a second
)

const (
	relAtimeAge    = 24 * time.Hour
	strictAtimeAge = time.Second
)

// ParseAtimeMode reads the name of a mode: noatime, relatime or strictatime.
func ParseAtimeMode(s string) (AtimeMode, error) {
	switch s {
	case "", "noatime":
		return NoAtime, nil
	case "relatime":
		return RelAtime, nil
	case "strictatime":
		return StrictAtime, nil
	}
	return 0, fmt.Errorf("unknown access time mode %q: choose noatime, relatime or strictatime", s)
}

// due says whether an access now changes the access time.
func (m AtimeMode) due(a *Attr, now Time) bool {
	if m == NoAtime {
		return false
	}
	age := now.Sub(a.Atime)
	return a.Mtime.after(a.Atime) || a.Ctime.after(a.Atime) || age > relAtimeAge || m == StrictAtime && age > strictAtimeAge
}

func (t Time) after(u Time) bool { return t.Sec > u.Sec || t.Sec == u.Sec && t.Nsec > u.Nsec }

// Accessed records that an inode was read. a is its attribute as far as it is known; nothing is done, and false
// given, when its access time need not change. It gives the attribute after the change.
func (v *Volume) Accessed(ctx context.Context, ino Ino, a *Attr) (Attr, bool, error) {
	if !v.TracksAtime() || ino.IsTrash() || !v.opt.Atime.due(a, v.time()) {
		return Attr{}, false, nil
	}
	var next Attr
	changed := false
	what := func() string { return fmt.Sprintf("set access time of inode %d", ino) }
	err := v.update(ctx, what, Want{Attrs: []Ino{ino}}, func(tx Tx) error {
		changed = false
		var err error
		if next, err = existing(tx, ino); err != nil {
			return err
		}
		now := v.time()
		if !v.opt.Atime.due(&next, now) {
			return nil
		}
		next.Atime = now
		changed = true
		tx.SetAttr(ino, &next)
		return nil
	})
	return next, changed && err == nil, err
}

// TracksAtime says whether Accessed ever has something to do.
func (v *Volume) TracksAtime() bool { return v.opt.Atime != NoAtime && !v.opt.ReadOnly }
