package redis

import (
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"

	"jfs/meta"
)

func unhex(t *testing.T, s string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// stored gives all keys of the engine's database as text.
func stored(t *testing.T, e *Engine) map[string]string {
	t.Helper()
	keys, err := raw(t, e, "KEYS", "*").AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, k := range keys {
		switch kind := text(t, e, "TYPE", k); kind {
		case "string":
			all[k] = text(t, e, "GET", k)
		case "hash":
			fields, err := raw(t, e, "HGETALL", k).AsStrMap()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range slices.Sorted(maps.Keys(fields)) {
				all[k+" "+f] = fields[f]
			}
		case "list":
			elements, _ := raw(t, e, "LRANGE", k, "0", "-1").AsStrSlice()
			all[k] = strings.Join(elements, "|")
		case "set":
			members, _ := raw(t, e, "SMEMBERS", k).AsStrSlice()
			slices.Sort(members)
			all[k] = strings.Join(members, "|")
		case "zset":
			members, err := raw(t, e, "ZRANGE", k, "0", "-1", "WITHSCORES").AsZScores()
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range members {
				all[k+" "+m.Member] = decimal(int64(m.Score))
			}
		default:
			t.Fatalf("key %s has type %s", k, kind)
		}
	}
	return all
}

// TestGolden writes one record of each kind and compares all that is stored with the volume format.
func TestGolden(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	epoch := meta.Time{Sec: 0x6b041400}
	device := meta.Time{Sec: 0x6b0414ad, Nsec: 0x0220c4da}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetSetting([]byte("{\n\"Name\": \"v\"\n}"))
		tx.SetAttr(meta.RootIno, &meta.Attr{Type: meta.TypeDirectory, Mode: 0777, Nlink: 2, Length: 4096, Parent: 1,
			Atime: epoch, Mtime: epoch, Ctime: epoch})
		tx.SetAttr(4, &meta.Attr{Type: meta.TypeCharDev, Mode: 0644, Nlink: 1, Rdev: 0x103, Parent: 2,
			Atime: device, Mtime: device, Ctime: device})
		tx.SetAttr(5, &meta.Attr{Type: meta.TypeFile, Mode: 0644, Nlink: 1, AccessACL: 1, Tier: 1,
			Atime: device, Mtime: device, Ctime: device})
		tx.SetEntry(1, "name \xff", meta.Entry{Type: meta.TypeFile, Ino: 3})
		tx.SetEntry(meta.TrashIno, "2026-11-23-10", meta.Entry{Type: meta.TypeDirectory, Ino: meta.TrashIno + 1})
		tx.AppendSlices(5, 0, []meta.Slice{
			{ID: 3, Size: 10 << 20, Len: 10 << 20},
			{ID: 3, Size: 10 << 20, Off: 1 << 20, Len: 5 << 20},
			{Pos: 0x3e8, Len: 0x3fffc18},
		})
		tx.NewRef(3, 10<<20)
		tx.AddRef(3, 10<<20, 1)
		tx.SetSymlink(6, "../target")
		tx.SetXattr(5, "user.k", []byte{0, 1})
		tx.AddParent(5, 1, 1)
		tx.AddParent(5, 2, 1)
		tx.AddParent(5, 2, -1)
		tx.SetDelFile(meta.DelFile{Ino: 9, Length: 4097, Removed: 1795429782})
		tx.SetSession(meta.SessionRecord{Sid: 1, Expire: 0x6b0415ff, Info: []byte(`{"Version":"1.4.1"}`)})
		tx.SetSustained(1, 9)
		tx.SetCounter(meta.LastCleanupTrash, 1795429782)
		tx.AddUsage(8192, 2)
		tx.AddDirStat(1, meta.DirStat{Length: 1, Space: 4096, Inodes: 1}) // there is no record
		tx.SetDirStat(2, meta.DirStat{})
		tx.AddDirStat(2, meta.DirStat{Length: 10, Space: 4096, Inodes: 1})
		return nil
	})
	if _, err := e.Reserve(t.Context(), meta.SeqInode, 1024); err != nil {
		t.Fatal(err)
	}
	const times = "000000006b0414ad 0220c4da 000000006b0414ad 0220c4da 000000006b0414ad 0220c4da "
	want := map[string]string{
		"setting": "{\n\"Name\": \"v\"\n}",
		"i1": unhex(t, "0021ff 00000000 00000000 000000006b041400 00000000 000000006b041400 00000000 000000006b041400 00000000 "+
			"00000002 0000000000001000 00000000 0000000000000001 00"),
		"i4":                                 unhex(t, "0061a4 00000000 00000000 "+times+"00000001 0000000000000000 00000103 0000000000000002 00"),
		"i5":                                 unhex(t, "0011a4 00000000 00000000 "+times+"00000001 0000000000000000 00000000 0000000000000000 00000001 00000000 01 00"),
		"d1 name \xff":                       unhex(t, "01 0000000000000003"),
		"d9223372032828243968 2026-11-23-10": unhex(t, "02 7fffffff10000001"),
		"c5_0": unhex(t, "00000000 0000000000000003 00a00000 00000000 00a00000") + "|" +
			unhex(t, "00000000 0000000000000003 00a00000 00100000 00500000") + "|" +
			unhex(t, "000003e8 0000000000000000 00000000 00000000 03fffc18"),
		"sliceRef k3_10485760": "1",
		"s6":                   "../target",
		"x5 user.k":            "\x00\x01",
		"p5 1":                 "1",
		"p5 2":                 "0",
		"delfiles 9:4097":      "1795429782",
		"allSessions 1":        decimal(0x6b0415ff),
		"sessionInfos 1":       `{"Version":"1.4.1"}`,
		"session1":             "9",
		"lastCleanupTrash":     "1795429782",
		"usedSpace":            "8192",
		"totalInodes":          "2",
		"dirDataLength 2":      "10",
		"dirUsedSpace 2":       "4096",
		"dirUsedInodes 2":      "1",
		"nextinode":            "1024",
	}
	got := stored(t, e)
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%q holds %q, want %q", k, got[k], v)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%q was not expected", k)
		}
	}

	// Everything goes away again.
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.DropNode(1)
		tx.DropNode(4)
		tx.DropNode(5)
		tx.DropNode(6)
		tx.DropEntry(1, "name \xff")
		tx.DropEntry(meta.TrashIno, "2026-11-23-10")
		tx.DropChunk(5, 0)
		tx.DropRef(3, 10<<20)
		tx.DropDelFile(meta.DelFile{Ino: 9, Length: 4097})
		tx.DropSustained(1, 9)
		tx.DropSession(1)
		tx.DropDirStat(2)
		tx.DropQuota(meta.QuotaKey{Kind: meta.QuotaDir, ID: 2})
		return nil
	})
	left := slices.Sorted(maps.Keys(stored(t, e)))
	if !slices.Equal(left, []string{"lastCleanupTrash", "nextinode", "setting", "totalInodes", "usedSpace"}) {
		t.Errorf("left over: %q", left)
	}
}

