package meta

import (
	"context"
	"sync"

	"jfs/internal/posix"
)

// usage is what the volume holds as this client believes: read from the database at each heartbeat, and moved
// by its own changes between.
type usage struct {
	mu     sync.Mutex // guards the rest
	space  int64
	inodes int64
}

func (u *usage) add(space, inodes int64) {
	u.mu.Lock()
	u.space += space
	u.inodes += inodes
	u.mu.Unlock()
}

func (u *usage) get() (space, inodes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return max(u.space, 0), max(u.inodes, 0)
}

func (v *Volume) refreshUsage(ctx context.Context) error {
	var space, inodes int64
	err := v.view(ctx, func() string { return "read usage" }, Want{}, func(r Reader) (err error) {
		space, inodes, err = r.Usage()
		return err
	})
	if err == nil {
		v.usage.mu.Lock()
		v.usage.space, v.usage.inodes = space, inodes
		v.usage.mu.Unlock()
	}
	return err
}

// checkRoom says whether the volume has room for more. Only additions are checked.
func (v *Volume) checkRoom(space, inodes int64) error {
	f := v.format.Load()
	usedSpace, usedInodes := v.usage.get()
	if space > 0 && f.Capacity > 0 && usedSpace+space > int64(f.Capacity) ||
		inodes > 0 && f.Inodes > 0 && usedInodes+inodes > int64(f.Inodes) {
		return posix.ENOSPC
	}
	return nil
}

// Space is the size and use of a volume.
type Space struct {
	TotalBytes, FreeBytes   uint64
	TotalInodes, FreeInodes uint64
}

// Sizes that a volume without limits shows, before they are doubled to leave room.
const (
	shownSpace  = 1 << 50 // 1 PiB
	shownInodes = 10 << 20
)

// Space gives the size of the volume when so much of it is used.
func (f Format) Space(usedSpace, usedInodes int64) Space {
	var s Space
	used := uint64(max(usedSpace, 0))
	if f.Capacity > 0 {
		s.TotalBytes = max(f.Capacity, used)
	} else {
		s.TotalBytes = shownSpace
		for used > s.TotalBytes/10*8 {
			s.TotalBytes *= 2
		}
	}
	s.FreeBytes = s.TotalBytes - used
	inodes := uint64(max(usedInodes, 0))
	if f.Inodes > 0 {
		s.FreeInodes = max(f.Inodes, inodes) - inodes
	} else {
		s.FreeInodes = shownInodes
		for inodes > s.FreeInodes*4 {
			s.FreeInodes *= 2
		}
	}
	s.TotalInodes = inodes + s.FreeInodes
	return s
}
