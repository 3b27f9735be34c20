package mount

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"jfs/fs"
	"jfs/meta"
)

func TestRefusals(t *testing.T) {
	r := newRefusals()
	if r.back(1, 10) {
		t.Error("a thread comes back that was not refused")
	}
	r.add(1, 10)
	if r.back(2, 10) || !r.back(1, 10) || r.back(1, 10) {
		t.Error("a thread comes back once")
	}
	r.add(1, 10)
	if r.back(1, 11) || r.back(1, 10) {
		t.Error("a thread that opens something else has not come back, and does not any more")
	}
	for n := range uint32(maxRefused + 1) {
		r.add(n, 10)
	}
	if len(r.all) > maxRefused {
		t.Errorf("%d threads are remembered", len(r.all))
	}
	r.returns = 0
	if r.back(maxRefused, 10) {
		t.Error("a thread has come back too late")
	}
}

// slowLookups is a volume on a slow database.
type slowLookups struct{ volume }

func (v slowLookups) Lookup(ctx context.Context, who meta.Cred, dir meta.Ino, name string) (fs.Inode, error) {
	time.Sleep(150 * time.Millisecond)
	return v.volume.Lookup(ctx, who, dir, name)
}

// TestTrashedBehindTheName: an open by a name under which another mount has put another file gives that one, though the kernel
// believes for long that it is the one that is in the trash now; what is in the trash can be read there and not be written,
// however long it takes to look up a name again.
func TestTrashedBehindTheName(t *testing.T) {
	clients := newClients(t, 2, func(f *meta.Format) { f.TrashDays = 1 })
	opt := patient()
	opt.EntryTimeout, opt.DirEntryTimeout = time.Hour, time.Hour
	a, b := serve(t, volume{clients[0]}, patient()).MountPoint(), serve(t, slowLookups{volume{clients[1]}}, opt).MountPoint()
	write := func(name, data string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(a, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(flags int) string {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(b, "f"), flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // nothing was written
		data := make([]byte, 10)
		n, err := f.Read(data)
		if err != nil {
			t.Fatal(err)
		}
		return string(data[:n])
	}
	write("f", "first")
	for i, c := range []struct {
		data  string
		flags int
	}{{"second", os.O_RDWR}, {"third", os.O_RDONLY}, {"fourth", os.O_RDWR}} {
		read(os.O_RDONLY) // the name is known
		write("new", c.data)
		if err := os.Rename(filepath.Join(a, "new"), filepath.Join(a, "f")); err != nil {
			t.Fatal(err)
		}
		if got := read(c.flags); got != c.data {
			t.Errorf("replaced %d times: %q, want %q", i+1, got, c.data)
		}
	}
	trashed, err := filepath.Glob(filepath.Join(b, ".trash", "*", "*-f"))
	if err != nil || len(trashed) != 3 {
		t.Fatalf("in the trash: %q, %v", trashed, err)
	}
	if _, err := os.ReadFile(trashed[0]); err != nil {
		t.Error(err)
	}
	if f, err := os.OpenFile(trashed[0], os.O_RDWR, 0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("open of what is in the trash for writing: %v", err)
		_ = f.Close()
	}
}
