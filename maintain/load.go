package maintain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"jfs/meta"
)

// ErrNotEmpty: a dump can be loaded into an empty database only.
var ErrNotEmpty = errors.New("the database is not empty: give an empty one")

// LoadOptions say how a dump is loaded. The zero value works.
type LoadOptions struct {
	Threads  int // transactions at a time; 0 means DefaultThreads
	Progress Progress
}

// Load reads the JSON of a dump and makes the volume in an empty database. What a dump can have wrong is counted anew:
// links, parents, references, usage, quotas. If it fails, the database is empty again. Memory does not grow with the
// number of files, but for a bit for each inode and for each slice.
func Load(ctx context.Context, eng meta.Engine, r io.Reader, o LoadOptions) error {
	if err := eng.Init(ctx); err != nil {
		return fmt.Errorf("prepare database: %w", err)
	}
	if err := empty(ctx, eng); err != nil {
		return err
	}
	l := newLoader(ctx, eng, r, o)
	err := l.begin()
	if err == nil {
		err = l.run()
	}
	if err == nil {
		return nil
	}
	_ = l.out.wait() //nolint:errcheck // there is an earlier error
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	defer cancel()
	if cerr := eng.Erase(clean); cerr != nil {
		err = errors.Join(err, fmt.Errorf("empty the database again: %w", cerr))
	}
	return fmt.Errorf("load dump: %w", err)
}

// empty makes sure that a database holds nothing. Records without a setting, which no client can mount, are what a load has
// left that was killed; they go.
func empty(ctx context.Context, eng meta.Engine) error {
	volume, left := false, false
	err := eng.View(ctx, meta.Want{}, func(r meta.Reader) error {
		setting, err := r.Setting()
		if err != nil {
			return err
		}
		volume, left = setting != nil, false
		for cursor := ""; !volume && !left; {
			var nodes []meta.Node
			if nodes, cursor, err = r.ScanNodes(cursor, pageSize); err != nil {
				return err
			}
			if left = len(nodes) > 0; cursor == "" {
				break
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case volume:
		return ErrNotEmpty
	case !left:
		return nil
	}
	if err := eng.Erase(ctx); err != nil {
		return err
	}
	// On some databases what Init makes is among what Erase removes.
	if err := eng.Init(ctx); err != nil {
		return fmt.Errorf("prepare database again: %w", err)
	}
	return nil
}

// begin writes the root before anything else, so that the next load sees that this one was here. Batches keep no order, and
// the first ones may hold no inode at all.
func (l *loader) begin() error {
	return l.eng.Update(l.ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.SetAttr(meta.RootIno, &meta.Attr{Type: meta.TypeDirectory, Nlink: 2, Length: 4096, Parent: meta.RootIno})
		return nil
	})
}

// loader is one load.
type loader struct {
	ctx context.Context
	eng meta.Engine
	o   LoadOptions
	in  *json.Decoder
	out *batches

	setting  []byte
	format   meta.Format
	counters dumpCounters
	quotas   map[meta.QuotaKey]meta.Quota // limits, and of users and groups the usage

	inodes, slices once // seen already
	rules          map[string]uint32
	used           totals
	refs           map[meta.SliceRef]int64 // further references of slices, to be added
	links          map[meta.Ino][]meta.Ino // further entries of inodes, by their directories, to be added
	later          int                     // number of these

	lastInode, lastSlice, lastTrash uint64
}

// totals is space in bytes, and a number of inodes.
type totals struct{ space, inodes int64 }

func (t *totals) add(u totals) { t.space += u.space; t.inodes += u.inodes }

func newLoader(ctx context.Context, eng meta.Engine, r io.Reader, o LoadOptions) *loader {
	return &loader{ctx: ctx, eng: eng, o: o, in: json.NewDecoder(r), out: newBatches(ctx, eng, o.Threads),
		quotas: map[meta.QuotaKey]meta.Quota{}, rules: map[string]uint32{},
		refs: map[meta.SliceRef]int64{}, links: map[meta.Ino][]meta.Ino{}}
}

func (l *loader) run() error {
	tree := false
	err := l.object(func(name string) error {
		switch name {
		case "Setting":
			return l.readSetting()
		case "Counters":
			return l.decode(&l.counters)
		case "DelFiles":
			return l.readDelFiles()
		case "Quotas":
			return l.readQuotas(meta.QuotaDir)
		case "UserQuotas":
			return l.readQuotas(meta.QuotaUser)
		case "GroupQuotas":
			return l.readQuotas(meta.QuotaGroup)
		case "FSTree", "Trash":
			if l.setting == nil {
				return fmt.Errorf("%s comes before Setting: this is no dump of a volume", name)
			}
			top := meta.RootIno
			if name == "Trash" {
				top = meta.TrashIno
			} else {
				tree = true
			}
			return l.top(top)
		}
		return l.skip()
	})
	switch {
	case err != nil:
		return err
	case !tree:
		return errors.New("there is no FSTree: this is no dump of a volume, or the file is cut short")
	}
	return l.finish()
}

// decode reads one value.
func (l *loader) decode(v any) error { return l.text(l.in.Decode(v)) }

func (l *loader) token() (json.Token, error) {
	t, err := l.in.Token()
	return t, l.text(err)
}

// text adds the place to an error of the dump's text.
func (l *loader) text(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the dump is cut short")
	}
	return fmt.Errorf("at byte %d of the dump: %w", l.in.InputOffset(), err)
}

// object reads an object and calls fn for each of its members, which has to read the value.
func (l *loader) object(fn func(name string) error) error {
	if err := l.delim('{'); err != nil {
		return err
	}
	for l.in.More() {
		t, err := l.token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return fmt.Errorf("at byte %d of the dump: %v instead of a name", l.in.InputOffset(), t)
		}
		if err := fn(name); err != nil {
			return err
		}
	}
	return l.delim('}')
}

