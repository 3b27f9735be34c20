package mount

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"jfs/fs"
	"jfs/internal/posix"
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
// client of changes. A record that had changed while the kernel waited for it is not kept at all, because nobody is
// going to tell of that change again. One for which there is no room gets the ordinary timeouts.
type leases struct {
	coherent
	source meta.Coherent

	// News are numbered. Who asks the file system for a record after the n-th gets one that is not older.
	news  atomic.Uint64
	all   atomic.Uint64        // number of the last that concerned everything
	marks [marks]atomic.Uint64 // see markOf

	mu    sync.Mutex // guards the rest
	nodes map[meta.Ino]node
	names map[meta.Ino]map[string]noted // by directory
	count int                           // of names
	lasts time.Duration                 // how long the kernel may rely on a name
	last  uint64                        // number of the last note of a name
	old   uint64                        // that of the last one at a time
	oldAt time.Time                     // this is it
	limit int                           // inodes, and names

	refused *refusals

	pending pending
	wake    chan struct{}
}

// noted is what a name stands for, as the kernel was told.
type noted struct {
	ino    meta.Ino
	number uint64 // of the note
}

// node is an inode that the kernel knows.
type node struct {
	lookups uint64 // as the kernel counts them
	attr    bool   // it may rely on the attribute
	gaveUp  bool   // it has given the attribute up by itself, because it has written, and was given none since
	unsaid  bool   // and was not told of a change since
	dir     meta.Ino
	name    string // under which it was found last
}

// pending are news that the kernel is still to be told.
type pending struct {
	all    bool
	inodes map[meta.Ino]struct{}
	dirs   map[meta.Ino]struct{}
}

const (
	maxNodes   = 1 << 18 // inodes, and names, that the kernel may rely on; 100 to 200 bytes each
	maxPending = 1 << 14 // inodes, and directories; more are everything
)

