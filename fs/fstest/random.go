package fstest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// RandomOptions say what a random history is made of. Seed, Steps and one view must be given.
type RandomOptions struct {
	Seed  uint64
	Steps int      // operations
	Views []string // directories, empty at first, that show the same: of several mounts, for example

	Window int // bytes of a file that are worked on; 0 means 1 MiB

	// Late: what was closed in one view is seen in another only when a lock on it was given up, too.
	Late       bool
	NoShift    bool // FALLOC_FL_COLLAPSE_RANGE and FALLOC_FL_INSERT_RANGE are not supported
	FreeDirect bool // O_DIRECT works with any offset, length and address

	Events   []Event
	Describe func(path string) string // tells more of a file that is not what it should be; nil: nothing
}

// Event is what happens to the file system between operations without changing anything that is seen.
type Event struct {
	Name  string
	Every int // operations from one to the next on average; 0: never
	Need  Need
	Last  bool // it also ends the history, before everything is looked at once more
	Do    func(rnd *rand.Rand) error
}

// Need is what an event asks for.
type Need int

// The needs, from nothing to everything.
const (
	Anytime Need = iota
	Synced       // everything that was written is synced
	Closed       // no file is open
)

// Random works on some files of a directory as several programs do, one operation after the other, and compares what it
// reads with a model in memory. A seed always makes the same operations. The file system must be served by another
// process, because the memory of mappings is read and written.
func Random(t *testing.T, o RandomOptions) {
	t.Helper()
	if o.Window == 0 {
		o.Window = 1 << 20
	}
	h := &history{T: t, o: o, rnd: rand.New(rand.NewPCG(o.Seed, 17)), next: make([]int, len(o.Events))}
	h.buffer = aligned(bed{T: t}, o.Window+2*pageSize)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a mapping that cannot be read is a failure of its own
	defer func() {
		if fault := recover(); fault != nil {
			t.Fatalf("%v\n%s", fault, debug.Stack())
		}
	}()
	defer h.release()
	h.begin()
	for h.op < o.Steps {
		h.events()
		h.pick()(h)
	}
	h.closeAll()
	for i := range o.Events {
		if o.Events[i].Last {
			h.event(&o.Events[i])
		}
	}
	h.verifyAll()
	if len(o.Views) > 1 {
		for _, f := range h.named() {
			h.handOver(f, (f.view+1)%len(o.Views))
		}
		h.verifyAll()
	}
	h.closeAll()
}

const pageSize = 4096

// history is the state of a random history.
type history struct {
	*testing.T
	o   RandomOptions
	rnd *rand.Rand
	op  int // number of the last operation
	// next has for each event the operation at which it comes.
	next   []int
	names  []*modelName
	files  []*modelFile // with a name or a user
	fds    []*modelFD
	maps   []*modelMap
	made   int      // files so far
	tail   []string // the last operations of all
	buffer []byte
}

// modelFD is an open descriptor.
type modelFD struct {
	file  *modelFile
	fd    int
	flags int
}

func (d *modelFD) readable() bool { return d.flags&unix.O_ACCMODE != unix.O_WRONLY }
func (d *modelFD) writable() bool { return d.flags&unix.O_ACCMODE != unix.O_RDONLY }
func (d *modelFD) direct() bool   { return d.flags&unix.O_DIRECT != 0 }
func (d *modelFD) appends() bool  { return d.flags&unix.O_APPEND != 0 }

// begin makes the directories, and shares the names among the views.
func (h *history) begin() {
	for _, dir := range []string{"d0", "d1"} {
		must(h.T, os.Mkdir(filepath.Join(h.o.Views[0], dir), 0777))
	}
	for i := range 10 {
		h.names = append(h.names, &modelName{path: fmt.Sprintf("d%d/n%d", i%2, i), view: i % len(h.o.Views)})
	}
	for i := range h.o.Events {
		h.due(i)
	}
}

func (h *history) path(n *modelName) string { return filepath.Join(h.o.Views[n.view], n.path) }

// note numbers an operation and remembers it.
func (h *history) note(f *modelFile, format string, args ...any) int {
	h.op++
	text := fmt.Sprintf("%d: ", h.op) + fmt.Sprintf(format, args...)
	if f != nil {
		f.note(text)
		text += " of " + f.String()
	}
	if h.tail = append(h.tail, text); len(h.tail) > 2*keptNotes {
		h.tail = append([]string(nil), h.tail[keptNotes:]...)
	}
	return h.op
}

