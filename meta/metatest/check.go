package metatest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"jfs/meta"
)

// Checks say what Faults leaves out. The zero value is everything that holds when no client is at work.
type Checks struct {
	// NoUsage leaves out the usage of the volume. Some engines apply it a little later.
	NoUsage bool
	// NoStatistics leaves out the statistics of directories and quotas, which clients apply a little later.
	NoStatistics bool
	// Unfinished allows what a client that died leaves for another one to finish: unlinked files of its session, and clones
	// under way.
	Unfinished bool
}

// Check fails the test with the faults of a volume that has clients which are doing nothing: it leaves out what they have
// not flushed.
func Check(t *testing.T, v *meta.Volume) {
	t.Helper()
	check(t, v, Checks{NoStatistics: true})
}

// CheckClosed fails the test with the faults of a volume whose other clients have been closed.
func CheckClosed(t *testing.T, v *meta.Volume) {
	t.Helper()
	check(t, v, Checks{})
}

func check(t *testing.T, v *meta.Volume, o Checks) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	deadline := time.Now().Add(10 * time.Second)
	for {
		faults, err := Faults(ctx, v, o)
		if err != nil {
			t.Fatalf("check of the volume: %v", err)
		}
		if len(faults) == 0 {
			return
		}
		if time.Now().After(deadline) {
			for _, f := range faults {
				t.Error(f)
			}
			return
		}
		time.Sleep(20 * time.Millisecond) // engines apply the usage later, and data of removed files is freed later
	}
}

