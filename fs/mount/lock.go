package mount

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/internal/posix"
	"jfs/meta"
)

// lockers knows through which open file which owners took record locks, until their close. The owner of a lock of an
// open file description (F_OFD_SETLK) is not named at any close, so what is left here ends with the open file.
type lockers struct {
	mu sync.Mutex // guards by
	by map[uint64]map[uint64]struct{}
}

func (l *lockers) add(fh, owner uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = map[uint64]map[uint64]struct{}{}
	}
	if l.by[fh] == nil {
		l.by[fh] = map[uint64]struct{}{}
	}
	l.by[fh][owner] = struct{}{}
}

func (l *lockers) remove(fh, owner uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.by[fh], owner)
	if len(l.by[fh]) == 0 {
		delete(l.by, fh)
	}
}

func (l *lockers) take(fh uint64) map[uint64]struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	owners := l.by[fh]
	delete(l.by, fh)
	return owners
}

// flockOwner tells the descriptors of one process apart, in the way of the volume format.
func flockOwner(owner, fh uint64) uint64 { return owner ^ fh }

func flockType(kernel uint32) (meta.FlockType, error) {
	switch kernel {
	case syscall.F_RDLCK:
		return meta.FlockShared, nil
	case syscall.F_WRLCK:
		return meta.FlockExclusive, nil
	case syscall.F_UNLCK:
		return meta.FlockNone, nil
	}
	return 0, posix.EINVAL
}

// The kernel numbers the types of record locks as the volume format does.
func plockOf(l *fuse.FileLock) meta.Plock {
	return meta.Plock{Type: l.Typ, PID: l.Pid, Start: l.Start, End: l.End}
}

func (a *adapter) SetLk(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	return a.answer(a.reqs.begin(cancel, a.reqs.interruptDelay), "setlk", in.NodeId, func(ctx context.Context) error {
		return a.setlk(ctx, in, false)
	})
}

// SetLkw waits as long as its caller does.
func (a *adapter) SetLkw(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	r := a.reqs.begin(cancel, a.reqs.interruptDelay)
	r.timeout = 0
	return a.answer(r, "setlkw", in.NodeId, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		var watch sync.WaitGroup
		defer watch.Wait()
		defer cancel()
		watch.Go(func() { watchCaller(ctx, cancel, in.Pid) })
		return a.setlk(ctx, in, true)
	})
}

// callerCheck is how often a waiting caller is looked at.
const callerCheck = time.Second

// watchCaller gives up for a thread that was killed. The kernel should tell of that, and was seen not to when many
// requests were under way; without an answer the thread would not end, nor give up the locks that it holds. The kernel tells
// once, and again only if the answer is EAGAIN. The FUSE library is not known to lose that: it gives EAGAIN when the
// interrupt was read before its request was entered, and enters and searches requests under one lock. So this is a second way
// to learn of a death, not a repair of a known fault.
func watchCaller(ctx context.Context, giveUp context.CancelFunc, thread uint32) {
	t := time.NewTicker(callerCheck)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if killed(thread) {
				giveUp()
				return
			}
		}
	}
}

// killed says whether a thread is going to end without another instruction of its program. Of one in another
// namespace, whose number is 0, it is not known.
func killed(thread uint32) bool {
	if thread == 0 {
		return false
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "SigPnd:"); ok {
			pending, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && pending>>(syscall.SIGKILL-1)&1 != 0
		}
	}
	return false
}

func (a *adapter) setlk(ctx context.Context, in *fuse.LkIn, block bool) error {
	ino := a.ino(in.NodeId)
	var stale bool
	if in.LkFlags&fuse.LK_FLOCK != 0 {
		typ, err := flockType(in.Lk.Typ)
		if err != nil {
			return err
		}
		if stale, err = a.fs.Flock(ctx, ino, flockOwner(in.Owner, in.Fh), typ, block); err != nil {
			return err
		}
	} else {
		if in.Lk.Typ != syscall.F_UNLCK {
			a.locks.add(in.Fh, in.Owner)
		}
		var err error
		if stale, err = a.fs.Setlk(ctx, ino, in.Owner, plockOf(&in.Lk), block); err != nil {
			return err
		}
	}
	if stale {
		// Its caller waits for this answer alone, so the kernel can wait for the pages of the file.
		a.forgetPages(in.NodeId)
	}
	return nil
}

func (a *adapter) GetLk(cancel <-chan struct{}, in *fuse.LkIn, out *fuse.LkOut) fuse.Status {
	return a.run("getlk", cancel, a.reqs.interruptDelay, in.NodeId, func(ctx context.Context) error {
		l, err := a.fs.Getlk(ctx, a.ino(in.NodeId), in.Owner, plockOf(&in.Lk))
		if err == nil {
			out.Lk = fuse.FileLock{Start: l.Start, End: l.End, Typ: l.Type, Pid: l.PID}
		}
		return err
	})
}

// closed releases the record locks of a process that closes a descriptor, whichever it took them through.
func (a *adapter) closed(ctx context.Context, in *fuse.FlushIn) error {
	if !a.opt.sharesLocks() {
		return nil
	}
	if err := a.fs.ReleaseLocks(ctx, a.ino(in.NodeId), in.LockOwner); err != nil {
		return err // and the end of the open file is another try
	}
	a.locks.remove(in.Fh, in.LockOwner)
	return nil
}

// released gives up the locks that belong to an open file.
func (a *adapter) released(ctx context.Context, in *fuse.ReleaseIn) error {
	if !a.opt.sharesLocks() {
		return nil
	}
	ino := a.ino(in.NodeId)
	var errs []error
	if in.ReleaseFlags&fuse.FUSE_RELEASE_FLOCK_UNLOCK != 0 {
		_, err := a.fs.Flock(ctx, ino, flockOwner(in.LockOwner, in.Fh), meta.FlockNone, false)
		errs = append(errs, err)
	}
	for owner := range a.locks.take(in.Fh) {
		errs = append(errs, a.fs.ReleaseLocks(ctx, ino, owner))
	}
	return errors.Join(errs...)
}