// due decides when an event comes next.
func (h *history) due(i int) {
	if every := h.o.Events[i].Every; every > 0 {
		h.next[i] = h.op + 1 + h.rnd.IntN(2*every)
	}
}

func (h *history) events() {
	for i := range h.o.Events {
		if e := &h.o.Events[i]; e.Every > 0 && h.op >= h.next[i] {
			h.event(e)
			h.due(i)
		}
	}
}

func (h *history) event(e *Event) {
	h.Helper()
	switch e.Need {
	case Closed:
		h.closeAll()
	case Synced:
		h.syncAll()
	}
	for _, f := range h.files {
		f.note("-- " + e.Name)
	}
	h.note(nil, "%s", e.Name)
	if err := e.Do(h.rnd); err != nil {
		h.fail(nil, "%s: %v", e.Name, err)
	}
}

// fail ends the test with what helps to find the reason.
func (h *history) fail(f *modelFile, format string, args ...any) {
	h.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, operation %d: ", h.o.Seed, h.op)
	fmt.Fprintf(&b, format, args...)
	if f != nil {
		kept := f.last[max(0, len(f.last)-keptNotes):]
		fmt.Fprintf(&b, "\nin %s, of %d bytes, window from %d, view %d\nits last operations:\n  %s", f, f.size, f.base, f.view, strings.Join(kept, "\n  "))
	}
	fmt.Fprintf(&b, "\nthe last of all:\n  %s", strings.Join(h.tail[max(0, len(h.tail)-keptNotes):], "\n  "))
	if h.o.Describe != nil {
		path := ""
		if f != nil && len(f.names) > 0 {
			path = h.path(f.names[0])
		}
		fmt.Fprintf(&b, "\n%s", h.o.Describe(path))
	}
	h.Fatal(b.String())
}

// check ends the test if an operation has failed.
func (h *history) check(f *modelFile, what string, err error) {
	h.Helper()
	if err != nil {
		h.fail(f, "%s: %v", what, err)
	}
}

// expect compares what was read at off, of asked bytes.
func (h *history) expect(f *modelFile, how string, off int64, got []byte, asked int) {
	h.Helper()
	want := f.read(off, asked)
	if bytes.Equal(got, want) {
		return
	}
	n := min(len(got), len(want))
	i := 0
	for i < n && got[i] == want[i] {
		i++
	}
	if i == n {
		h.fail(f, "%s of %d bytes at %d gives %d bytes, want %d", how, asked, off, len(got), len(want))
	}
	last := n - 1
	for got[last] == want[last] {
		last--
	}
	at := off + int64(i)
	h.fail(f, "%s of %d bytes at %d: byte %d (%#x) is %#x, want %#x; the last wrong one is %d\nread is %s\nwant are %s",
		how, asked, off, at, at, got[i], want[i], off+int64(last), origin(got[i:last+1], at, h.op), f.runs(at))
}

// named are the files that have a name.
func (h *history) named() (all []*modelFile) {
	for _, f := range h.files {
		if len(f.names) > 0 {
			all = append(all, f)
		}
	}
	return all
}

// forget drops a file that nobody can reach any more.
func (h *history) forget(f *modelFile) {
	if len(f.names) > 0 || f.users > 0 {
		return
	}
	for i := range h.files {
		if h.files[i] == f {
			h.files = append(h.files[:i], h.files[i+1:]...)
			return
		}
	}
}

// release gives back what a history that has failed holds.
func (h *history) release() {
	for _, m := range h.maps {
		_ = unix.Munmap(m.b)
	}
	for _, d := range h.fds {
		_ = unix.Close(d.fd)
	}
}

// closeAll closes every descriptor and mapping. Files without a name are gone then.
func (h *history) closeAll() {
	h.Helper()
	for len(h.maps) > 0 {
		h.unmap(h.maps[0])
	}
	for len(h.fds) > 0 {
		h.close(h.fds[0])
	}
}

// syncAll syncs every file that is open.
func (h *history) syncAll() {
	h.Helper()
	for _, m := range h.maps {
		h.msync(m)
	}
	for _, d := range h.fds {
		h.note(d.file, "fsync")
		h.check(d.file, "fsync", again(func() error { return unix.Fsync(d.fd) }))
	}
}

// verifyAll reads every file from a descriptor of its own.
func (h *history) verifyAll() {
	h.Helper()
	for _, f := range h.named() {
		h.verify(f)
	}
}

func (h *history) verify(f *modelFile) {
	h.Helper()
	d := h.openFile(f, unix.O_RDONLY)
	h.sizes(f)
	h.readWhole(d)
	h.close(d)
}
