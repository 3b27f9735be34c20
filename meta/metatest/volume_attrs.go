package metatest

import (
	"slices"
	"strings"
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

func volumeSetAttr(t *testing.T, c *client) {
	f := c.file(meta.RootIno, "f")
	before := c.attr(f)
	mode := uint16(0640)
	_, a, err := c.SetAttr(c.ctx, meta.Root, f, meta.Change{Mode: &mode})
	c.noErr("chmod", err)
	if a.Mode != 0640 || a.Mtime != before.Mtime {
		t.Errorf("chmod: %+v", a)
	}
	_, again, err := c.SetAttr(c.ctx, meta.Root, f, meta.Change{Mode: &mode})
	c.noErr("chmod", err)
	if again != a {
		t.Errorf("a change to the same value changed %+v to %+v", a, again)
	}
	_, _, err = c.SetAttr(c.ctx, user, f, meta.Change{Mode: &mode})
	c.want("chmod to the same mode by another user", err, nil)
	mode = 0777
	_, _, err = c.SetAttr(c.ctx, user, f, meta.Change{Mode: &mode})
	c.want("chmod by another user", err, posix.EPERM)
	uid := uint32(1000)
	_, _, err = c.SetAttr(c.ctx, user, f, meta.Change{UID: &uid})
	c.want("chown by another user", err, posix.EPERM)
	mode = 06755
	_, _, err = c.SetAttr(c.ctx, meta.Root, f, meta.Change{Mode: &mode})
	c.noErr("chmod", err)
	_, a, err = c.SetAttr(c.ctx, meta.Root, f, meta.Change{UID: &uid})
	c.noErr("chown", err)
	if a.UID != 1000 || a.Mode != 0755 {
		t.Errorf("chown of a set-uid program: %+v", a)
	}
	at, mt := meta.Time{Sec: -5, Nsec: 123456789}, meta.Time{Sec: 1 << 33, Nsec: 999999999}
	_, a, err = c.SetAttr(c.ctx, user, f, meta.Change{Atime: &at, Mtime: &mt})
	c.noErr("utimes", err)
	if got := c.attr(f); got.Atime != at || got.Mtime != mt || got != a {
		t.Errorf("times %+v %+v, want %+v %+v", got.Atime, got.Mtime, at, mt)
	}
	other := meta.Cred{UID: 2000, GID: 2000}
	_, _, err = c.SetAttr(c.ctx, other, f, meta.Change{Atime: &at})
	c.want("utimes by another user", err, posix.EPERM)
	_, _, err = c.SetAttr(c.ctx, other, f, meta.Change{AtimeNow: true, MtimeNow: true})
	c.want("touch by another user", err, posix.EACCES)
	_, _, err = c.SetAttr(c.ctx, meta.Root, 4242, meta.Change{MtimeNow: true})
	c.want("missing", err, posix.ENOENT)
}

func volumeXattr(t *testing.T, c *client) {
	f := c.file(meta.RootIno, "f")
	_, err := c.GetXattr(c.ctx, f, "user.a")
	c.want("missing", err, posix.ENODATA)
	big := make([]byte, 60000)
	c.noErr("set", c.SetXattr(c.ctx, meta.Root, f, "user.a", []byte("1\x00"), 0))
	c.noErr("set", c.SetXattr(c.ctx, meta.Root, f, "user.b", big, meta.XattrCreate))
	c.noErr("set", c.SetXattr(c.ctx, meta.Root, f, "user.empty", nil, 0))
	c.want("create", c.SetXattr(c.ctx, meta.Root, f, "user.a", nil, meta.XattrCreate), posix.EEXIST)
	c.want("replace", c.SetXattr(c.ctx, meta.Root, f, "user.c", nil, meta.XattrReplace), posix.ENODATA)
	c.want("long name", c.SetXattr(c.ctx, meta.Root, f, strings.Repeat("n", 256), nil, 0), posix.ERANGE)
	c.want("long value", c.SetXattr(c.ctx, meta.Root, f, "user.d", make([]byte, 65537), 0), posix.ERANGE)
	got, err := c.GetXattr(c.ctx, f, "user.a")
	c.noErr("get", err)
	if string(got) != "1\x00" {
		t.Errorf("value %q", got)
	}
	names, err := c.ListXattr(c.ctx, f)
	c.noErr("list", err)
	slices.Sort(names)
	if !slices.Equal(names, []string{"user.a", "user.b", "user.empty"}) {
		t.Errorf("names %q", names)
	}
	c.noErr("remove", c.RemoveXattr(c.ctx, meta.Root, f, "user.a"))
	c.want("remove again", c.RemoveXattr(c.ctx, meta.Root, f, "user.a"), posix.ENODATA)
}

func volumeFlags(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	f := c.file(d, "f")
	set := func(ino meta.Ino, flags uint8) {
		t.Helper()
		_, _, err := c.SetAttr(c.ctx, meta.Root, ino, meta.Change{Flags: &flags})
		c.noErr("set flags", err)
	}
	set(f, meta.FlagImmutable)
	c.want("unlink", c.Unlink(c.ctx, meta.Root, d, "f"), posix.EPERM)
	c.want("rename", c.Rename(c.ctx, meta.Root, nm(d, "f"), nm(d, "g"), 0), posix.EPERM)
	_, err := c.Truncate(c.ctx, meta.Root, f, 5, false)
	c.want("truncate", err, posix.EPERM)
	_, err = c.Open(c.ctx, meta.Root, f, meta.OpenFor{Write: true})
	c.want("open for writing", err, posix.EPERM)
	set(f, meta.FlagAppend)
	_, err = c.Open(c.ctx, meta.Root, f, meta.OpenFor{Write: true})
	c.want("open without append", err, posix.EPERM)
	_, err = c.Open(c.ctx, meta.Root, f, meta.OpenFor{Write: true, Append: true})
	c.want("open for appending", err, nil)
	c.noErr("close", c.CloseFile(c.ctx, f))
	set(f, 0)
	set(d, meta.FlagAppend)
	c.want("unlink in an append-only directory", c.Unlink(c.ctx, meta.Root, d, "f"), posix.EPERM)
	c.file(d, "new")
	set(d, meta.FlagImmutable)
	_, _, err = c.Mknod(c.ctx, meta.Root, d, "x", meta.New{Type: meta.TypeFile})
	c.want("create in an immutable directory", err, posix.EPERM)
	set(d, 0)
}