// TestTrashInodes reads nodes whose inode is beyond the exact integers of the server's scripts.
func TestTrashInodes(t *testing.T) {
	var count trips
	e := open(t, start(t).empty(), count.options())
	for _, ino := range []meta.Ino{1, 1<<53 - 1, 1 << 53, 1<<53 + 1, meta.TrashIno + 1, 1<<63 - 1, 9_000_000_000_000_000_001, 1<<64 - 1} {
		a := fileAttr
		a.Length = uint64(ino)
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			tx.SetAttr(ino, &a)
			tx.SetEntry(7, "n", meta.Entry{Type: meta.TypeFile, Ino: ino})
			return nil
		})
		e.memory.forget()
		n := count.during(func() {
			view(t, e, meta.Want{Nodes: []meta.Name{{Dir: 7, Name: "n"}}}, func(r meta.Reader) error {
				got, ok, err := r.Attr(ino)
				if !ok || got != a {
					t.Errorf("inode %d: %+v, %v", ino, got, ok)
				}
				return err
			})
		})
		if n != 1 {
			t.Errorf("inode %d: %d round trips", ino, n)
		}
	}
}

// TestWatchers proves that a client of the official kind, which watches keys, sees our changes.
func TestWatchers(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	withDir(t, e, 1)
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.SetAttr(3, &fileAttr)
		tx.AppendSlices(3, 0, []meta.Slice{{ID: 1, Size: 1, Len: 1}, {ID: 2, Size: 1, Len: 1}})
		return nil
	})
	for _, c := range []struct {
		name    string
		watched string
		fn      func(meta.Tx) error
	}{
		{"create", "d1", func(tx meta.Tx) error { return create(tx, 1, "a", 10) }},
		{"touch", "i1", func(tx meta.Tx) error { return create(tx, 1, "b", 11) }},
		{"remove", "i3", func(tx meta.Tx) error { tx.DropNode(3); return nil }},
		{"compaction", "i3", func(tx meta.Tx) error {
			_, err := tx.Chunk(3, 0)
			tx.ReplaceSlices(3, 0, 2, []meta.Slice{{ID: 3, Size: 1, Len: 1}})
			return err
		}},
	} {
		update(t, e, meta.Want{}, func(tx meta.Tx) error { tx.SetAttr(3, &fileAttr); return nil })
		update(t, e, meta.Want{}, func(tx meta.Tx) error { tx.SetAttr(1, &dirAttr); return nil })
		client, release := e.client.Dedicate()
		b := client.B()
		client.Do(t.Context(), b.Watch().Key(c.watched).Build())
		update(t, e, meta.Want{}, c.fn)
		client.Do(t.Context(), b.Multi().Build())
		client.Do(t.Context(), b.Set().Key("private").Value("x").Build())
		_, err := client.Do(t.Context(), b.Exec().Build()).ToArray()
		release()
		if err == nil {
			t.Errorf("%s: who watches %s saw nothing", c.name, c.watched)
		}
		if got := text(t, e, "EXISTS", "private"); got != "" {
			t.Errorf("%s: the watcher wrote", c.name)
		}
	}
	if got, _ := attrOf(t, e, 3); got != fileAttr {
		t.Errorf("the attribute is another after the compaction: %+v", got)
	}
}

