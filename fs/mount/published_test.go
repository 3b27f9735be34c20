package mount_test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"jfs/fs/mount"
	"jfs/meta/redis"
)

// shownState is what stat shows of a file that changes with its data.
type shownState struct {
	size, blocks int64
	mtime, ctime syscall.Timespec
	mode         uint32
}

func (p *place) state(name string) shownState {
	p.t.Helper()
	var st syscall.Stat_t
	p.must(syscall.Stat(p.path(name), &st))
	return shownState{st.Size, st.Blocks, st.Mtim, st.Ctim, st.Mode}
}

// TestPublishedIsSeen: the kernel is not told of what it has written itself, and shows what is published nevertheless,
// though it may rely on an attribute for an hour: what another mount, which was told, shows too.
func TestPublishedIsSeen(t *testing.T) {
	s := newSite(t)
	// Nothing ends by itself.
	a := s.mountWith(redis.Options{}, mount.Options{AttrTimeout: time.Hour, AttrLease: time.Hour, EntryLease: time.Hour, DirEntryLease: time.Hour})
	b := s.mount()
	write := func(f *os.File) { _, err := f.Write([]byte("some more")); a.must(err) }
	stat := func(*os.File) { a.state("f") }
	sync := func(f *os.File) { a.must(f.Sync()) }
	for what, steps := range map[string][]func(*os.File){
		"written":                          {write, sync},
		"looked at before":                 {stat, write, sync},
		"looked at between":                {write, stat, sync},
		"looked at before and between":     {stat, write, stat, sync},
		"written again":                    {write, stat, write, sync},
		"published twice":                  {write, sync, write, sync},
		"looked at, and published twice":   {write, sync, stat, write, sync},
		"cut":                              {write, func(f *os.File) { a.must(f.Truncate(3)) }, sync},
		"other times":                      {write, func(*os.File) { a.must(os.Chtimes(a.path("f"), time.Unix(1, 0), time.Unix(2, 0))) }, sync},
		"other times after the publishing": {write, sync, func(*os.File) { a.must(os.Chtimes(a.path("f"), time.Unix(1, 0), time.Unix(2, 0))) }},
		"another right":                    {write, func(f *os.File) { a.must(f.Chmod(0o600)) }, sync},
		"a second name":                    {write, func(*os.File) { a.must(os.Link(a.path("f"), a.path("g"))) }, sync},
		"passing by the page cache": {func(*os.File) {
			f, err := os.OpenFile(a.path("f"), os.O_WRONLY|syscall.O_DIRECT, 0)
			a.must(err)
			write(f)
			stat(f)
			a.must(f.Close())
		}},
	} {
		f, err := os.OpenFile(a.path("f"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
		a.must(err)
		for _, step := range steps {
			step(f)
		}
		a.must(f.Close())
		b.soon(what, func() bool { return a.state("f") == b.state("f") })
		a.must(os.Remove(a.path("f")))
		if a.size("g") >= 0 {
			a.must(os.Remove(a.path("g")))
		}
	}
}
