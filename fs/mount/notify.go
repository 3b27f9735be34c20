package mount

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/meta"
)

// notifier tells the kernel of changes. A goroutine takes attributes from it, which never waits, and others take
// names, see names.
type notifier struct {
	*leases
	attr   func(meta.Ino) fuse.Status // takes an attribute from the kernel
	names  *names
	expire time.Duration        // after which what the kernel was told has ended anyway
	unmet  map[meta.Ino]meeting // inodes that the kernel did not know yet
	doubt  time.Duration        // pause before the next look at names that nobody tells about; 0: there are none
	again  time.Time            // when that is
	lost   time.Time            // since when there are
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// meeting is the search for an inode that the kernel did not know although it was promised the attribute: the answer
// that makes it known may be under way.
type meeting struct{ since, next time.Time }

const (
	meetAgainIn = 5 * time.Millisecond // pause before the second attempt; it doubles
	meetFor     = 20 * time.Second     // longer than an answer can take on its way to the kernel
	doubtAgain  = time.Second          // pause before the first look; it doubles
)

// startNotifier begins to listen. close must follow.
func startNotifier(l *leases, log *slog.Logger, expire time.Duration, attr func(meta.Ino) fuse.Status, entry func(meta.Ino, string) fuse.Status) *notifier {
	ctx, cancel := context.WithCancel(context.Background())
	n := &notifier{
		leases: l, attr: attr, names: newNames(l, log, entry), expire: expire, unmet: map[meta.Ino]meeting{}, cancel: cancel,
	}
	l.source.OnChange(l.heard)
	n.names.start(ctx, &n.done)
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-timer.C:
		}
		p := n.take()
		if p.all {
			n.doubtAll()
		}
		n.attrs(p.inodes, time.Now())
		for dir := range p.dirs {
			n.names.look(dir)
		}
		if n.doubt > 0 && !time.Now().Before(n.again) {
			n.lookAgain()
		}
		timer.Reset(n.wait())
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
func (n *notifier) wait() time.Duration {
	next := time.Now().Add(time.Hour)
	if n.doubt > 0 {
		next = n.again
	}
	for _, m := range n.unmet {
		if m.next.Before(next) {
			next = m.next
		}
	}
	return max(time.Until(next), time.Millisecond)
}

// attrs takes attributes from the kernel, and those that it did not know before when it is time for that.
func (n *notifier) attrs(inodes map[meta.Ino]struct{}, now time.Time) {
	for ino := range inodes {
		n.unmet[ino] = meeting{now, now}
	}
	for ino, m := range n.unmet {
		if m.next.After(now) {
			continue
		}
		waited := now.Sub(m.since)
		if st := n.attr(ino); st != fuse.ENOENT || waited > meetFor || !n.promised(ino) {
			delete(n.unmet, ino)
			continue
		}
		m.next = now.Add(max(waited, meetAgainIn))
		n.unmet[ino] = m
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
func (n *notifier) doubtAll() {
	n.mu.Lock()
	all := make(map[meta.Ino]struct{}, len(n.nodes))
	for ino, node := range n.nodes {
		if node.attr {
			all[ino] = struct{}{}
		}
	}
	n.mu.Unlock()
	n.attrs(all, time.Now())
	n.doubt, n.lost, n.again = doubtAgain, time.Now(), time.Time{}
}

// lookAgain has the names of all directories looked at while nobody tells of changes, until the last of them are
// so old that the kernel asks by itself.
func (n *notifier) lookAgain() {
	coherent := n.source.Coherent() // what is read from here on is told about
	n.mu.Lock()
	dirs := make([]meta.Ino, 0, len(n.leases.names))
	for dir := range n.leases.names {
		dirs = append(dirs, dir)
	}
	n.mu.Unlock()
	for _, dir := range dirs {
		n.names.look(dir)
	}
	n.again = time.Now().Add(n.doubt)
	if n.doubt *= 2; coherent || time.Since(n.lost) > n.expire {
		n.doubt = 0
	}
}
