package mount

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/fs"
	"jfs/meta"
)

// coherent is what a backend needs beyond its duties so that the kernel may rely on what it was told for long.
type coherent interface {
	// Watch gives who tells of changes, nil if nobody does.
	Watch() meta.Coherent
	Resolve(ctx context.Context, dir meta.Ino, names []string) ([]meta.Ino, error)
	Published(ino meta.Ino) bool
}

// leases are what the kernel was told and may rely on until it is told otherwise, because the database tells this
// client of changes. It does not know a record for which there was no room, or that had changed while the kernel
// waited for it: those get the ordinary timeouts.
type leases struct {
	coherent
	source meta.Coherent

	// News are numbered. Who asks the file system for a record after the n-th gets one that is not older.
	news  atomic.Uint64
	all   atomic.Uint64 // number of the last that concerned everything
	marks [256]atomic.Uint64

	mu    sync.Mutex // guards the rest
	nodes map[meta.Ino]node
	names map[meta.Ino]map[string]meta.Ino // by directory; 0: the kernel knows that there is no such name
	count int                              // of names

	pending pending
	wake    chan struct{}
}

// node is an inode that the kernel knows.
type node struct {
	lookups uint64 // as the kernel counts them
	attr    bool   // it may rely on the attribute
	dir     meta.Ino
	name    string // the last name that it may rely on
}

// pending are news that the kernel is still to be told.
type pending struct {
	all    bool
	inodes map[meta.Ino]struct{}
	dirs   map[meta.Ino]struct{}
}

const (
	maxNodes   = 1 << 18 // inodes, and names, that the kernel may rely on; about 100 bytes each
	maxPending = 1 << 14 // inodes, and directories; more are everything
)

// newLeases gives nil when the backend has nobody who tells of changes.
func newLeases(b backend) *leases {
	w, ok := b.(coherent)
	if !ok {
		return nil
	}
	source := w.Watch()
	if source == nil {
		return nil
	}
	l := &leases{
		coherent: w, source: source, nodes: map[meta.Ino]node{}, names: map[meta.Ino]map[string]meta.Ino{},
		wake: make(chan struct{}, 1),
	}
	l.pending.reset()
	return l
}

func (p *pending) reset() {
	*p = pending{inodes: map[meta.Ino]struct{}{}, dirs: map[meta.Ino]struct{}{}}
}

// heard takes what may have changed. It does not wait.
func (l *leases) heard(n meta.Notice) {
	number := l.news.Add(1)
	switch {
	case n.All:
		l.all.Store(number)
	case n.Dir != 0:
		l.mark(n.Dir).Store(number)
	default:
		l.mark(n.Ino).Store(number)
	}
	if n.Asked {
		return // the kernel knows; but what it had asked for before may be older
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case n.All:
		l.pending.all = true
	case n.Dir != 0:
		if len(l.names[n.Dir]) == 0 {
			return
		}
		l.pending.dirs[n.Dir] = struct{}{}
	default:
		l.pending.inodes[n.Ino] = struct{}{} // the kernel may know it all the same
	}
	if max(len(l.pending.inodes), len(l.pending.dirs)) > maxPending {
		l.pending.reset()
		l.pending.all = true
	}
	l.ring()
}

func (l *leases) ring() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *leases) mark(ino meta.Ino) *atomic.Uint64 { return &l.marks[uint64(ino)%uint64(len(l.marks))] }

// ticket is taken before the file system is asked. The zero value gives no lease.
type ticket struct {
	on   bool
	news uint64
}

func (l *leases) ticket() ticket {
	if l == nil {
		return ticket{}
	}
	news := l.news.Load()
	return ticket{l.source.Coherent(), news}
}

// fresh says that no change of what hangs on ino was told since the ticket was taken, and will be from now on.
func (l *leases) fresh(t ticket, ino meta.Ino) bool {
	return t.on && l.all.Load() <= t.news && l.mark(ino).Load() <= t.news && l.source.Coherent()
}

// lasting says whether a file's attribute changes only with a change that is told.
func (l *leases) lasting(ino meta.Ino, a *meta.Attr) bool {
	// What stands in for an attribute that cannot be read has no times.
	return ours(ino) && a.Parent <= meta.TrashIno && a.Ctime != (meta.Time{}) &&
		(a.Type != meta.TypeFile || l.Published(ino))
}

// ours says whether an inode is one that changes only as the kernel asks or is told: not one that is made up, and none
// of the trash, which is cleaned up by itself.
func ours(ino meta.Ino) bool { return !ino.IsTrash() && !fs.IsVirtual(ino) }

