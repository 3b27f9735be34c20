package maintain

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync"

	"jfs/meta"
)

// DumpOptions say what a dump holds. The zero value dumps everything but secrets.
type DumpOptions struct {
	Top         meta.Ino // directory that becomes the root of the dump; 0 means the root
	KeepSecrets bool     // keep the secret key and the session token of the object store
	SkipTrash   bool
	Threads     int // inodes read at a time; 0 means DefaultThreads
	Progress    Progress
	Log         *slog.Logger // is told entries that lead nowhere; nil: nobody is
}

// Dump writes the metadata of a volume as JSON. It is no snapshot of one moment when the volume is in use. Memory does
// not grow with the volume: the tree is written as it is read, a page of each directory on the way down at a time.
func Dump(ctx context.Context, v *meta.Volume, w io.Writer, o DumpOptions) error {
	if o.Top == 0 {
		o.Top = meta.RootIno
	}
	d := &dumper{ctx: ctx, v: v, o: o, log: logger(o.Log), w: bufio.NewWriterSize(w, 1<<20), rules: map[uint32]json.RawMessage{}}
	d.run()
	if d.err == nil {
		d.err = d.w.Flush()
	}
	if d.err != nil {
		return fmt.Errorf("dump volume: %w", d.err)
	}
	return nil
}

// dumper writes a dump. The first error ends it; after that nothing is written.
type dumper struct {
	ctx context.Context
	v   *meta.Volume
	o   DumpOptions
	log *slog.Logger
	w   *bufio.Writer
	err error

	mu    sync.Mutex // guards rules
	rules map[uint32]json.RawMessage
}

func (d *dumper) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *dumper) raw(text ...string) {
	for _, s := range text {
		if d.err != nil {
			return
		}
		_, err := d.w.WriteString(s)
		d.fail(err)
	}
}

func (d *dumper) json(v any) {
	b, err := json.Marshal(v)
	d.fail(err)
	d.raw(string(b))
}

// member writes a member of the outermost object.
func (d *dumper) member(name string, v any) {
	d.raw("\"", name, "\": ")
	d.json(v)
	d.raw(",\n")
}

func (d *dumper) run() {
	top, err := d.v.GetAttr(d.ctx, d.o.Top)
	if err != nil {
		d.fail(fmt.Errorf("inode %d: %w", d.o.Top, err))
		return
	}
	if top.Type != meta.TypeDirectory {
		d.fail(fmt.Errorf("inode %d is no directory", d.o.Top))
		return
	}
	d.raw("{\n")
	d.head()
	d.raw("\"FSTree\": ")
	d.entry(meta.Dirent{Entry: meta.Entry{Type: meta.TypeDirectory, Ino: d.o.Top}, Attr: &top}, nil, meta.RootIno)
	if d.o.Top == meta.RootIno && !d.o.SkipTrash {
		d.trash()
	}
	d.raw("\n}\n")
}

// head writes what comes before the tree.
func (d *dumper) head() {
	whole := d.o.Top == meta.RootIno
	var setting []byte
	var counters dumpCounters
	sustained, files := []dumpSustained{}, []dumpDelFile{}
	quotas := map[meta.QuotaKind]map[string]dumpQuota{meta.QuotaDir: {}, meta.QuotaUser: {}, meta.QuotaGroup: {}}
	err := d.v.Engine().View(d.ctx, meta.Want{}, func(r meta.Reader) error {
		stored, err := r.Setting()
		if err != nil {
			return err
		}
		if setting, err = meta.DumpSetting(stored, d.o.KeepSecrets); err != nil {
			return err
		}
		if counters.UsedSpace, counters.UsedInodes, err = r.Usage(); err != nil || !whole {
			return err
		}
		sessions, err := r.Sessions()
		if err != nil {
			return err
		}
		sustained, files = sustained[:0], files[:0]
		for _, s := range sessions {
			inodes, err := r.Sustained(s.Sid)
			if err != nil {
				return err
			}
			if len(inodes) > 0 {
				sustained = append(sustained, dumpSustained{s.Sid, inodes})
			}
		}
		removed, err := r.DelFiles(math.MaxInt64, everything)
		if err != nil {
			return err
		}
		// Engines list them in orders of their own.
		slices.SortFunc(removed, func(a, b meta.DelFile) int {
			return cmp.Or(cmp.Compare(a.Removed, b.Removed), cmp.Compare(a.Ino, b.Ino))
		})
		for _, f := range removed {
			files = append(files, dumpDelFile{f.Ino, f.Length, f.Removed})
		}
		all, err := r.Quotas()
		for key, q := range all {
			quotas[key.Kind][strconv.FormatUint(key.ID, 10)] = dumpQuota{q.MaxSpace, q.MaxInodes}
		}
		return err
	})
	if err != nil {
		d.fail(err)
		return
	}
	for _, c := range []struct {
		seq meta.Sequence
		to  *int64
		ago int64 // 1 where the dump has the last number instead of the next
	}{{meta.SeqInode, &counters.NextInodes, 0}, {meta.SeqSlice, &counters.NextChunk, 0}, {meta.SeqSession, &counters.NextSession, 1}, {meta.SeqTrash, &counters.NextTrash, 1}} {
		next, err := d.v.Engine().Reserve(d.ctx, c.seq, 0)
		if err != nil {
			d.fail(err)
			return
		}
		*c.to = int64(next) - c.ago
	}
	d.raw("\"Setting\": ", string(setting), ",\n")
	d.member("Counters", counters)
	d.member("Sustained", sustained)
	d.member("DelFiles", files)
	d.member("Quotas", quotas[meta.QuotaDir])
	d.member("UserQuotas", quotas[meta.QuotaUser])
	d.member("GroupQuotas", quotas[meta.QuotaGroup])
}

