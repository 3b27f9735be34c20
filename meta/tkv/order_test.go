package tkv_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"jfs/meta"
	"jfs/meta/tkv"
	"jfs/meta/tkv/mem"
)

// noting notes the writes of its transactions, in their order.
type noting struct {
	tkv.Store
	made *[]string
}

func (n noting) Begin(ctx context.Context) (tkv.Txn, error) {
	t, err := n.Store.Begin(ctx)
	return notingTxn{t, n.made}, err
}

type notingTxn struct {
	tkv.Txn
	made *[]string
}

func (t notingTxn) Put(key, value []byte) {
	*t.made = append(*t.made, fmt.Sprintf("%c%d", key[0], key[8]))
	t.Txn.Put(key, value)
}

func (t notingTxn) Delete(key []byte) {
	*t.made = append(*t.made, fmt.Sprintf("-%c%d", key[0], key[8]))
	t.Txn.Delete(key)
}

// TestOrder: references are added before what refers to them is written, and taken away after it is gone, whatever the
// order of the calls: a store that makes a change in parts must not lose data in between.
func TestOrder(t *testing.T) {
	var made []string
	e := tkv.New(noting{mem.New(), &made}, quiet)
	closeLater(t, e)
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.AddRef(4, 4, 1)
		tx.AddRef(5, 5, 3)
		return nil
	})
	made = nil
	mustUpdate(t, e, meta.Want{}, func(tx meta.Tx) error {
		tx.AddRef(1, 1, -1)
		tx.AddRef(2, 2, 1)
		tx.DropRef(4, 4)
		tx.AddRef(5, 5, -1)
		tx.AddRef(3, 3, 2)
		tx.AddRef(3, 3, -1)
		tx.DropRef(6, 6)
		tx.AppendSlices(7, 0, []meta.Slice{{ID: 2, Size: 2, Len: 2}})
		return nil
	})
	if got, want := strings.Join(made, " "), "K2 K3 A0 K1 -K4 K5 -K6"; got != want {
		t.Errorf("written as %s, want %s", got, want)
	}
}
