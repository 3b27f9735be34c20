package mem_test

import (
	"context"
	"fmt"
	"testing"

	"jfs/meta"
	"jfs/meta/metatest"
	"jfs/meta/tkv"
	"jfs/meta/tkv/mem"
)

func TestConformance(t *testing.T) {
	metatest.Run(t, func(t *testing.T) func() meta.Engine {
		s := mem.New()
		return func() meta.Engine { return tkv.New(s, tkv.Options{}) }
	})
}

// TestConformancePrefix runs the suite on the middle one of three volumes in a store.
func TestConformancePrefix(t *testing.T) {
	metatest.RunEngine(t, func(t *testing.T) meta.Engine {
		s := mem.New()
		for _, p := range []string{"jfr\xff", "jfs\xfe"} {
			occupy(t, tkv.WithPrefix(s, p))
		}
		return tkv.New(tkv.WithPrefix(s, "jfs\xfd"), tkv.Options{})
	})
}

// occupy makes a volume with a record of most kinds.
func occupy(t *testing.T, s tkv.Store) {
	e := tkv.New(s, tkv.Options{})
	ctx := context.Background()
	a := meta.Attr{Type: meta.TypeFile, Length: 1, Nlink: 1}
	err := e.Update(ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.SetSetting([]byte("{}"))
		for _, ino := range []meta.Ino{1, 2, 3, 5, 10, 99} {
			tx.SetAttr(ino, &a)
			tx.SetEntry(ino, "a", meta.Entry{Type: meta.TypeFile, Ino: 5})
			tx.AppendSlices(ino, 0, []meta.Slice{{ID: 1, Size: 1, Len: 1}})
			tx.SetXattr(ino, "user.a", []byte("1"))
			tx.AddParent(ino, 2, 1)
			tx.SetDirStat(ino, meta.DirStat{Inodes: 1})
			tx.SetSustained(1, ino)
			tx.SetDelFile(meta.DelFile{Ino: ino, Removed: 1})
			tx.AddRef(uint64(ino), 1, -1)
			tx.SetFlock(ino, meta.LockOwner{Sid: 1}, meta.FlockExclusive)
			tx.SetPlocks(ino, meta.LockOwner{Sid: 1}, []meta.Plock{{End: 1}})
			tx.SetDelayed(meta.Delayed{ID: uint64(ino), At: 1, Slices: []meta.SliceRef{{ID: 1, Size: 1}}})
			tx.SetDetached(ino, 1)
			for kind := range meta.QuotaGroup + 1 {
				tx.SetQuota(meta.QuotaKey{Kind: kind, ID: uint64(ino)}, meta.Quota{UsedInodes: 1})
			}
		}
		if _, err := tx.AddACL([]byte("rule")); err != nil {
			return err
		}
		tx.SetSession(meta.SessionRecord{Sid: 1, Expire: 1, Info: []byte("{}")})
		tx.SetCounter(meta.LastCleanupFiles, 1)
		tx.AddUsage(1, 1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestShared(t *testing.T) {
	metatest.RunShared(t, func(t *testing.T) (a, b meta.Engine) {
		s := mem.New()
		return tkv.New(s, tkv.Options{}), tkv.New(s, tkv.Options{})
	})
}

// BenchmarkCreate makes entries in one directory, as one change each.
func BenchmarkCreate(b *testing.B) {
	e := mem.NewEngine(tkv.Options{})
	ctx := context.Background()
	dir := meta.Attr{Type: meta.TypeDirectory, Nlink: 2}
	file := meta.Attr{Type: meta.TypeFile, Nlink: 1}
	if err := e.Update(ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.SetAttr(2, &dir)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprint("file-", i)
		want := meta.Want{Perms: []meta.Ino{2}, Entries: []meta.Name{{Dir: 2, Name: name}}}
		if err := e.Update(ctx, want, func(tx meta.Tx) error {
			if _, _, err := tx.Perm(2); err != nil {
				return err
			}
			if _, _, err := tx.Entry(2, name); err != nil {
				return err
			}
			ino := meta.Ino(10 + i)
			tx.SetAttr(ino, &file)
			tx.SetEntry(2, name, meta.Entry{Type: meta.TypeFile, Ino: ino})
			tx.Touch(2, meta.Time{Sec: int64(i)}, 0, 0)
			tx.AddUsage(4096, 1)
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
}
