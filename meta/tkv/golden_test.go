package tkv_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"jfs/meta"
	"jfs/meta/tkv"
	"jfs/meta/tkv/mem"
)

// dump gives every pair of a store in hexadecimal.
func dump(t *testing.T, s tkv.Store) []string {
	t.Helper()
	txn, err := s.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Rollback()
	pairs, err := txn.Snapshot().Scan(context.Background(), nil, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range pairs {
		all = append(all, fmt.Sprintf("%x=%x", p.Key, p.Value))
	}
	return all
}

// text is the hexadecimal form of text in keys and values.
func text(s string) string { return hex.EncodeToString([]byte(s)) }

func mustUpdate(t *testing.T, e meta.Engine, want meta.Want, fn func(meta.Tx) error) {
	t.Helper()
	if err := e.Update(context.Background(), want, fn); err != nil {
		t.Fatal(err)
	}
}

// TestGolden writes a fixed sequence of records and compares every byte of the key space. What the format's
// documentation shows as observed is marked so.
func TestGolden(t *testing.T) {
	ctx := context.Background()
	for _, prefix := range []string{"", "jfs\xfd"} {
		store := mem.New()
		e := tkv.New(tkv.WithPrefix(store, prefix), tkv.Options{FlushUsage: time.Hour})
		if err := e.Init(ctx); err != nil {
			t.Fatal(err)
		}
		at := meta.Time{Sec: 0x6b041400}
		root := meta.Attr{Type: meta.TypeDirectory, Mode: 0777, Atime: at, Mtime: at, Ctime: at, Nlink: 2, Length: 4096, Parent: 1}
		dev := meta.Attr{Type: meta.TypeCharDev, Mode: 0644, Nlink: 1, Rdev: 0x103, Parent: 2}
		dev.Atime = meta.Time{Sec: 0x6b0414ad, Nsec: 0x0220c4da}
		dev.Mtime, dev.Ctime = dev.Atime, dev.Atime
		acl := meta.Attr{Type: meta.TypeFile, Nlink: 2, AccessACL: 1, Tier: 1}
		mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
			tx.SetSetting([]byte("{}"))
			tx.SetAttr(1, &root)
			tx.SetAttr(9, &dev)
			tx.SetAttr(3, &acl)
			tx.SetEntry(1, "f", meta.Entry{Type: meta.TypeFile, Ino: 3})
			tx.SetEntry(meta.TrashIno, "2026-11-23-10", meta.Entry{Type: meta.TypeDirectory, Ino: meta.TrashIno + 1})
			tx.AddParent(3, 2, 2)
			tx.AppendSlices(5, 0, []meta.Slice{{ID: 3, Size: 10 << 20, Len: 10 << 20}})
			tx.AppendSlices(5, 0, []meta.Slice{{Pos: 0x1388, Len: 0x03ffec78}})
			tx.NewRef(3, 10<<20) // one reference leaves no record
			tx.AddRef(1, 5, 1)
			tx.AddRef(2, 5, -1)
			tx.AddRef(7, 9, 0) // a mark
			tx.SetSymlink(6, "t")
			tx.SetXattr(6, "user.a", []byte("v"))
			tx.SetDelFile(meta.DelFile{Ino: 8, Length: 0x1000, Removed: 0x6b041400})
			tx.SetSession(meta.SessionRecord{Sid: 1, Expire: 0x6b0415ff, Info: []byte("{}")})
			tx.SetSustained(1, 6)
			tx.SetDirStat(1, meta.DirStat{Length: 5, Space: 4096, Inodes: -1})
			tx.SetCounter(meta.LastCleanupFiles, 0x6b041400)
			tx.AddUsage(4096, 1)
			return nil
		})
		for seq, n := range map[meta.Sequence]uint64{meta.SeqInode: 1024, meta.SeqSlice: 4096, meta.SeqSession: 1, meta.SeqTrash: 1, meta.SeqACL: 1} {
			if first, err := e.Reserve(ctx, seq, n); err != nil || seq != meta.SeqInode && first != 1 || seq == meta.SeqInode && first != 2 {
				t.Errorf("sequence %d begins at %d: %v", seq, first, err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}

		devTime := "000000006b0414ad 0220c4da"
		want := []string{
			"41 0100000000000000 44" + text("f") + "= 01 0000000000000003", // entry [observed]
			"41 0100000000000000 49 = 0021ff 00000000 00000000 000000006b041400 00000000 000000006b041400 00000000 000000006b041400 00000000" +
				"00000002 0000000000001000 00000000 0000000000000001 00", // root after format [observed]
			"41 0300000000000000 49 = 001000" + strings.Repeat("00", 8+36) + "00000002 0000000000000000 00000000" +
				"0000000000000000 00000001 00000000 01 00", // tail with ACL and tier [observed]
			"41 0300000000000000 50 0200000000000000 = 0200000000000000", // parents [observed key and order]
			"41 0500000000000000 43 00000000 = 00000000 0000000000000003 00a00000 00000000 00a00000" + // [observed]
				"00001388 0000000000000000 00000000 00000000 03ffec78", // hole [observed]
			"41 0600000000000000 53 =" + text("t"),
			"41 0600000000000000 58" + text("user.a") + "=" + text("v"),
			"41 0900000000000000 49 = 0061a4 00000000 00000000" + devTime + devTime + devTime +
				"00000001 0000000000000000 00000103 0000000000000002 00", // character device [observed]
			"41 00000010ffffff7f 44" + text("2026-11-23-10") + "= 02 7fffffff10000001", // hourly directory [observed]
			text("CaclMaxId") + "= 0100000000000000",
			text("ClastCleanupFiles") + "= 000000006b041400", // the other byte order
			text("CnextChunk") + "= 0110000000000000",
			text("CnextInode") + "= 0204000000000000", // after the first batch [observed]
			text("CnextSession") + "= 0100000000000000",
			text("CnextTrash") + "= 0100000000000000",
			text("CtotalInodes") + "= 0100000000000000",
			text("CusedSpace") + "= 0010000000000000",
			"44 0800000000000000 0000000000001000 = 000000006b041400",
			"4b 0000000000000001 00000005 = 0100000000000000", // two references [observed]
			"4b 0000000000000002 00000005 = ffffffffffffffff",
			"4b 0000000000000007 00000009 = 0000000000000000",
			"5345 0000000000000001 = 000000006b0415ff", // session expiry [observed]
			"5349 0000000000000001 =" + text("{}"),
			"5353 0000000000000001 0600000000000000 = 01",
			"55 0100000000000000 = 0000000000000005 0000000000001000 ffffffffffffffff",
			text("setting") + "=" + text("{}"),
		}
		got := map[string]bool{}
		for _, g := range dump(t, store) {
			got[g] = true
		}
		for _, w := range want {
			w = text(prefix) + strings.ReplaceAll(w, " ", "")
			if !got[w] {
				t.Errorf("prefix %q: missing %s", prefix, w)
			}
			delete(got, w)
		}
		for g := range got {
			t.Errorf("prefix %q: unexpected %s", prefix, g)
		}
	}
}
