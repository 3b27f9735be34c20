package metatest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"jfs/meta"
)

// client is a volume under test; its methods fail the test on errors that are not asked for.
type client struct {
	*meta.Volume
	t     *testing.T
	ctx   context.Context
	eng   meta.Engine
	freed chan meta.SliceRef
}

var user = meta.Cred{UID: 1000, GID: 1000}

// format makes a volume without trash on the engine and opens it.
func format(t *testing.T, eng meta.Engine, edit func(*meta.Format)) *client {
	t.Helper()
	f := meta.NewFormat("test-volume", "c3e7e74f-5a08-4d60-875a-4aa1ff862804")
	f.TrashDays = 0
	if edit != nil {
		edit(&f)
	}
	if err := meta.Create(t.Context(), eng, f, meta.Time{Sec: 1795429376}); err != nil {
		t.Fatalf("create volume: %v", err)
	}
	return openVolume(t, eng, meta.Options{})
}

func openVolume(t *testing.T, eng meta.Engine, opt meta.Options) *client {
	t.Helper()
	c := &client{t: t, ctx: context.WithoutCancel(t.Context()), eng: eng, freed: make(chan meta.SliceRef, 1000)}
	if opt.FreeSlices == nil {
		opt.FreeSlices = func(_ context.Context, slices []meta.SliceRef) []error {
			for _, s := range slices {
				c.freed <- s
			}
			return nil
		}
	}
	v, err := meta.Open(c.ctx, eng, opt)
	if err != nil {
		t.Fatalf("open volume: %v", err)
	}
	c.Volume = v
	t.Cleanup(func() {
		if err := v.Close(c.ctx); err != nil {
			t.Errorf("close volume: %v", err)
		}
	})
	return c
}

func (c *client) session() {
	c.t.Helper()
	info := meta.SessionInfo{Version: meta.CompatVersion + "+jfs-test", HostName: "h", MountPoint: "/mnt", ProcessID: 1}
	if err := c.StartSession(c.ctx, info); err != nil {
		c.t.Fatalf("start session: %v", err)
	}
}

func (c *client) make(dir meta.Ino, name string, typ meta.Type) meta.Ino {
	c.t.Helper()
	n := meta.New{Type: typ, Mode: 0755}
	if typ == meta.TypeSymlink {
		n.Target = "target"
	}
	ino, _, err := c.Mknod(c.ctx, meta.Root, dir, name, n)
	if err != nil {
		c.t.Fatalf("make %d/%s: %v", dir, name, err)
	}
	return ino
}

func (c *client) file(dir meta.Ino, name string) meta.Ino {
	c.t.Helper()
	return c.make(dir, name, meta.TypeFile)
}

func (c *client) dir(dir meta.Ino, name string) meta.Ino {
	c.t.Helper()
	return c.make(dir, name, meta.TypeDirectory)
}

func (c *client) attr(ino meta.Ino) meta.Attr {
	c.t.Helper()
	a, err := c.GetAttr(c.ctx, ino)
	if err != nil {
		c.t.Fatalf("attribute of %d: %v", ino, err)
	}
	return a
}

// wrote publishes a fresh slice of n bytes at off of a file, within one chunk.
func (c *client) wrote(ino meta.Ino, off uint64, n uint32) meta.Slice {
	c.t.Helper()
	id, err := c.NewSlice(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	s := meta.Slice{Pos: uint32(off % meta.ChunkSize), ID: id, Size: n, Len: n}
	w := []meta.Written{{Index: uint32(off >> meta.ChunkBits), Slice: s}}
	if _, _, err := c.Write(c.ctx, ino, meta.Commit{Slices: w, Mtime: meta.TimeOf(time.Now())}); err != nil {
		c.t.Fatalf("write to %d: %v", ino, err)
	}
	return s
}

func (c *client) names(dir meta.Ino) []string {
	c.t.Helper()
	var names []string
	for cursor := ""; ; {
		page, next, err := c.Readdir(c.ctx, dir, cursor, 100, false)
		if err != nil {
			c.t.Fatalf("list %d: %v", dir, err)
		}
		for _, e := range page {
			names = append(names, e.Name)
		}
		if cursor = next; cursor == "" {
			slices.Sort(names)
			return slices.Compact(names)
		}
	}
}

func (c *client) wantNames(dir meta.Ino, want ...string) {
	c.t.Helper()
	if got := c.names(dir); !slices.Equal(got, want) {
		c.t.Errorf("directory %d holds %q, want %q", dir, got, want)
	}
}

func (c *client) want(what string, got, want error) {
	c.t.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		c.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (c *client) noErr(what string, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
}

func (c *client) wantFreed(want ...meta.Slice) {
	c.t.Helper()
	got := map[uint64]bool{}
	for range want {
		select {
		case s := <-c.freed:
			got[s.ID] = true
		case <-time.After(10 * time.Second):
			c.t.Fatalf("freed only %v of %v", got, want)
		}
	}
	for _, s := range want {
		if !got[s.ID] {
			c.t.Errorf("freed %v, want slice %d", got, s.ID)
		}
	}
}

// remake changes the format under the client and opens it anew.
func (c *client) remake(edit func(*meta.Format)) {
	c.t.Helper()
	f := c.Format()
	edit(&f)
	c.noErr("store format", meta.Store(c.ctx, c.eng, f, meta.TimeOf(time.Now())))
	*c = *openVolume(c.t, c.eng, meta.Options{})
}

func nm(dir meta.Ino, name string) meta.Name { return meta.Name{Dir: dir, Name: name} }

func (c *client) usage() (space, inodes int64) {
	c.t.Helper()
	c.noErr("read usage", c.eng.View(c.ctx, meta.Want{}, func(r meta.Reader) (err error) {
		space, inodes, err = r.Usage()
		return err
	}))
	return space, inodes
}

// wantUsage waits for engines that apply changes of the usage a little later.
func (c *client) wantUsage(space, inodes int64) {
	c.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		s, i := c.usage()
		if s == space && i == inodes {
			return
		}
		if time.Now().After(deadline) {
			c.t.Errorf("volume holds %d bytes, %d inodes; want %d, %d", s, i, space, inodes)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
