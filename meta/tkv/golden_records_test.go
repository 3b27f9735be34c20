package tkv_test

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"jfs/meta"
	"jfs/meta/tkv"
	"jfs/meta/tkv/mem"
)

// observedRule is a rule as an official client stored it: user 1000 and group 2000 besides the owner.
const observedRule = "0006 0004 0007 0004 00000001 000003e8 0007 00000001 000007d0 0005"

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGoldenRecords compares every byte of locks, quotas, rules, replaced slices and detached inodes. Values that
// the format's documentation shows as observed are marked so.
func TestGoldenRecords(t *testing.T) {
	store := mem.New()
	e := tkv.New(store, quiet)
	closeLater(t, e)
	a, b := meta.LockOwner{Sid: 1, Owner: 0xfedcba9876543210}, meta.LockOwner{Sid: 258, Owner: 5}
	delayed := meta.Delayed{ID: 4108, At: 1795429668, Slices: []meta.SliceRef{{ID: 0x1006, Size: 100}, {ID: 0x1007, Size: 200}}}
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		_, err := tx.Flocks(5)
		_, err2 := tx.Plocks(5)
		tx.SetFlock(5, a, meta.FlockShared)
		tx.SetFlock(5, b, meta.FlockExclusive)
		tx.SetPlocks(5, a, []meta.Plock{{Type: meta.PlockWrite, PID: 0xb7d, Start: 5, End: 14}})
		tx.SetPlocks(5, b, []meta.Plock{{Type: meta.PlockRead, PID: 1, Start: 0, End: meta.PlockEOF}})
		tx.SetQuota(meta.QuotaKey{Kind: meta.QuotaDir, ID: 258}, meta.Quota{MaxSpace: 1 << 30, MaxInodes: 100, UsedSpace: 4096, UsedInodes: 1})
		tx.AddQuotaUsage(meta.QuotaKey{Kind: meta.QuotaDir, ID: 259}, 4096, 1)
		tx.AddQuotaUsage(meta.QuotaKey{Kind: meta.QuotaUser, ID: 1000}, 4096, 1)
		tx.AddQuotaUsage(meta.QuotaKey{Kind: meta.QuotaGroup, ID: 1000}, -4096, -1)
		_, err3 := tx.AddACL(unhex(t, observedRule))
		tx.SetDelayed(delayed)
		tx.SetDetached(258, 0x6b041400)
		return errors.Join(err, err2, err3)
	})
	want := []string{
		text("CaclMaxId") + "= 0100000000000000",
		"46 0500000000000000 = 0000000000000001 fedcba9876543210 52 0000000000000102 0000000000000005 57",
		"4c 000000006b041524 000000000000100c = 0000000000001006 00000064 0000000000001007 000000c8", // items [observed]
		"4e 0201000000000000 = 000000006b041400",
		"50 0500000000000000 = 0000000000000001 fedcba9876543210 00000018" +
			"00000001 00000b7d 0000000000000005 000000000000000e" + // range [observed]
			"0000000000000102 0000000000000005 00000018 00000000 00000001 0000000000000000 7fffffffffffffff",
		"5144 0201000000000000 = 0000000040000000 0000000000000064 0000000000001000 0000000000000001", // limits [observed]
		"5147 00000000000003e8 = ffffffffffffffff ffffffffffffffff fffffffffffff000 ffffffffffffffff",
		"5155 00000000000003e8 = ffffffffffffffff ffffffffffffffff 0000000000001000 0000000000000001",
		"52 00000001 =" + observedRule, // [observed]
	}
	got := dump(t, store)
	for i, w := range want {
		if w = strings.ReplaceAll(w, " ", ""); i >= len(got) || got[i] != w {
			t.Errorf("record %d is not %s", i, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d records: %q", len(got), got)
	}

	// Everything goes away again; rules and their counter never do.
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		_, err := tx.Flocks(5)
		_, err2 := tx.Plocks(5)
		for _, o := range []meta.LockOwner{a, b} {
			tx.SetFlock(5, o, meta.FlockNone)
			tx.SetPlocks(5, o, nil)
		}
		for kind, id := range []uint64{meta.QuotaDir: 258, meta.QuotaUser: 1000, meta.QuotaGroup: 1000} {
			tx.DropQuota(meta.QuotaKey{Kind: meta.QuotaKind(kind), ID: id})
		}
		tx.DropDelayed(delayed)
		tx.DropDetached(258)
		return errors.Join(err, err2)
	})
	if got := dump(t, store); len(got) != 2 {
		t.Errorf("left over: %q", got)
	}
}

