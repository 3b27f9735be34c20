package mount

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestSet(t *testing.T) {
	for list, c := range map[string]struct {
		bits  uintptr
		words string
		check func(o *Options) bool
	}{
		"":                       {0, "", func(o *Options) bool { return !o.ReadOnly && !o.Debug }},
		"rw":                     {0, "", func(o *Options) bool { return !o.ReadOnly }},
		"ro":                     {syscall.MS_RDONLY, "ro", func(o *Options) bool { return o.ReadOnly }},
		"ro,rw":                  {0, "", func(o *Options) bool { return !o.ReadOnly }},
		"nosuid,nodev":           {syscall.MS_NOSUID | syscall.MS_NODEV, "nosuid,nodev", nil},
		"nosuid,suid":            {0, "nosuid,suid", nil},
		"dev,nodev,noexec":       {syscall.MS_NODEV | syscall.MS_NOEXEC, "dev,nodev,noexec", nil},
		"sync,noatime":           {syscall.MS_SYNCHRONOUS | syscall.MS_NOATIME, "sync,noatime", nil},
		" allow_other , debug":   {0, "", func(o *Options) bool { return o.AllowOther && o.Debug }},
		"allow_root":             {0, "", func(o *Options) bool { return o.AllowRoot }},
		"writeback_cache":        {0, "", func(o *Options) bool { return o.WritebackCache }},
		"nonempty,fsname=x:y":    {0, "", func(o *Options) bool { return o.NonEmpty && o.Source == "x:y" }},
		"_netdev,nofail,x-foo=1": {0, "", nil},
	} {
		var o Options
		if err := o.Set(list); err != nil {
			t.Errorf("%q: %v", list, err)
		}
		if c.check != nil && !c.check(&o) {
			t.Errorf("%q: %+v", list, o)
		}
		if bits, words := o.bits(), strings.Join(o.words(), ","); bits != c.bits || words != c.words {
			t.Errorf("%q: bits %#x, words %q; want %#x, %q", list, bits, words, c.bits, c.words)
		}
	}
	for _, list := range []string{"bogus", "ro,allow_others", "max_read=5", "fsname="} {
		var o Options
		if err := o.Set(list); err == nil || !strings.Contains(err.Error(), "not known; take it out") {
			t.Errorf("%q: %v", list, err)
		}
	}
}

func TestOptionErrors(t *testing.T) {
	for want, o := range map[string]Options{
		"no mount point":    {Volume: "v"},
		"no volume name":    {MountPoint: "/mnt"},
		"exclude each":      {MountPoint: "/mnt", Volume: "v", AllowOther: true, AllowRoot: true},
		"want 4096 to":      {MountPoint: "/mnt", Volume: "v", MaxIO: 100},
		"want 4096 to 1677": {MountPoint: "/mnt", Volume: "v", MaxIO: 1 << 30},
	} {
		if _, err := o.withDefaults(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestMountPoints(t *testing.T) {
	dir := t.TempDir()
	join := func(s string) string { return filepath.Join(dir, s) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(join("empty"), 0755))
	must(os.MkdirAll(join("full/x"), 0755))
	must(os.WriteFile(join("file"), nil, 0644))
	must(os.Symlink("empty", join("link")))
	must(os.Symlink("loop", join("loop")))
	for _, c := range []struct {
		point    string
		nonEmpty bool
		want     string
	}{
		{"empty", false, ""},
		{"link", false, ""},
		{"link/../empty/.", false, ""},
		{"full", true, ""},
		{"full", false, "is not empty; empty it, or hide what it has with: -o nonempty"},
		{"file", false, "is not a directory"},
		{"none", false, "does not exist; make it with: mkdir -p"},
		{"none/deeper", false, "does not exist; make it with: mkdir -p"},
		{"loop", false, "too many levels of symbolic links"},
	} {
		point, err := resolve(join(c.point))
		if err == nil {
			err = checkPoint(point, c.nonEmpty, false)
		}
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.point, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.point, err, c.want)
		}
	}
	if got, err := resolve(join("link")); err != nil || got != join("empty") {
		t.Errorf("a link resolves to %s, %v", got, err)
	}
	if err := Unmount(join("empty"), false); err == nil || !strings.Contains(err.Error(), "no FUSE file system is mounted") {
		t.Error("unmount of a plain directory:", err)
	}
}