// Faults lists what contradicts itself in the records of a volume: entries and inodes without each other, directories
// outside the tree or in it twice, numbers of links, parents, chunks without a file, references to slices, and counters.
// It holds the metadata of the whole volume in memory.
func Faults(ctx context.Context, v *meta.Volume, o Checks) ([]string, error) {
	c := &checker{v: v, o: o, nodes: map[meta.Ino]*seenNode{}}
	for _, step := range []func(context.Context) error{c.scan, c.list, c.keepers, c.chunks} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	c.tree()
	for ino, n := range c.nodes {
		if err := c.links(ctx, ino, n); err != nil {
			return nil, err
		}
	}
	if !o.NoUsage {
		if err := c.usage(ctx); err != nil {
			return nil, err
		}
	}
	if !o.NoStatistics {
		for _, step := range []func(context.Context) error{c.dirStats, c.quotas} {
			if err := step(ctx); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(c.faults)
	return c.faults, nil
}

type checker struct {
	v      *meta.Volume
	o      Checks
	nodes  map[meta.Ino]*seenNode
	kept   map[meta.Ino]bool // unlinked, but in use
	clones map[meta.Ino]bool // tops of clones under way
	files  map[meta.Ino]bool // removed, with data that is not freed
	faults []string
}

// seenNode is an inode with what leads to it and what is in it.
type seenNode struct {
	attr    meta.Attr
	parents map[meta.Ino]int64 // entries, by directory
	entries []meta.Dirent      // of a directory
	found   bool               // there is a way to it from a top
	partial bool               // ... which is that of a clone under way
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

func (c *checker) view(ctx context.Context, fn func(meta.Reader) error) error {
	return c.v.Engine().View(ctx, meta.Want{}, fn)
}

func (c *checker) scan(ctx context.Context) error {
	for cursor := ""; ; {
		page, next, err := c.v.ScanNodes(ctx, cursor, 1000)
		if err != nil {
			return fmt.Errorf("scan inodes: %w", err)
		}
		for _, n := range page {
			c.nodes[n.Ino] = &seenNode{attr: n.Attr, parents: map[meta.Ino]int64{}}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// list reads all directories, those outside the tree too.
func (c *checker) list(ctx context.Context) error {
	for dir, d := range c.nodes {
		if d.attr.Type != meta.TypeDirectory {
			continue
		}
		names := map[string]bool{}
		for cursor := ""; ; {
			page, next, err := c.v.Readdir(ctx, dir, cursor, 1000, false)
			if err != nil {
				return fmt.Errorf("list %d: %w", dir, err)
			}
			for _, e := range page {
				if names[e.Name] {
					continue
				}
				names[e.Name] = true
				d.entries = append(d.entries, e)
				n := c.nodes[e.Ino]
				switch {
				case n == nil:
					c.fault("%d/%q names inode %d, which does not exist", dir, e.Name, e.Ino)
					continue
				case n.attr.Type != e.Type:
					c.fault("%d/%q says that inode %d is of type %d, it is of type %d", dir, e.Name, e.Ino, e.Type, n.attr.Type)
				case e.Type == meta.TypeDirectory && len(n.parents) > 0:
					c.fault("directory %d has a second entry %d/%q", e.Ino, dir, e.Name)
				}
				n.parents[dir]++
			}
			if cursor = next; cursor == "" {
				break
			}
		}
	}
	return nil
}

// keepers reads for what reason an inode may be without an entry.
func (c *checker) keepers(ctx context.Context) error {
	return c.view(ctx, func(r meta.Reader) error {
		c.kept, c.clones, c.files = map[meta.Ino]bool{}, map[meta.Ino]bool{}, map[meta.Ino]bool{}
		sessions, err := r.Sessions()
		if err != nil {
			return err
		}
		for _, s := range sessions {
			inos, err := r.Sustained(s.Sid)
			if err != nil {
				return err
			}
			for _, ino := range inos {
				c.kept[ino] = true
			}
		}
		clones, err := r.Detached(math.MaxInt32, math.MaxInt32)
		if err != nil {
			return err
		}
		for _, ino := range clones {
			c.clones[ino] = true
		}
		files, err := r.DelFiles(math.MaxInt32, math.MaxInt32)
		for _, f := range files {
			c.files[f.Ino] = true
		}
		return err
	})
}

// tree finds what cannot be reached, among it circles of directories.
func (c *checker) tree() {
	c.mark([]meta.Ino{meta.RootIno, meta.TrashIno}, false)
	if c.o.Unfinished {
		c.mark(slices.Collect(maps.Keys(c.clones)), true)
	}
	for ino, n := range c.nodes {
		if n.found || c.o.Unfinished && c.kept[ino] && n.attr.Nlink == 0 {
			continue
		}
		c.fault("no way leads to inode %d (type %d, parent %d, entries in %v, kept by a session %v, detached %v)", ino, n.attr.Type,
			n.attr.Parent, n.parents, c.kept[ino], c.clones[ino])
	}
	if !c.o.Unfinished {
		for ino := range c.clones {
			c.fault("inode %d is registered as detached", ino)
		}
		for ino := range c.kept {
			c.fault("inode %d is kept by a session", ino)
		}
	}
}

// mark marks what is below the tops and not marked already.
func (c *checker) mark(queue []meta.Ino, partial bool) {
	for ; len(queue) > 0; queue = queue[1:] {
		n := c.nodes[queue[0]]
		if n == nil || n.found {
			continue
		}
		n.found, n.partial = true, partial
		for _, e := range n.entries {
			queue = append(queue, e.Ino)
		}
	}
}

// links checks one inode against the entries that lead to it.
func (c *checker) links(ctx context.Context, ino meta.Ino, n *seenNode) error {
	if n.attr.Type == meta.TypeDirectory {
		want := uint32(2)
		for _, e := range n.entries {
			if e.Type == meta.TypeDirectory {
				want++
			}
		}
		if !ino.IsTrash() && !n.partial && n.attr.Nlink != want { // those of the trash are not counted, a clone's come first
			c.fault("directory %d has %d links recorded, %d are there", ino, n.attr.Nlink, want)
		}
		if ino != meta.RootIno && ino != meta.TrashIno && !c.clones[ino] && n.parents[n.attr.Parent] != 1 {
			c.fault("directory %d says that its parent is %d, entries are in %v", ino, n.attr.Parent, n.parents)
		}
		return nil
	}
	links := int64(0)
	for _, k := range n.parents {
		links += k
	}
	if int64(n.attr.Nlink) != links {
		c.fault("inode %d has %d links recorded, %d are there: %v", ino, n.attr.Nlink, links, n.parents)
	}
	if n.attr.Parent != 0 {
		if n.attr.Nlink > 0 && n.parents[n.attr.Parent] != 1 {
			c.fault("inode %d says that its parent is %d, entries are in %v", ino, n.attr.Parent, n.parents)
		}
		return nil
	}
	return c.view(ctx, func(r meta.Reader) error {
		ps, err := r.Parents(ino)
		maps.DeleteFunc(ps, func(_ meta.Ino, k int64) bool { return k == 0 })
		if err == nil && !maps.Equal(ps, n.parents) {
			c.fault("inode %d has parents %v recorded, entries are in %v", ino, ps, n.parents)
		}
		return err
	})
}

// chunks checks that every chunk has a file and that the references to slices are as many as the records.
func (c *checker) chunks(ctx context.Context) error {
	used := map[meta.SliceRef]int64{}
	seen := map[meta.ChunkID]bool{}
	for cursor := ""; ; {
		page, next, err := c.v.ScanChunks(ctx, cursor, 1000)
		if err != nil {
			return fmt.Errorf("scan chunks: %w", err)
		}
		for _, k := range page {
			if seen[k.ChunkID] {
				continue
			}
			seen[k.ChunkID] = true
			if n := c.nodes[k.Ino]; (n == nil || n.attr.Type != meta.TypeFile) && !c.files[k.Ino] {
				c.fault("chunk %d of inode %d, which is no file, has records %v", k.Index, k.Ino, k.Slices)
			}
			for _, s := range k.Slices {
				if s.ID != 0 {
					used[meta.SliceRef{ID: s.ID, Size: s.Size}]++
				}
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	return c.view(ctx, func(r meta.Reader) error {
		used := maps.Clone(used)
		delayed, err := r.DelayedSlices(math.MaxInt32, math.MaxInt32)
		if err != nil {
			return err
		}
		for _, d := range delayed {
			for _, s := range d.Slices {
				used[s]++
			}
		}
		list := slices.SortedFunc(maps.Keys(used), func(a, b meta.SliceRef) int { return cmp.Compare(a.ID, b.ID) })
		refs, err := r.Refs(list)
		if err != nil {
			return err
		}
		for i, s := range list {
			if refs[i] != used[s] {
				c.fault("slice %d of %d bytes has %d references recorded, %d are there", s.ID, s.Size, refs[i], used[s])
			}
		}
		dead, err := r.DeadSlices(math.MaxInt32)
		for _, s := range dead {
			if used[s] != 0 { // without references it is what a client leaves that ends while it frees data
				c.fault("slice %d of %d bytes waits to be deleted, %d references are there", s.ID, s.Size, used[s])
			}
		}
		return err
	})
}

func (c *checker) usage(ctx context.Context) error {
	var space, inodes int64
	for ino, n := range c.nodes {
		if ino != meta.RootIno && ino != meta.TrashIno {
			space += n.attr.Space()
			inodes++
		}
	}
	s, i, err := c.v.Usage(ctx)
	if err == nil && (s != space || i != inodes) {
		c.fault("the volume holds %d bytes, %d inodes; recorded are %d, %d", space, inodes, s, i)
	}
	return err
}

func (c *checker) dirStats(ctx context.Context) error {
	if !c.v.Format().DirStats {
		return nil
	}
	return c.view(ctx, func(r meta.Reader) error {
		for dir, d := range c.nodes {
			if d.attr.Type != meta.TypeDirectory || dir == meta.TrashIno { // which has none
				continue
			}
			lost := !dir.IsTrash() && d.attr.Parent.IsTrash() // on its way into the trash
			var want meta.DirStat
			for _, e := range d.entries {
				one := meta.DirStat{Space: 4096, Inodes: 1}
				if n := c.nodes[e.Ino]; n != nil {
					one.Space = n.attr.Space()
					if n.attr.Type == meta.TypeFile {
						one.Length = int64(n.attr.Length)
					}
				}
				want = meta.DirStat{Length: want.Length + one.Length, Space: want.Space + one.Space, Inodes: want.Inodes + one.Inodes}
			}
			got, err := r.DirStats([]meta.Ino{dir})
			if err != nil {
				return err
			}
			if s, ok := got[dir]; !ok && !lost || ok && s != want {
				c.fault("statistics of directory %d: %+v (recorded %v), counted %+v", dir, s, ok, want)
			}
		}
		return nil
	})
}

func (c *checker) quotas(ctx context.Context) error {
	checks, err := c.v.CheckQuotas(ctx, nil, false, true)
	for _, k := range checks {
		if !k.OK() {
			c.fault("quota of %s: %d bytes, %d inodes recorded; counted %d, %d", k.Key, k.Stored.UsedSpace, k.Stored.UsedInodes, k.Space, k.Inodes)
		}
	}
	return err
}
