package mount

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/time/rate"

	"jfs/meta"
)

// adapter decodes requests of the kernel, calls the file system, and encodes the answers. It keeps open handles and
// nothing else: a FUSE node is an inode number, so there is nothing to look up and nothing to forget.
type adapter struct {
	fuse.RawFileSystem // answers ENOSYS to what is not overridden

	fs   backend
	opt  Options
	reqs *requests
	// leases are nil when nobody tells of changes.
	leases *leases

	told        *told
	forgetAttr  func(node uint64) // makes the kernel ask for a node's attributes again
	forgetPages func(node uint64) // and for its data

	backings *backings
	refused  *refusals // by opens that came by a name that is old

	files table[handle]
	dirs  table[*openDir]
	lists *listings // of Options.CacheDirs
	locks lockers

	logLimit *rate.Limiter
	logMu    sync.Mutex // guards unlogged
	unlogged int        // errors left out of the log since the last one in it
}

// Errors of the infrastructure in the log: a dead database must not fill the disk with lines.
const (
	logRate  = 1 // lines per second
	logBurst = 20
)

func newAdapter(b backend, opt Options) *adapter {
	l := newLeases(b, max(opt.EntryLease, opt.DirEntryLease))
	believed := opt.AttrTimeout // the longest time
	if l != nil {
		believed = max(believed, opt.AttrLease)
	}
	return &adapter{
		RawFileSystem: fuse.NewDefaultRawFileSystem(), fs: b, opt: opt, leases: l,
		reqs: newRequests(limits{
			timeout: opt.Timeout, interruptDelay: opt.InterruptDelay, detachDelay: opt.DetachDelay,
		}),
		told:       newTold(believed),
		forgetAttr: func(uint64) {}, forgetPages: func(uint64) {},
		logLimit: rate.NewLimiter(logRate, logBurst), lists: newListings(), backings: newBackings(), refused: newRefusals(),
	}
}

func (a *adapter) String() string { return "juicefs" }

// node gives the FUSE node of an inode. The kernel calls the root of the mount 1, whatever inode it is.
func (a *adapter) node(ino meta.Ino) uint64 {
	if ino == a.fs.Root() {
		return fuse.FUSE_ROOT_ID
	}
	return uint64(ino)
}

// ino is the reverse of node.
func (a *adapter) ino(node uint64) meta.Ino {
	if node == fuse.FUSE_ROOT_ID {
		return a.fs.Root()
	}
	return meta.Ino(node)
}

// denied says whether the mount is closed to the caller (allow_root). A mount of root is closed by the kernel.
func (a *adapter) denied(h *fuse.InHeader) bool {
	return a.opt.AllowRoot && h.Uid != 0 && h.Uid != uint32(os.Geteuid())
}

// do carries out a request that names something: fn with a context of the request, and its error as a status.
func (a *adapter) do(op string, cancel <-chan struct{}, h *fuse.InHeader, fn func(context.Context) error) fuse.Status {
	if a.denied(h) {
		return fuse.EACCES
	}
	return a.run(op, cancel, a.reqs.interruptDelay, h.NodeId, fn)
}

// run is do for requests on something that is open.
func (a *adapter) run(op string, cancel <-chan struct{}, delay time.Duration, node uint64, fn func(context.Context) error) fuse.Status {
	return a.answer(a.reqs.begin(cancel, delay), op, node, fn)
}

// answer carries out a request that has begun.
func (a *adapter) answer(r *request, op string, node uint64, fn func(context.Context) error) fuse.Status {
	defer r.end() // also when fn panics
	err := fn(r)
	no, logged := errno(err)
	if logged && errors.Is(r.ended(), context.Canceled) {
		// Drivers report a broken-off request in their own ways.
		no, logged = syscall.EINTR, false
	}
	if logged {
		a.log(op, node, err)
	}
	if a.opt.Observe != nil {
		a.opt.Observe(op, time.Since(r.start), no)
	}
	return fuse.Status(no)
}

// log tells of an error whose number says too little.
func (a *adapter) log(op string, node uint64, err error) {
	a.logMu.Lock()
	if !a.logLimit.Allow() {
		a.unlogged++
		a.logMu.Unlock()
		return
	}
	left := a.unlogged
	a.unlogged = 0
	a.logMu.Unlock()
	a.opt.Log.Error("request ended with an I/O error", "op", op, "inode", a.ino(node), "err", err, "unlogged", left)
}

// releaseAll closes what was open when the connection ended, of which the kernel does not tell. All of it together
// gets the time of one request.
func (a *adapter) releaseAll() {
	for _, d := range a.dirs.takeAll() {
		d.Close()
	}
	gone := make(chan struct{})
	close(gone)
	until := time.Now().Add(a.reqs.detachDelay)
	for _, h := range a.files.takeAll() {
		a.run("release", gone, time.Until(until), 0, func(ctx context.Context) error {
			a.unpass(h)
			h.Release(ctx)
			return nil
		})
	}
}
