package metatest

import (
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

func volumeUsage(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	f := c.file(d, "f")
	c.wrote(f, 0, 10000)
	_, err := c.Link(c.ctx, meta.Root, f, d, "l")
	c.noErr("link", err)
	c.wantUsage(4096+12288, 2)
	_, err = c.Truncate(c.ctx, meta.Root, f, 100, false)
	c.noErr("truncate", err)
	c.wantUsage(4096+4096, 2)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "f"))
	c.wantUsage(4096+4096, 2)
	c.noErr("unlink", c.Unlink(c.ctx, meta.Root, d, "l"))
	c.noErr("rmdir", c.Rmdir(c.ctx, meta.Root, meta.RootIno, "d"))
	c.wantUsage(0, 0)
}

func volumeCapacity(t *testing.T, c *client) {
	c.remake(func(f *meta.Format) { f.Capacity, f.Inodes = 16<<10, 3 })
	f := c.file(meta.RootIno, "f")
	w := []meta.Written{{Slice: meta.Slice{ID: 1 << 40, Size: 20000, Len: 20000}}}
	_, _, err := c.Write(c.ctx, f, meta.Commit{Slices: w})
	c.want("write beyond the capacity", err, posix.ENOSPC)
	_, err = c.Truncate(c.ctx, meta.Root, f, 1<<20, false)
	c.want("truncate beyond the capacity", err, posix.ENOSPC)
	c.file(meta.RootIno, "g")
	c.file(meta.RootIno, "h")
	_, _, err = c.Mknod(c.ctx, meta.Root, meta.RootIno, "i", meta.New{Type: meta.TypeFile})
	c.want("one inode too many", err, posix.ENOSPC)
	s := c.StatFS(c.ctx, meta.RootIno)
	if s.TotalBytes != 16<<10 || s.FreeBytes != 4<<10 || s.TotalInodes != 3 || s.FreeInodes != 0 {
		t.Errorf("statfs %+v", s)
	}
}

func volumeDirStats(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	f := c.file(d, "f")
	c.wrote(f, 0, 5000)
	c.dir(d, "sub")
	c.make(d, "s", meta.TypeSymlink)
	e := c.dir(meta.RootIno, "e")
	c.noErr("rename", c.Rename(c.ctx, meta.Root, nm(d, "f"), nm(e, "f"), 0))
	c.noErr("close", c.Volume.Close(c.ctx))
	var got map[meta.Ino]meta.DirStat
	c.noErr("read", c.eng.View(c.ctx, meta.Want{}, func(r meta.Reader) (err error) {
		got, err = r.DirStats([]meta.Ino{d, e, meta.RootIno, 4242})
		return err
	}))
	for dir, want := range map[meta.Ino]meta.DirStat{
		d: {Space: 8192, Inodes: 2}, e: {Length: 5000, Space: 8192, Inodes: 1}, meta.RootIno: {Space: 8192, Inodes: 2},
	} {
		if got[dir] != want {
			t.Errorf("statistics of %d: %+v, want %+v", dir, got[dir], want)
		}
	}
	if _, ok := got[4242]; ok {
		t.Error("statistics of a directory that never was")
	}
	*c = *openVolume(t, c.eng, meta.Options{})
}
