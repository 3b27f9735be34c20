package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"jfs/meta"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSliceRefs(t *testing.T) {
	stored := unhex(t, "0000000000001006 00000064 0000000000001007 000000c8") // observed on a volume
	refs := []meta.SliceRef{{ID: 0x1006, Size: 100}, {ID: 0x1007, Size: 200}}
	if got := EncodeSliceRefs(refs); !bytes.Equal(got, stored) {
		t.Errorf("encoded %x", got)
	}
	if got, err := DecodeSliceRefs(stored); err != nil || !slices.Equal(got, refs) {
		t.Errorf("decoded %+v: %v", got, err)
	}
	if got, err := DecodeSliceRefs(nil); err != nil || len(got) != 0 {
		t.Errorf("nothing decoded: %+v: %v", got, err)
	}
	for _, n := range []int{1, 11, 13, 23} {
		if _, err := DecodeSliceRefs(stored[:n]); !errors.Is(err, meta.ErrCorrupt) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestACL(t *testing.T) {
	rule := unhex(t, "0006 0004 0007 0004 00000001 000003e8 0007 00000001 000007d0 0005") // observed on a volume
	a, err := SplitACL(rule)
	if err != nil {
		t.Fatal(err)
	}
	if a.Owner != 6 || a.Group != 4 || a.Mask != 7 || a.Other != 4 {
		t.Errorf("permissions %+v", a)
	}
	if !bytes.Equal(a.Users, unhex(t, "000003e8 0007")) || !bytes.Equal(a.Groups, unhex(t, "000007d0 0005")) {
		t.Errorf("users %x groups %x", a.Users, a.Groups)
	}
	for _, rule := range [][]byte{rule, unhex(t, "0006 0004 ffff 0004 00000000 00000000"), unhex(t, "0007 0000 0007 0000 00000000 00000002 00000001 0001 ffffffff 0007")} {
		a, err := SplitACL(rule)
		if err != nil {
			t.Errorf("rule %x: %v", rule, err)
			continue
		}
		if got, err := a.Join(); err != nil || !bytes.Equal(got, rule) {
			t.Errorf("rule %x came back as %x: %v", rule, got, err)
		}
	}
	for _, bad := range [][]byte{nil, rule[:7], rule[:8], rule[:11], rule[:17], rule[:20], rule[:len(rule)-1], append(rule[:len(rule):len(rule)], 0),
		unhex(t, "0006 0004 ffff 0004 ffffffff 00000000")} {
		if _, err := SplitACL(bad); !errors.Is(err, meta.ErrCorrupt) {
			t.Errorf("rule %x: %v", bad, err)
		}
	}
	if _, err := (ACL{Users: make([]byte, 5)}).Join(); !errors.Is(err, meta.ErrCorrupt) {
		t.Errorf("users of 5 bytes: %v", err)
	}
}
