package meta

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"jfs/internal/posix"
)

var sampleACL = ACL{
	Owner: 6, Group: 4, Mask: 7, Other: 4,
	Users: []ACLEntry{{1000, 7}}, Groups: []ACLEntry{{2000, 5}},
}

func TestACLEncoding(t *testing.T) {
	for _, c := range []struct {
		rule ACL
		hex  string
	}{
		{sampleACL, "0006 0004 0007 0004 00000001 000003e8 0007 00000001 000007d0 0005"}, // seen in a volume
		{ACL{Owner: 7, Group: 5, Mask: ACLNone, Other: 0}, "0007 0005 ffff 0000 00000000 00000000"},
	} {
		want := unhex(t, c.hex)
		if got := EncodeACL(&c.rule); !bytes.Equal(got, want) {
			t.Errorf("%+v: % x, want % x", c.rule, got, want)
		}
		got, err := DecodeACL(want)
		if err != nil || !reflect.DeepEqual(got, c.rule) {
			t.Errorf("% x: %+v, %v", want, got, err)
		}
		for n := range want {
			if _, err := DecodeACL(want[:n]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("first %d bytes of % x: %v", n, want, err)
			}
		}
		if _, err := DecodeACL(append(want, 0)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("one byte too many: %v", err)
		}
	}
	if _, err := DecodeACL(unhex(t, "0006 0004 0007 0004 ffffffff 000003e8 0007")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("more users than bytes: %v", err)
	}
}

func TestACLXattr(t *testing.T) {
	// what setfacl -m u:1000:rwx,g:2000:rx sends for a file of mode 0644
	full := "02000000 01000600 ffffffff 02000700 e8030000 04000400 ffffffff 08000500 d0070000 10000700 ffffffff 20000400 ffffffff"
	r, err := ACLFromXattr(unhex(t, full))
	if err != nil || !reflect.DeepEqual(r, sampleACL) {
		t.Errorf("%+v, %v", r, err)
	}
	if got := sampleACL.Xattr(); !bytes.Equal(got, unhex(t, full)) {
		t.Errorf("% x", got)
	}
	unordered := ACL{Owner: 7, Group: 7, Mask: 7, Other: 7, Users: []ACLEntry{{9, 1}, {3, 2}}}
	if r, err := ACLFromXattr(unordered.Xattr()); err != nil || !reflect.DeepEqual(r.Users, []ACLEntry{{3, 2}, {9, 1}}) {
		t.Errorf("users are shown as %+v, %v", r.Users, err)
	}
	for _, empty := range []string{"", "02000000"} {
		if r, err := ACLFromXattr(unhex(t, empty)); err != nil || !r.IsEmpty() {
			t.Errorf("%q: %+v, %v", empty, r, err)
		}
	}
	for name, bad := range map[string]string{
		"version":               "01000000",
		"header":                "020000",
		"half an entry":         "02000000 01000600",
		"permission":            "02000000 01000800 ffffffff",
		"tag":                   "02000000 03000700 ffffffff",
		"two owners":            "02000000 01000600 ffffffff 01000600 ffffffff",
		"named without mask":    "02000000 01000600 ffffffff 02000700 e8030000 04000400 ffffffff 20000400 ffffffff",
		"two masks":             "02000000 10000600 ffffffff 10000600 ffffffff",
		"group without mask":    "02000000 08000700 e8030000",
		"trailing half of more": full + "0100",
	} {
		if _, err := ACLFromXattr(unhex(t, bad)); !errors.Is(err, posix.EINVAL) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACLAllows(t *testing.T) {
	rule := ACL{
		Owner: 6, Group: 5, Mask: 6, Other: 1,
		Users: []ACLEntry{{10, 7}, {11, 0}}, Groups: []ACLEntry{{100, 2}, {101, 4}},
	}
	for _, c := range []struct {
		name   string
		uid    uint32
		gid    uint32
		groups []uint32
		want   uint16 // all that is allowed
	}{
		{"owner", 1, 9, []uint32{100}, 6},
		{"named user under the mask", 10, 9, nil, 6},
		{"named user with nothing", 11, 50, []uint32{100, 101}, 0},
		{"owning group", 12, 50, nil, 4},
		{"named group", 12, 100, nil, 2},
		{"supplementary group", 12, 9, []uint32{101}, 4},
		{"other", 12, 9, nil, 1},
	} {
		who := Cred{UID: c.uid, GID: c.gid, Groups: c.groups}
		for mask := uint16(1); mask < 8; mask++ {
			if got, want := rule.allows(who, 1, 50, mask), mask&^c.want == 0; got != want {
				t.Errorf("%s: mask %o allowed=%v, want %v", c.name, mask, got, want)
			}
		}
	}
	// each bit from another group does not add up
	two := Cred{UID: 12, GID: 100, Groups: []uint32{101}}
	if !rule.allows(two, 1, 50, MayRead) || !rule.allows(two, 1, 50, MayWrite) || rule.allows(two, 1, 50, MayRead|MayWrite) {
		t.Error("the permissions of two groups are mixed up")
	}
	plain := ACL{Owner: 7, Group: 5, Mask: ACLNone, Other: 0}
	if !plain.allows(Cred{UID: 2, GID: 50}, 1, 50, 5) || plain.allows(Cred{UID: 2, GID: 50}, 1, 50, 2) {
		t.Error("a list without mask limits its group otherwise than said")
	}
}

func TestACLModes(t *testing.T) {
	if got := sampleACL.perms(); got != 0674 {
		t.Errorf("mode bits %o, want 674: the mask shows as the group", got)
	}
	if got := sampleACL.withMode(0750); got.Owner != 7 || got.Group != 4 || got.Mask != 5 || got.Other != 0 {
		t.Errorf("after chmod: %+v", got)
	}
	minimal := ACL{Owner: 7, Group: 7, Mask: ACLNone, Other: 7}
	if r := minimal.inherited(0640); r.perms() != 0640 {
		t.Errorf("inherited from a minimal list: %o", r.perms())
	}
	if got := sampleACL.inherited(0602); got.Owner != 6 || got.Group != 4 || got.Mask != 0 || got.Other != 0 {
		t.Errorf("inherited: %+v", got)
	}
	part := ACL{Owner: ACLNone, Group: 1, Mask: ACLNone, Other: ACLNone}
	if r := part.filled(0754); r.perms() != 0714 {
		t.Errorf("filled: %o", r.perms())
	}
	if noACL := noACL(); !noACL.IsEmpty() || part.IsEmpty() || sampleACL.IsEmpty() {
		t.Error("emptiness")
	}
}

func FuzzACL(f *testing.F) {
	f.Add(EncodeACL(&sampleACL))
	f.Add(sampleACL.Xattr())
	f.Add([]byte{2, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeACL(b); err == nil && !bytes.Equal(EncodeACL(&r), b) {
			t.Errorf("% x is decoded to %+v", b, r)
		}
		r, err := ACLFromXattr(b)
		if err != nil {
			return
		}
		again, err := ACLFromXattr(r.Xattr())
		if err != nil || len(again.Users) != len(r.Users) || len(again.Groups) != len(r.Groups) || again.perms() != r.perms() {
			t.Errorf("%+v is read back as %+v, %v", r, again, err)
		}
	})
}
