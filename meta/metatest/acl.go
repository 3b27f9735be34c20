package metatest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"jfs/meta"
)

var aclCases = []testCase{
	{"RoundTrip", testACL},
	{"Parallel", func(t *testing.T, e meta.Engine) { aclNumbers(t, e) }},
	{"ErrorLeavesNone", testACLError},
}

// rule gives an encoded rule with one named user and the groups.
func rule(mask uint16, user uint32, groups ...uint32) []byte {
	be := binary.BigEndian
	b := []byte{0, 6, 0, 4}
	b = be.AppendUint16(b, mask)
	b = append(b, 0, 4, 0, 0, 0, 1)
	b = be.AppendUint16(be.AppendUint32(b, user), 7)
	b = be.AppendUint32(b, uint32(len(groups)))
	for _, g := range groups {
		b = be.AppendUint16(be.AppendUint32(b, g), 5)
	}
	return b
}

func addACLs(t *testing.T, e meta.Engine, rules ...[]byte) (ids []uint32) {
	t.Helper()
	update(t, e, meta.Want{}, func(tx meta.Tx) error {
		ids = nil
		for _, r := range rules {
			id, err := tx.AddACL(r)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	return ids
}

func wantACLs(t *testing.T, e meta.Engine, want map[uint32][]byte) {
	t.Helper()
	got := read(t, e, meta.Reader.ACLs)
	if len(got)+len(want) > 0 {
		equal(t, "rules", got, want)
	}
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		for id, rule := range want {
			got, ok, err := r.ACL(id)
			if err != nil || !ok || !bytes.Equal(got, rule) {
				t.Errorf("rule %d: %x %v %v, want %x", id, got, ok, err, rule)
			}
		}
		return nil
	})
}

func testACL(t *testing.T, e meta.Engine) {
	wantACLs(t, e, nil)
	plain := []byte{0, 7, 0, 5, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // without mask and names
	rules := [][]byte{plain, rule(7, 1000, 2000), rule(0xffff, 1<<32-1), rule(0, 0, 0, 1<<32-1, 5), plain}
	ids := addACLs(t, e, rules[:2]...)
	for _, r := range rules[2:] {
		ids = append(ids, addACLs(t, e, r)...)
	}
	want := map[uint32][]byte{}
	for i, id := range ids {
		want[id] = rules[i]
	}
	if len(want) != len(rules) || want[0] != nil {
		t.Fatalf("numbers %v", ids)
	}
	wantACLs(t, e, want)
	view(t, e, meta.Want{}, func(r meta.Reader) error {
		for _, id := range []uint32{0, 1<<32 - 1} {
			if got, ok, err := r.ACL(id); ok || err != nil {
				t.Errorf("rule %d: %x %v %v, want none", id, got, ok, err)
			}
		}
		return nil
	})
	// Numbers that were taken by themselves are nobody else's.
	first := reserve(t, e, meta.SeqACL, 3)
	for n := range uint64(3) {
		if _, there := want[uint32(first+n)]; there {
			t.Errorf("number %d is in use", first+n)
		}
	}
	id := addACLs(t, e, rules[1])[0]
	if uint64(id) >= first && uint64(id) < first+3 || want[id] != nil {
		t.Errorf("number %d belongs to somebody else", id)
	}
}

// aclNumbers adds rules from many sides, in changes that conflict with each other.
func aclNumbers(t *testing.T, engines ...meta.Engine) {
	const workers, each = 5, 6
	put(t, engines[0], map[meta.Ino]meta.Attr{5: fileAttr(1, 0)})
	var mu sync.Mutex // guards want
	want := map[uint32][]byte{}
	together(t, workers, func(ctx context.Context, w int) error {
		for i := range each {
			mine := rule(7, uint32(w), uint32(i))
			var id uint32
			if err := engines[w%len(engines)].Update(ctx, meta.Want{Attrs: []meta.Ino{5}}, func(tx meta.Tx) error {
				a, ok, err := tx.Attr(5)
				if err != nil || !ok {
					return errors.Join(err, missing(ok))
				}
				if id, err = tx.AddACL(mine); err != nil {
					return err
				}
				a.Length++
				a.AccessACL = id
				tx.SetAttr(5, &a)
				return nil
			}); err != nil {
				return err
			}
			mu.Lock()
			if id == 0 || want[id] != nil {
				t.Errorf("number %d a second time", id)
			}
			want[id] = mine
			mu.Unlock()
		}
		return nil
	})
	// Exactly those whose change was committed are there.
	wantACLs(t, engines[0], want)
}

func testACLError(t *testing.T, e meta.Engine) {
	enough := errors.New("enough")
	for range 3 {
		if err := e.Update(soon(t), meta.Want{}, func(tx meta.Tx) error {
			if _, err := tx.AddACL(rule(7, 1)); err != nil {
				return fmt.Errorf("add: %w", err)
			}
			return enough
		}); !errors.Is(err, enough) {
			t.Errorf("got %v", err)
		}
	}
	wantACLs(t, e, nil)
	if id := addACLs(t, e, rule(7, 2))[0]; id == 0 {
		t.Error("number 0")
	}
}