// newLeases gives nil when the backend has nobody who tells of changes. The kernel may rely on names for the time given.
func newLeases(b backend, lasts time.Duration) *leases {
	w, ok := b.(coherent)
	if !ok {
		return nil
	}
	source := w.Watch()
	if source == nil {
		return nil
	}
	l := &leases{
		coherent: w, source: source, nodes: map[meta.Ino]node{}, names: map[meta.Ino]map[string]noted{},
		lasts: lasts, oldAt: time.Now(), limit: maxNodes, refused: newRefusals(), wake: make(chan struct{}, 1),
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
	if n.All {
		l.all.Store(number)
	} else {
		at := markOf(cmp.Or(n.Dir, n.Ino))
		before := l.marks[at].Swap(number)
		if r, ok := n.By.(*request); ok {
			r.own.add(at, before, number)
		}
	}
	_, published := n.By.(meta.Publishing)
	if n.By != nil && !published {
		return // the kernel knows; but what it had asked for before may be older
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.nodes[n.Ino]; published && known.gaveUp {
		known.unsaid = true
		l.nodes[n.Ino] = known
		return
	}
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

const marks = 256

// markOf is where news of an inode, and of the names in it, are marked.
func markOf(ino meta.Ino) uint8 { return uint8(ino % marks) }

// ticket is taken before the file system is asked. The zero value gives no lease.
type ticket struct {
	on   bool
	news uint64
	own  *ownNews // those that do not count; nil: there are none
}

// of makes it the ticket of a request that makes something. What the request itself has changed is in its answer, so the
// news of that do not make the answer old.
func (t ticket) of(ctx context.Context) ticket {
	if r, ok := ctx.Value(meta.RequestKey{}).(*request); ok {
		t.own = &r.own
	}
	return t
}

// ownNews are the news of what a request has changed itself.
type ownNews struct {
	mu  sync.Mutex // guards all
	all []ownNote
}

// ownNote stands for the news from one to another at a mark, between which there were no others.
type ownNote struct {
	at     uint8
	before uint64 // the news at the mark before the first
	last   uint64
}

func (o *ownNews) add(at uint8, before, number uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.all {
		if n := &o.all[i]; n.at == at && n.last == before {
			n.last = number
			return
		}
	}
	o.all = append(o.all, ownNote{at, before, number})
}

// explains says whether all news at a mark after the first ones, up to the last, are own ones.
func (o *ownNews) explains(at uint8, since, last uint64) bool {
	if o == nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range o.all {
		if n.at == at && n.last == last {
			return n.before <= since
		}
	}
	return false
}

func (l *leases) ticket() ticket {
	if l == nil {
		return ticket{}
	}
	news := l.news.Load()
	return ticket{on: l.source.Coherent(), news: news}
}

// grant says for how long the kernel may rely on a record.
type grant uint8

const (
	grantTimeout grant = iota // the ordinary time
	grantLease                // until it is told of a change
	grantNothing              // it may have changed already
)

// check grants a lease if no change of what hangs on ino was told since the ticket was taken, and will be from now on.
func (l *leases) check(t ticket, ino meta.Ino) grant {
	if !t.on {
		return grantTimeout
	}
	at := markOf(ino)
	last := l.marks[at].Load()
	if l.all.Load() > t.news || last > t.news && !t.own.explains(at, t.news, last) || !l.source.Coherent() {
		return grantNothing
	}
	return grantLease
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
// the name, and the attribute. made says that it is the answer to a request that makes the name. The kernel takes the
// attribute from such an answer even if it was told meanwhile that an older one has changed, so it may rely only on
// that of an inode that it did not know: about that it is told again.
func (l *leases) lookedUp(t ticket, dir meta.Ino, name string, ino meta.Ino, a *meta.Attr, made bool) (entry, attr grant) {
	if l == nil {
		return grantTimeout, grantTimeout
	}
	last := l.lasting(ino, a)
	l.mu.Lock()
	defer l.mu.Unlock()
	n, known := l.nodes[ino]
	if !known && len(l.nodes) >= l.limit {
		return grantTimeout, grantTimeout
	}
	// What is heard from here on finds the notes, because it needs the lock.
	if last && !(made && known) {
		attr = l.check(t, ino)
	}
	if !dir.IsTrash() && ours(ino) {
		entry = l.check(t, dir)
	}
	if entry == grantLease && !l.note(dir, name, ino) {
		entry = grantTimeout
	}
	n.lookups++
	l.answered(t, ino, &n)
	n.attr = n.attr || attr == grantLease
	n.dir, n.name = dir, name
	l.nodes[ino] = n
	return entry, attr
}

// seen notes that the kernel may rely on the attribute of an inode that it knows, if the ticket is still good.
func (l *leases) seen(t ticket, ino meta.Ino, a *meta.Attr) grant {
	if l == nil {
		return grantTimeout
	}
	last := l.lasting(ino, a)
	l.mu.Lock()
	defer l.mu.Unlock()
	n, known := l.nodes[ino]
	if !known && (!last || len(l.nodes) >= l.limit) {
		return grantTimeout
	}
	g := grantTimeout
	if last {
		g = l.check(t, ino)
	}
	l.answered(t, ino, &n)
	n.attr = n.attr || g == grantLease
	if known || n.attr {
		l.nodes[ino] = n
	}
	return g
}

// wrote notes that the kernel has written to an inode. When it gets the answer it gives up what changes with that, so
// it need not be told when that is published, until it is given an attribute again.
func (l *leases) wrote(ino meta.Ino) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, known := l.nodes[ino]; known && !n.gaveUp {
		n.gaveUp = true
		l.nodes[ino] = n
	}
}

// answered notes that the kernel is being given an attribute, and has it told now of what it was not told, unless the
// attribute is certainly newer. l.mu is held.
func (l *leases) answered(t ticket, ino meta.Ino, n *node) {
	if n.unsaid && (!t.on || l.check(t, ino) != grantLease) {
		l.pending.inodes[ino] = struct{}{}
		l.ring()
	}
	n.gaveUp, n.unsaid = false, false
}

// note remembers a name. l.mu is held.
func (l *leases) note(dir meta.Ino, name string, ino meta.Ino) bool {
	if name == "." || name == ".." {
		return false
	}
	if _, known := l.names[dir][name]; !known {
		if l.count >= l.limit && !l.makeRoom(time.Now()) {
			return false
		}
		l.count++
	}
	of := l.names[dir]
	if of == nil {
		of = map[string]noted{}
		l.names[dir] = of
	}
	l.last++
	of[name] = noted{ino, l.last}
	return true
}

// makeRoom forgets the names on which the kernel does not rely any more. l.mu is held.
func (l *leases) makeRoom(now time.Time) bool {
	if now.Sub(l.oldAt) < l.lasts+toldSlack {
		return false
	}
	for dir, of := range l.names {
		for name, n := range of {
			if n.number <= l.old {
				l.drop(dir, name)
			}
		}
	}
	l.old, l.oldAt = l.last, now
	return l.count < l.limit
}

// renamed follows the kernel, which moves what it knows of a name along with it.
func (l *leases) renamed(from, to meta.Name, exchange bool) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	it, known := l.names[from.Dir][from.Name]
	other, both := l.names[to.Dir][to.Name]
	l.drop(from.Dir, from.Name)
	l.drop(to.Dir, to.Name)
	if known {
		l.moved(to, it.ino)
	}
	if exchange && both {
		l.moved(from, other.ino)
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
	if l.names[n.dir][n.name].ino == ino {
		l.drop(n.dir, n.name)
	}
	l.count -= len(l.names[ino]) // names in a directory that is forgotten are too
	delete(l.names, ino)
}

// Forget is how the kernel tells that it has given up references to a node.
func (a *adapter) Forget(node, lookups uint64) { a.leases.forget(a.ino(node), lookups) }

// lasts says how long the kernel may keep a record. Without a lease to be had the timeout is all that counts.
func (g grant) lasts(timeout, lease time.Duration) time.Duration {
	switch {
	case lease <= 0 || g == grantTimeout:
		return timeout
	case g == grantNothing:
		return 0
	}
	return max(timeout, lease)
}

func (a *adapter) entryTimeout(t meta.Type, g grant) time.Duration {
	if t == meta.TypeDirectory {
		return g.lasts(a.opt.DirEntryTimeout, a.opt.DirEntryLease)
	}
	return g.lasts(a.opt.EntryTimeout, a.opt.EntryLease)
}

// settle waits until what others had changed before is known.
func (l *leases) settle(ctx context.Context) error {
	if l == nil {
		return nil
	}
	return l.source.Settle(ctx)
}

// newest is called before a thread opens a file, which has to be the one that its name stands for now, with what
// others have written before they closed it. If the name stands for another by now, the answer is ESTALE, which
// makes the kernel look it up again and come back: with the newest, or one that has come another way than by the name.
func (l *leases) newest(ctx context.Context, ino meta.Ino, thread uint32) error {
	if l == nil || !ours(ino) {
		return nil
	}
	if err := l.settle(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	n := l.nodes[ino]
	l.mu.Unlock()
	if back := l.refused.back(thread, ino); n.name == "" || n.dir.IsTrash() || back {
		return nil
	}
	now, err := l.Resolve(ctx, n.dir, []string{n.name})
	if err != nil || now[0] == ino {
		return err
	}
	l.refused.add(thread, ino)
	return posix.ESTALE
}