func (l *loader) delim(want json.Delim) error {
	t, err := l.token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("at byte %d of the dump: %v instead of %v", l.in.InputOffset(), t, want)
	}
	return nil
}

func (l *loader) skip() error {
	var any json.RawMessage
	return l.decode(&any)
}

func (l *loader) readSetting() error {
	var raw json.RawMessage
	if err := l.decode(&raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &l.format); err != nil {
		return fmt.Errorf("setting: %w", err)
	}
	if l.format.Name == "" || l.format.UUID == "" {
		return errors.New("the setting has no name or UUID: this is no dump of a volume")
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", ""); err != nil {
		return err
	}
	l.setting = b.Bytes()
	return nil
}

func (l *loader) readDelFiles() error {
	var files []dumpDelFile
	if err := l.decode(&files); err != nil {
		return err
	}
	for _, f := range files {
		l.lastInode = max(l.lastInode, uint64(f.Inode))
		l.out.put(func(tx meta.Tx) error {
			tx.SetDelFile(meta.DelFile{Ino: f.Inode, Length: f.Length, Removed: f.Expire})
			return nil
		})
	}
	return nil
}

func (l *loader) readQuotas(kind meta.QuotaKind) error {
	var all map[string]dumpQuota
	if err := l.decode(&all); err != nil {
		return err
	}
	for id, q := range all {
		n, err := strconv.ParseUint(id, 10, 64)
		if err != nil {
			return fmt.Errorf("quota of %q: %w", id, err)
		}
		l.quotas[meta.QuotaKey{Kind: kind, ID: n}] = meta.Quota{MaxSpace: q.MaxSpace, MaxInodes: q.MaxInodes}
	}
	return nil
}

// finish writes what is known at the end. The setting comes last: with it the database holds a volume.
func (l *loader) finish() error {
	for key, q := range l.quotas {
		if key.Kind != meta.QuotaDir {
			l.out.put(func(tx meta.Tx) error {
				tx.SetQuota(key, q)
				return nil
			})
		}
	}
	if err := l.flushLater(); err != nil {
		return err
	}
	if err := l.out.wait(); err != nil {
		return err
	}
	for _, s := range []struct {
		seq        meta.Sequence
		dump, last uint64 // the next one of the dump, the last one that was seen
	}{
		{meta.SeqInode, uint64(max(l.counters.NextInodes, 0)), l.lastInode},
		{meta.SeqSlice, uint64(max(l.counters.NextChunk, 0)), l.lastSlice},
		{meta.SeqTrash, uint64(max(l.counters.NextTrash, 0)) + 1, l.lastTrash},
	} {
		if err := advance(l.ctx, l.eng, s.seq, max(s.dump, s.last+1)); err != nil {
			return err
		}
	}
	return l.eng.Update(l.ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.AddUsage(l.used.space, l.used.inodes)
		tx.SetSetting(l.setting)
		return nil
	})
}

// advance lets a sequence go on with next, if it has not come so far yet.
func advance(ctx context.Context, eng meta.Engine, seq meta.Sequence, next uint64) error {
	const most = 1 << 32 // of one call
	for {
		at, err := eng.Reserve(ctx, seq, 0)
		if err != nil || at >= next {
			return err
		}
		if _, err := eng.Reserve(ctx, seq, min(next-at, most)); err != nil {
			return err
		}
	}
}
