package metatest

import (
	"bytes"
	"slices"
	"testing"

	"jfs/meta"
)

// jobCases: what background jobs and the volume itself keep.
var jobCases = []testCase{
	{"Setting", testSetting},
	{"Counter", testCounter},
	{"DelFiles", testDelFiles},
}

func testSetting(t *testing.T, e meta.Engine) {
	get := func() []byte { return read(t, e, meta.Reader.Setting) }
	large := append([]byte("{\n\"Name\": \"ü'\\\",\n\"EncryptKey\":\""), bytes.Repeat([]byte("k"), 8000)...)
	large = append(large, "\"}\n"...)
	for _, s := range [][]byte{[]byte("{}"), large, []byte(`{"TrashDays":1}`)} {
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			tx.SetSetting(s)
			return nil
		})
		if got := get(); !bytes.Equal(got, s) {
			t.Errorf("setting: got %d bytes %.40q, want %d", len(got), got, len(s))
		}
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		s, err := tx.Setting()
		if string(s) != `{"TrashDays":1}` {
			t.Errorf("setting in a change: %q", s)
		}
		return err
	})
}

func testCounter(t *testing.T, e meta.Engine) {
	names := []string{meta.LastCleanupSessions, meta.LastCleanupFiles, meta.LastCleanupTrash, meta.NextCleanupSlices}
	get := func(name string) int64 {
		return read(t, e, func(r meta.Reader) (int64, error) { return r.Counter(name) })
	}
	for _, n := range names {
		equal(t, n, get(n), 0)
	}
	for round := range 2 {
		for i, n := range names {
			want := 1795429782 + int64(i+10*round)
			update(t, e, meta.Want{}, func(tx meta.Tx) error {
				if _, err := tx.Counter(n); err != nil {
					return err
				}
				tx.SetCounter(n, want)
				return nil
			})
			equal(t, n, get(n), want)
		}
	}
}

func testDelFiles(t *testing.T, e meta.Engine) {
	files := []meta.DelFile{
		{Ino: 10, Length: 0, Removed: 1000},
		{Ino: 11, Length: 1, Removed: 2000},
		{Ino: 300, Length: 1 << 50, Removed: 2000},
		{Ino: 1<<60 + 1, Length: meta.MaxFileSize - 1, Removed: 3000},
	}
	get := func(before int64, limit int) []meta.DelFile {
		got := read(t, e, func(r meta.Reader) ([]meta.DelFile, error) { return r.DelFiles(before, limit) })
		slices.SortFunc(got, func(a, b meta.DelFile) int { return int(a.Removed-b.Removed)*1000 + int(a.Ino%1000) - int(b.Ino%1000) })
		return got
	}
	if got := get(1<<40, 10); len(got) != 0 {
		t.Errorf("removed files of an empty volume: %v", got)
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for _, f := range files {
			tx.SetDelFile(f)
		}
		return nil
	})
	for _, c := range []struct {
		before int64
		n      int
	}{{999, 0}, {1000, 1}, {1999, 1}, {2000, 3}, {3000, 4}, {1 << 40, 4}} {
		if got := get(c.before, 100); !slices.Equal(got, files[:c.n]) {
			t.Errorf("removed until %d: %+v, want %+v", c.before, got, files[:c.n])
		}
	}
	got := get(2000, 2)
	if len(got) != 2 || got[0] == got[1] {
		t.Errorf("two of three: %+v", got)
	}
	for _, f := range got {
		if !slices.Contains(files[:3], f) {
			t.Errorf("file %+v was not removed by then", f)
		}
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.DropDelFile(files[1])
		return nil
	})
	if got := get(1<<40, 100); !slices.Equal(got, slices.Delete(slices.Clone(files), 1, 2)) {
		t.Errorf("after a drop: %+v", got)
	}
}

var sessionCases = []testCase{
	{"Record", testSession},
	{"Sustained", testSustained},
}

func testSession(t *testing.T, e meta.Engine) {
	get := func(sid uint64) (rec meta.SessionRecord, ok bool) {
		view(t, e, meta.Want{}, func(r meta.Reader) (err error) {
			rec, ok, err = r.Session(sid)
			return err
		})
		return rec, ok
	}
	all := func() []meta.SessionRecord {
		got := read(t, e, meta.Reader.Sessions)
		slices.SortFunc(got, func(a, b meta.SessionRecord) int { return int(a.Sid) - int(b.Sid) })
		return got
	}
	if _, ok := get(1); ok || len(all()) != 0 {
		t.Error("an empty volume has sessions")
	}
	one := meta.SessionRecord{Sid: 1, Expire: 1795430399, Info: []byte(`{"Version":"1.4.1"}`)}
	two := meta.SessionRecord{Sid: 70000, Expire: 5, Info: []byte(`{"Version":"1.4.1+jfs","HostName":"ü"}`)}
	set := func(rs ...meta.SessionRecord) {
		t.Helper()
		update(t, e, meta.Want{}, func(tx meta.Tx) error {
			for _, r := range rs {
				tx.SetSession(r)
			}
			return nil
		})
	}
	set(one, two)
	equal(t, "sessions", all(), []meta.SessionRecord{one, two})
	if got, ok := get(70000); !ok {
		t.Error("session 70000 is missing")
	} else {
		equal(t, "session 70000", got, two)
	}
	one.Expire = 1795430500
	set(meta.SessionRecord{Sid: 1, Expire: one.Expire}) // a heartbeat
	two.Info = []byte(`{}`)
	set(two)
	equal(t, "sessions after a heartbeat", all(), []meta.SessionRecord{one, two})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		if _, _, err := tx.Session(1); err != nil {
			return err
		}
		tx.DropSession(1)
		return nil
	})
	if _, ok := get(1); ok {
		t.Error("a dropped session is there")
	}
	equal(t, "sessions after a drop", all(), []meta.SessionRecord{two})
}

func testSustained(t *testing.T, e meta.Engine) {
	get := func(sid uint64) []meta.Ino {
		got := read(t, e, func(r meta.Reader) ([]meta.Ino, error) { return r.Sustained(sid) })
		slices.Sort(got)
		return got
	}
	if got := get(1); len(got) != 0 {
		t.Errorf("sustained inodes of an empty volume: %v", got)
	}
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		for _, ino := range []meta.Ino{10, 300, 1<<60 + 1} {
			tx.SetSustained(1, ino)
		}
		tx.SetSustained(2, 10)
		return nil
	})
	equal(t, "session 1", get(1), []meta.Ino{10, 300, 1<<60 + 1})
	equal(t, "session 2", get(2), []meta.Ino{10})
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.DropSustained(1, 10)
		tx.DropSustained(1, 1<<60+1)
		return nil
	})
	equal(t, "session 1 after a drop", get(1), []meta.Ino{300})
	equal(t, "session 2 after a drop", get(2), []meta.Ino{10})
}
