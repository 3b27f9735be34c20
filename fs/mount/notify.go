package mount

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/meta"
)

// notifier tells the kernel of changes, in a goroutine of its own: to take a name from the kernel can wait for a
// request that is under way in that directory.
type notifier struct {
	*leases
	log    *slog.Logger
	attr   func(meta.Ino) fuse.Status         // takes an attribute from the kernel
	entry  func(meta.Ino, string) fuse.Status // takes a name
	expire time.Duration                      // after which what the kernel was told has ended anyway
	unmet  map[meta.Ino]int                   // inodes that the kernel did not know yet, and how often
	doubt  time.Duration                      // pause before the next look at names that nobody tells about; 0: there are none
	lost   time.Time                          // since when
	after  time.Time                          // when directories may be looked at again
	cancel context.CancelFunc
	done   sync.WaitGroup
}

const (
	resolveAtOnce = 500              // names that are looked up in one round trip
	resolveIn     = 10 * time.Second // longest time that may take
	// resolveShare is the reverse of the share of its time that the goroutine may spend on looking at names of
	// directories that others change all the time.
	resolveShare = 5
	// meetAgainIn is the pause before an inode is looked for again in the kernel that did not know it: the answer
	// that makes it known may be under way.
	meetAgainIn = 5 * time.Millisecond
	meetings    = 5
	doubtAgain  = time.Second // pause before the first look; it doubles
)

// startNotifier begins to listen. close must follow.
func startNotifier(l *leases, log *slog.Logger, expire time.Duration, attr func(meta.Ino) fuse.Status, entry func(meta.Ino, string) fuse.Status) *notifier {
	ctx, cancel := context.WithCancel(context.Background())
	n := &notifier{
		leases: l, log: log, attr: attr, entry: entry, expire: expire, unmet: map[meta.Ino]int{}, cancel: cancel,
	}
	l.source.OnChange(l.heard)
	n.done.Go(func() { n.run(ctx) })
	return n
}

func (n *notifier) close() {
	n.source.OnChange(nil)
	n.cancel()
	n.done.Wait()
}

func (n *notifier) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var next <-chan time.Time
	dirs := map[meta.Ino]struct{}{} // to be looked at
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-next:
		}
		p := n.take()
		if p.all {
			n.doubtAll(dirs)
		}
		n.attrs(p.inodes)
		maps.Copy(dirs, p.dirs)
		if n.doubt > 0 && !time.Now().Before(n.after) {
			n.lookAgain(dirs)
		}
		n.entries(ctx, dirs)
		if wait, ok := n.wait(len(dirs) > 0); ok {
			timer.Reset(wait)
			next = timer.C
		} else {
			next = nil
		}
	}
}

func (l *leases) take() pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pending
	l.pending.reset()
	return p
}

// wait says when there is something to do again.
func (n *notifier) wait(dirs bool) (time.Duration, bool) {
	switch {
	case len(n.unmet) > 0:
		return meetAgainIn, true
	case dirs || n.doubt > 0:
		return max(time.Until(n.after), time.Millisecond), true
	}
	return 0, false
}

// attrs takes attributes from the kernel, and those again that it did not know before.
func (n *notifier) attrs(inodes map[meta.Ino]struct{}) {
	for ino := range inodes {
		n.unmet[ino] = 0
	}
	for ino, times := range n.unmet {
		if st := n.attr(ino); st != fuse.ENOENT || times >= meetings || !n.promised(ino) {
			delete(n.unmet, ino)
			continue
		}
		n.unmet[ino] = times + 1
	}
}

// promised says whether the kernel was told an attribute on which it may rely.
func (l *leases) promised(ino meta.Ino) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nodes[ino].attr
}

// doubtAll takes all attributes from the kernel, and has all names looked at. They are not taken: a directory that
// is in use would have no path until it is looked up again.
func (n *notifier) doubtAll(dirs map[meta.Ino]struct{}) {
	n.mu.Lock()
	all := make(map[meta.Ino]struct{}, len(n.nodes))
	for ino, node := range n.nodes {
		if node.attr {
			all[ino] = struct{}{}
		}
	}
	n.mu.Unlock()
	n.attrs(all)
	n.doubt, n.lost, n.after = doubtAgain, time.Now(), time.Time{}
	n.lookAgain(dirs)
}

// lookAgain has the names of all directories looked at while nobody tells of changes, until the last of them are
// so old that the kernel asks by itself.
func (n *notifier) lookAgain(dirs map[meta.Ino]struct{}) {
	coherent := n.source.Coherent() // what is read from here on is told about
	n.mu.Lock()
	for dir := range n.names {
		dirs[dir] = struct{}{}
	}
	n.mu.Unlock()
	switch {
	case coherent || time.Since(n.lost) > n.expire:
		n.doubt = 0
	default:
		n.doubt *= 2
	}
}

// entries looks at the names that the kernel knows in directories, and takes those that stand for something else
// now. What is not done stays in dirs.
func (n *notifier) entries(ctx context.Context, dirs map[meta.Ino]struct{}) {
	if len(dirs) == 0 || time.Now().Before(n.after) {
		return
	}
	start := time.Now()
	pause := n.doubt
	for dir := range dirs {
		if err := n.compare(ctx, dir); err != nil {
			n.log.Debug("look at names that have changed", "directory", dir, "err", err)
			pause = max(pause, doubtAgain)
			break
		}
		delete(dirs, dir)
	}
	n.after = time.Now().Add(max(resolveShare*time.Since(start)-time.Since(start), pause))
}

func (n *notifier) compare(ctx context.Context, dir meta.Ino) error {
	ctx, cancel := context.WithTimeout(ctx, resolveIn)
	defer cancel()
	n.mu.Lock()
	names := slices.Collect(maps.Keys(n.names[dir]))
	n.mu.Unlock()
	for part := range slices.Chunk(names, resolveAtOnce) {
		inodes, err := n.Resolve(ctx, dir, part)
		if err != nil {
			return err
		}
		for i, name := range part {
			if n.differs(dir, name, inodes[i]) {
				n.entry(dir, name)
			}
		}
	}
	return nil
}

// differs says whether the kernel knows a name in another way, and drops it then.
func (l *leases) differs(dir meta.Ino, name string, ino meta.Ino) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.names[dir][name]
	if !ok || known == ino {
		return false
	}
	l.drop(dir, name)
	return true
}