// lookedUp counts a reference of the kernel to an inode, and notes what it may rely on if the ticket is still good:
// the name, and the attribute.
func (l *leases) lookedUp(t ticket, dir meta.Ino, name string, ino meta.Ino, a *meta.Attr) (entry, attr bool) {
	if l == nil {
		return false, false
	}
	last := l.lasting(ino, a)
	l.mu.Lock()
	defer l.mu.Unlock()
	n, known := l.nodes[ino]
	if !known && len(l.nodes) >= maxNodes {
		return false, false
	}
	// What is heard from here on finds the notes, because it needs the lock.
	attr = last && l.fresh(t, ino)
	entry = !dir.IsTrash() && ours(ino) && l.fresh(t, dir) && l.note(dir, name, ino)
	n.lookups++
	n.attr = n.attr || attr
	if entry {
		n.dir, n.name = dir, name
	}
	l.nodes[ino] = n
	return entry, attr
}

// missed notes that the kernel may rely on a name's not being there, if the ticket is still good.
func (l *leases) missed(t ticket, dir meta.Ino, name string) bool {
	if l == nil || dir.IsTrash() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fresh(t, dir) && l.note(dir, name, 0)
}

// seen notes that the kernel may rely on the attribute of an inode that it knows, if the ticket is still good.
func (l *leases) seen(t ticket, ino meta.Ino, a *meta.Attr) bool {
	if l == nil || !l.lasting(ino, a) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n, known := l.nodes[ino]
	if !known && len(l.nodes) >= maxNodes || !l.fresh(t, ino) {
		return false
	}
	n.attr = true
	l.nodes[ino] = n
	return true
}

// note remembers a name. l.mu is held.
func (l *leases) note(dir meta.Ino, name string, ino meta.Ino) bool {
	if name == "." || name == ".." {
		return false
	}
	of := l.names[dir]
	if _, known := of[name]; !known {
		if l.count >= maxNodes {
			return false
		}
		l.count++
	}
	if of == nil {
		of = map[string]meta.Ino{}
		l.names[dir] = of
	}
	of[name] = ino
	return true
}

// renamed follows the kernel, which moves what it knows of a name along with it.
func (l *leases) renamed(from, to meta.Name, exchange bool) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ino, known := l.names[from.Dir][from.Name]
	other, both := l.names[to.Dir][to.Name]
	l.drop(from.Dir, from.Name)
	l.drop(to.Dir, to.Name)
	if known {
		l.moved(to, ino)
	}
	if exchange && both {
		l.moved(from, other)
	}
}

// moved notes the new name of an inode, for which there is room because it had another. l.mu is held.
func (l *leases) moved(to meta.Name, ino meta.Ino) {
	l.note(to.Dir, to.Name, ino)
	if n, ok := l.nodes[ino]; ok {
		n.dir, n.name = to.Dir, to.Name
		l.nodes[ino] = n
	}
}

// drop forgets a name. l.mu is held.
func (l *leases) drop(dir meta.Ino, name string) {
	of := l.names[dir]
	if _, known := of[name]; !known {
		return
	}
	l.count--
	if delete(of, name); len(of) == 0 {
		delete(l.names, dir)
	}
}

// forget takes the kernel's word that it has given up references to an inode.
func (l *leases) forget(ino meta.Ino, lookups uint64) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n, known := l.nodes[ino]
	if !known {
		return
	}
	if n.lookups > lookups {
		n.lookups -= lookups
		l.nodes[ino] = n
		return
	}
	delete(l.nodes, ino)
	if l.names[n.dir][n.name] == ino {
		l.drop(n.dir, n.name)
	}
	l.count -= len(l.names[ino]) // names in a directory that is forgotten are too
	delete(l.names, ino)
}

// Forget is how the kernel tells that it has given up references to a node.
func (a *adapter) Forget(node, lookups uint64) { a.leases.forget(a.ino(node), lookups) }

// lease gives the longer of a timeout and the lease, if there is one.
func lease(leased bool, timeout, lease time.Duration) time.Duration {
	if leased {
		return max(timeout, lease)
	}
	return timeout
}

func (a *adapter) entryTimeout(t meta.Type, leased bool) time.Duration {
	if t == meta.TypeDirectory {
		return lease(leased, a.opt.DirEntryTimeout, a.opt.DirEntryLease)
	}
	return lease(leased, a.opt.EntryTimeout, a.opt.EntryLease)
}

// absent answers that a name is not there with a time for which that holds. false leaves it to ENOENT.
func (a *adapter) absent(t ticket, dir meta.Ino, name string, out *fuse.EntryOut) bool {
	leased := a.opt.NegativeLease > 0 && a.leases.missed(t, dir, name)
	timeout := lease(leased, a.opt.NegativeTimeout, a.opt.NegativeLease)
	if timeout <= 0 {
		return false
	}
	*out = fuse.EntryOut{}
	out.SetEntryTimeout(timeout)
	return true
}