func (d *dumper) trash() {
	var a meta.Attr
	var there bool
	err := d.v.Engine().View(d.ctx, meta.Want{Attrs: []meta.Ino{meta.TrashIno}}, func(r meta.Reader) (err error) {
		a, there, err = r.Attr(meta.TrashIno)
		return err
	})
	if d.fail(err); err != nil || !there {
		return
	}
	d.raw(",\n\"Trash\": ")
	d.entry(meta.Dirent{Entry: meta.Entry{Type: meta.TypeDirectory, Ino: meta.TrashIno}, Attr: &a}, nil, meta.TrashIno)
}

// details is what an entry holds besides its attribute.
type details struct {
	target        string
	xattrs        []dumpXattr
	access, deflt json.RawMessage
	chunks        []dumpChunk
}

// entry writes an inode with all that is below it. det, if not nil, was read in advance. as is the number that it gets.
func (d *dumper) entry(e meta.Dirent, det *details, as meta.Ino) {
	if d.err != nil {
		return
	}
	if det == nil {
		var err error
		if det, err = d.read(d.ctx, e); err != nil {
			d.fail(err)
			return
		}
	}
	d.raw("{\"attr\": ")
	d.json(dumpedAttr(as, e.Attr))
	if e.Type == meta.TypeSymlink {
		d.raw(", \"symlink\": ", string(quoted(det.target)))
	}
	if len(det.xattrs) > 0 {
		sep := ", \"xattrs\": ["
		for _, x := range det.xattrs {
			d.raw(sep, "{\"name\": ", string(quoted(x.Name)), ", \"value\": ", string(quoted(x.Value)), "}")
			sep = ", "
		}
		d.raw("]")
	}
	if det.access != nil {
		d.raw(", \"posix_acl_access\": ", string(det.access))
	}
	if det.deflt != nil {
		d.raw(", \"posix_acl_default\": ", string(det.deflt))
	}
	if e.Type == meta.TypeFile {
		d.raw(", \"chunks\": ")
		if det.chunks == nil {
			det.chunks = []dumpChunk{}
		}
		d.json(det.chunks)
	}
	if e.Type == meta.TypeDirectory {
		d.raw(", \"entries\": {")
		d.entries(e.Ino)
		d.raw("}")
	}
	d.raw("}")
	d.o.Progress.add(StepEntries, 1)
}

// dumpWindow is how many entries are read ahead of the one being written, with their lists of slices.
const dumpWindow = 64

// entries writes the entries of a directory.
func (d *dumper) entries(dir meta.Ino) {
	sep := "\n"
	seed := maphash.MakeSeed()
	var seen map[uint64]struct{} // hashes of the names of a large directory, whose pages may give one twice
	for cursor := ""; d.err == nil; {
		page, next, err := d.v.Readdir(d.ctx, dir, cursor, pageSize, true)
		if err != nil {
			d.fail(err)
			return
		}
		if next != "" && seen == nil {
			seen = map[uint64]struct{}{}
		}
		for len(page) > 0 && d.err == nil {
			window := page[:min(len(page), dumpWindow)]
			page = page[len(window):]
			read, err := d.readAll(window)
			if err != nil {
				d.fail(err)
				return
			}
			for i, e := range window {
				if e.Attr == nil {
					d.log.Warn("entry leads nowhere and is not dumped", "directory", dir, "name", e.Name, "inode", e.Ino)
					continue
				}
				if seen != nil {
					h := maphash.String(seed, e.Name)
					if _, again := seen[h]; again {
						continue
					}
					seen[h] = struct{}{}
				}
				d.raw(sep, string(quoted(e.Name)), ": ")
				sep = ",\n"
				d.entry(e, read[i], e.Ino)
			}
		}
		if cursor = next; cursor == "" {
			return
		}
	}
}

// readAll reads the details of some entries side by side.
func (d *dumper) readAll(window []meta.Dirent) ([]*details, error) {
	read := make([]*details, len(window))
	p := newPool(d.ctx, d.o.Threads)
	for i, e := range window {
		if e.Attr == nil {
			continue
		}
		p.Go(func(ctx context.Context) (err error) {
			read[i], err = d.read(ctx, e)
			return err
		})
	}
	return read, p.end(d.ctx.Err())
}