// TestOddRecords: records that break the format are named, and keys of other kinds are passed over.
func TestOddRecords(t *testing.T) {
	five := "\x05\x00\x00\x00\x00\x00\x00\x00"
	lists := map[string]func(r meta.Reader) error{
		"ACLs":          func(r meta.Reader) error { _, err := r.ACLs(); return err },
		"Quotas":        func(r meta.Reader) error { _, err := r.Quotas(); return err },
		"DelayedSlices": func(r meta.Reader) error { _, err := r.DelayedSlices(1<<40, 9); return err },
		"Detached":      func(r meta.Reader) error { _, err := r.Detached(1<<40, 9); return err },
		"ScanChunks":    func(r meta.Reader) error { _, _, err := r.ScanChunks("", 9); return err },
		"ScanNodes":     func(r meta.Reader) error { _, _, err := r.ScanNodes("", 9); return err },
		"Flocks":        func(r meta.Reader) error { _, err := r.Flocks(5); return err },
		"Plocks":        func(r meta.Reader) error { _, err := r.Plocks(5); return err },
		"Quota":         func(r meta.Reader) error { _, _, err := r.Quota(meta.QuotaKey{ID: 5}); return err },
	}
	owner := strings.Repeat("o", 16)
	for _, c := range []struct {
		key, value string
		broken     []string // what cannot be read because of it
	}{
		{"F" + five, owner, []string{"Flocks"}},
		{"F" + five, owner + "X", []string{"Flocks"}},
		{"P" + five, owner + "\x00\x00", []string{"Plocks"}},
		{"P" + five, owner + "\x00\x00\x00\x18short", []string{"Plocks"}},
		{"P" + five, owner + "\x00\x00\x00\x05short", []string{"Plocks"}},
		{"QD" + five, "short", []string{"Quotas", "Quota"}},
		{"L" + strings.Repeat("\x00", 16), "short", []string{"DelayedSlices"}},
		{"N" + five, "short", []string{"Detached"}},
		{"A" + five + "I", "short", []string{"ScanNodes"}},
		{"A" + five + "C\x00\x00\x00\x00", "short", []string{"ScanChunks"}},
		// Keys of no kind.
		{"Q", "short", nil}, {"QDx", "short", nil}, {"QX" + five, "short", nil}, {"Lx", "short", nil}, {"N", "short", nil},
		{"R", "short", nil}, {"Rxxxxx", "short", nil}, {"A", "short", nil}, {"Ax", "short", nil}, {"A" + five, "short", nil},
		{"A" + five + "C", "short", nil}, {"A" + five + "II", "short", nil}, {"A" + five + "Cxxxxx", "short", nil},
	} {
		store := mem.New()
		e := tkv.New(store, quiet)
		closeLater(t, e)
		txn, err := store.Begin(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		txn.Put([]byte(c.key), []byte(c.value))
		if err := txn.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
		for name, read := range lists {
			broken := false
			for _, b := range c.broken {
				broken = broken || b == name
			}
			if err := e.View(context.Background(), meta.Want{}, read); errors.Is(err, meta.ErrCorrupt) != broken || err != nil && !broken {
				t.Errorf("key %q: %s: %v", c.key, name, err)
			}
		}
	}
}

// counted counts the scans of a store and the pairs that they gave.
type counted struct {
	tkv.Store
	scans, pairs int
}

func (c *counted) Begin(ctx context.Context) (tkv.Txn, error) {
	txn, err := c.Store.Begin(ctx)
	return countedTxn{txn, c}, err
}

type countedTxn struct {
	tkv.Txn
	c *counted
}

func (t countedTxn) Snapshot() tkv.Reader { return countedReader{t.Txn.Snapshot(), t.c} }

type countedReader struct {
	tkv.Reader
	c *counted
}

func (r countedReader) Scan(ctx context.Context, begin, end []byte, limit int) ([]tkv.Pair, error) {
	pairs, err := r.Reader.Scan(ctx, begin, end, limit)
	r.c.scans++
	r.c.pairs += len(pairs)
	return pairs, err
}

// TestScanPassesLargeDirectories: a scan for chunks or inodes does not read all entries that lie between them.
func TestScanPassesLargeDirectories(t *testing.T) {
	store := &counted{Store: mem.New()}
	e := tkv.New(store, quiet)
	closeLater(t, e)
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		for _, ino := range []meta.Ino{1, 2, 3} {
			tx.SetAttr(ino, dir(1))
			tx.AppendSlices(ino, 0, []meta.Slice{{ID: 1, Size: 1, Len: 1}})
		}
		for i := range 10_000 {
			tx.SetEntry(2, strings.Repeat("n", 1+i/250)+string(rune('0'+i%250)), meta.Entry{Type: meta.TypeFile, Ino: 9})
		}
		return nil
	})
	if err := e.View(context.Background(), meta.Want{}, func(r meta.Reader) error {
		chunks, _, err := r.ScanChunks("", 10)
		nodes, _, err2 := r.ScanNodes("", 10)
		if len(chunks) != 3 || len(nodes) != 3 {
			t.Errorf("%d chunks and %d inodes", len(chunks), len(nodes))
		}
		return errors.Join(err, err2)
	}); err != nil {
		t.Fatal(err)
	}
	// Each scan asks once, ends among the entries, and asks once behind them.
	if store.scans != 4 || store.pairs > 2*256+2*6 {
		t.Errorf("%d scans of %d pairs", store.scans, store.pairs)
	}
}
