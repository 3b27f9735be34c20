package tkv

import (
	"bytes"
	"context"
	"fmt"

	"jfs/meta"
)

// eraseBatch is how many keys one transaction removes: some stores split larger ones.
const eraseBatch = 100

// Erase removes all keys, in transactions of their own, and the setting last: until then the volume can be found, and
// an Erase that was interrupted be repeated.
func (e *Engine) Erase(ctx context.Context) error {
	if err := e.usage.Flush(ctx); err != nil { // or it would come after
		return err
	}
	for _, last := range []bool{false, true} {
		for begin := []byte{}; begin != nil; {
			from := begin
			err := e.change(ctx, func(t Txn) (err error) {
				begin, err = eraseSome(ctx, t, from, last)
				return err
			})
			if err != nil {
				return fmt.Errorf("erase %s: %w", e.Name(), err)
			}
		}
	}
	return nil
}

// eraseSome removes some keys from begin on, and gives where to go on; nil at the end.
func eraseSome(ctx context.Context, t Txn, begin []byte, setting bool) ([]byte, error) {
	pairs, err := t.Snapshot().Scan(ctx, begin, nil, eraseBatch)
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if setting || !bytes.Equal(p.Key, settingKey()) {
			t.Delete(p.Key)
		}
	}
	if len(pairs) < eraseBatch {
		return nil, nil
	}
	return next(pairs[len(pairs)-1].Key), nil
}

// HasDelayed reads under promise.
func (r *reader) HasDelayed(d meta.Delayed) (bool, error) {
	v, err := r.get(delayedKey(d))
	return v != nil, err
}
