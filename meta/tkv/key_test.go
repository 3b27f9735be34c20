package tkv

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"jfs/meta"
)

func TestKeys(t *testing.T) {
	cases := []struct {
		name string
		key  []byte
		want string
	}{
		{"setting", settingKey(), "73657474696e67"},
		{"counter", counterKey("nextInode"), "43 6e657874496e6f6465"},
		{"attribute of inode 2", attrKey(2), "41 0200000000000000 49"},
		{"attribute of the trash", attrKey(meta.TrashIno), "41 00000010ffffff7f 49"},
		{"entry", entryKey(2, "a\xff"), "41 0200000000000000 44 61ff"},
		{"chunk", chunkKey(5, 0), "41 0500000000000000 43 00000000"},
		{"chunk 258", chunkKey(5, 258), "41 0500000000000000 43 00000102"},
		{"parent", parentKey(3, 2), "41 0300000000000000 50 0200000000000000"},
		{"symlink", symlinkKey(258), "41 0201000000000000 53"},
		{"xattr", xattrKey(2, "user.a"), "41 0200000000000000 58 757365722e61"},
		{"removed file", delFileKey(meta.DelFile{Ino: 5, Length: 258}), "44 0500000000000000 0000000000000102"},
		{"reference", refKey(1, 5), "4b 0000000000000001 00000005"},
		{"session expiry", sessionKey('E', 1), "5345 0000000000000001"},
		{"session information", sessionKey('I', 258), "5349 0000000000000102"},
		{"sustained", sustainedKey(258, 258), "5353 0000000000000102 0201000000000000"},
		{"directory statistics", dirStatKey(258), "55 0201000000000000"},
		{"directory quota", quotaKey(meta.QuotaKey{Kind: meta.QuotaDir, ID: 258}), "5144 0201000000000000"},
		{"user quota", quotaKey(meta.QuotaKey{Kind: meta.QuotaUser, ID: 258}), "5155 0000000000000102"},
		{"group quota", quotaKey(meta.QuotaKey{Kind: meta.QuotaGroup, ID: 258}), "5147 0000000000000102"},
		{"quota of an unknown kind", quotaKey(meta.QuotaKey{Kind: 3, ID: 258}), ""},
		{"flocks", flockKey(258), "46 0201000000000000"},
		{"plocks", plockKey(258), "50 0201000000000000"},
		{"delayed slices", delayedKey(meta.Delayed{ID: 4108, At: 1795429668}), "4c 000000006b041524 000000000000100c"},
		{"detached", detachedKey(258), "4e 0201000000000000"},
		{"rule", aclKey(258), "52 00000102"},
	}
	for _, c := range cases {
		if got, want := hex.EncodeToString(c.key), strings.ReplaceAll(c.want, " ", ""); got != want {
			t.Errorf("%s: %s, want %s", c.name, got, want)
		}
	}
}

// TestRanges: the keys that belong to a range lie in it, and their neighbours do not.
func TestRanges(t *testing.T) {
	in := func(key, begin, end []byte) bool {
		return bytes.Compare(key, begin) >= 0 && (end == nil || bytes.Compare(key, end) < 0)
	}
	begin, end := kind(2, 'D')
	for _, k := range [][]byte{entryKey(2, "\x01"), entryKey(2, strings.Repeat("\xff", 255))} {
		if !in(k, begin, end) {
			t.Errorf("entry %x is not in [%x, %x)", k, begin, end)
		}
	}
	for _, k := range [][]byte{attrKey(2), chunkKey(2, 1<<32-1), entryKey(258, "a"), entryKey(3, "a"), entryKey(1, "\xff")} {
		if in(k, begin, end) {
			t.Errorf("%x is in [%x, %x)", k, begin, end)
		}
	}
	begin, end = kinds(2, 'P', 'X')
	for _, k := range [][]byte{parentKey(2, 1<<64-1), symlinkKey(2), xattrKey(2, "\xff\xff")} {
		if !in(k, begin, end) {
			t.Errorf("%x is not in [%x, %x)", k, begin, end)
		}
	}
	for _, k := range [][]byte{attrKey(2), chunkKey(2, 0), entryKey(2, "\xff")} {
		if in(k, begin, end) {
			t.Errorf("%x is in [%x, %x)", k, begin, end)
		}
	}
}

func TestAfter(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{
		{"a", "b"}, {"a\xff", "b"}, {"a\xfe\xff\xff", "a\xff"}, {"jfs\xfd", "jfs\xfe"},
	} {
		if got := after([]byte(c.prefix)); string(got) != c.want {
			t.Errorf("after %q: %q, want %q", c.prefix, got, c.want)
		}
	}
	if got := after([]byte("\xff\xff")); got != nil {
		t.Errorf("after the last prefix: %q", got)
	}
}

func TestWithoutSession(t *testing.T) {
	flock := func(sid byte, kind byte) []byte {
		return append([]byte{0, 0, 0, 0, 0, 0, 0, sid, 0xff, 1, 2, 3, 4, 5, 6, 7}, kind)
	}
	plock := func(sid byte, ranges int) []byte {
		b := []byte{0, 0, 0, 0, 0, 0, 0, sid, 0xff, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, byte(24 * ranges)}
		return append(b, bytes.Repeat([]byte{sid}, 24*ranges)...)
	}
	cases := []struct {
		name       string
		in, want   []byte
		size       func([]byte) int
		incomplete bool
	}{
		{"flocks", slices.Concat(flock(1, 'R'), flock(2, 'W'), flock(1, 'W'), flock(3, 'R')), slices.Concat(flock(2, 'W'), flock(3, 'R')), flockSize, false},
		{"only its own", flock(1, 'W'), nil, flockSize, false},
		{"none of its own", flock(2, 'W'), flock(2, 'W'), flockSize, false},
		{"cut flock", append(flock(2, 'W'), 0, 0), nil, flockSize, true},
		{"plocks", slices.Concat(plock(2, 2), plock(1, 3), plock(1, 0), plock(3, 1)), slices.Concat(plock(2, 2), plock(3, 1)), plockSize, false},
		{"cut head", plock(2, 0)[:19], nil, plockSize, true},
		{"cut ranges", plock(2, 1)[:43], nil, plockSize, true},
	}
	for _, c := range cases {
		got, err := withoutSession(c.in, 1, c.size)
		if !bytes.Equal(got, c.want) && !c.incomplete || (err != nil) != c.incomplete {
			t.Errorf("%s: %x %v, want %x", c.name, got, err, c.want)
		}
	}
}