func TestDropSessionReleasesLocks(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	for _, c := range [][]string{
		{"ZADD", "allSessions", "100", "1", "200", "11"},
		{"ZADD", "sessions", "1000", "1"},
		{"HSET", "lockf5", "1_000000000000000A", "W"},
		{"HSET", "lockf5", "11_000000000000000A", "R"},
		{"HSET", "lockp6", "1_00000000000000FF", "x"},
		{"SADD", "locked1", "lockf5", "lockp6", "lockf7"},
		{"SADD", "locked11", "lockf5"},
	} {
		raw(t, e, c...)
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error { tx.DropSession(1); return nil })
	got := stored(t, e)
	want := map[string]string{"allSessions 11": "200", "lockf5 11_000000000000000A": "R", "locked11": "lockf5"}
	if !maps.Equal(got, want) {
		t.Errorf("left over: %q", got)
	}
}

func TestForeignRecords(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	for _, c := range [][]string{
		{"ZADD", "sessions", "1000", "4"},
		{"ZADD", "delfiles", "5", "1:2", "6", "legacy", "7", "3:4:5", "8", "6:7", "9", "8:9"},
		{"HSET", "dirUsedSpace", "3", "4096"},
	} {
		raw(t, e, c...)
	}
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		sessions, err := r.Sessions()
		if err != nil || len(sessions) != 1 || sessions[0].Sid != 4 || sessions[0].Expire != 1300 {
			t.Errorf("sessions: %+v, %v", sessions, err)
		}
		files, err := r.DelFiles(8, 2)
		if err != nil || !slices.Equal(files, []meta.DelFile{{Ino: 1, Length: 2, Removed: 5}, {Ino: 6, Length: 7, Removed: 8}}) {
			t.Errorf("removed files: %+v, %v", files, err)
		}
		if all, err := r.DirStats([]meta.Ino{3}); len(all) > 0 || err != nil {
			t.Errorf("usage record without inodes: %v, %v", all, err)
		}
		return nil
	})
}
