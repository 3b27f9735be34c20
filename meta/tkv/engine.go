package tkv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"jfs/internal/sleep"
	"jfs/meta"
	"jfs/meta/internal/usage"
)

// maxAttempts is how often a transaction is run before its conflicts become an error.
const maxAttempts = 50

// Options tune an Engine; the zero value works.
type Options struct {
	// Log gets warnings about usage counters that cannot be written; nil: nobody does.
	Log *slog.Logger
	// FlushUsage is the time between two writes of collected changes of the usage counters; 0 means one
	// second, as official clients do.
	FlushUsage time.Duration
}

// Engine is a meta.Engine over a Store.
//
// fn of an Update must not start another Update of the same engine: changes in one directory wait for each other.
type Engine struct {
	store Store
	dirs  *queue
	hints *hints
	usage *usage.Buffer

	closing  sync.Once
	closeErr error
}

var _ meta.Engine = (*Engine)(nil)

// New makes an engine, which owns the store from then on.
func New(store Store, opts Options) *Engine {
	e := &Engine{store: store, dirs: newQueue(), hints: newHints()}
	e.usage = usage.New(e.addUsage, usage.Options{Interval: opts.FlushUsage, Log: opts.Log})
	return e
}

// Name is the name of the store.
func (e *Engine) Name() string { return e.store.Name() }

// Close writes the collected usage and closes the store. Calls after the first give the same answer.
func (e *Engine) Close() error {
	e.closing.Do(func() { e.closeErr = errors.Join(e.usage.Close(), e.store.Close()) })
	return e.closeErr
}

// Init writes the allocators of an empty volume: they hold the next free number, and 0 and 1 are no free inodes.
func (e *Engine) Init(ctx context.Context) error {
	err := e.change(ctx, func(t Txn) error {
		initial := [...]struct {
			key  []byte
			next int64
		}{{counterKey(nextInode), 2}, {counterKey(nextChunk), 1}}
		keys := [][]byte{settingKey(), initial[0].key, initial[1].key}
		values, err := t.BatchGet(ctx, keys)
		if err != nil || values[0] != nil {
			return err
		}
		for i, c := range initial {
			if values[i+1] == nil {
				t.Put(c.key, little(c.next))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("init %s: %w", e.Name(), err)
	}
	return nil
}

// Collect lets the store give up values that were replaced long ago, if it needs to be told.
func (e *Engine) Collect(ctx context.Context) error {
	c, ok := e.store.(Collector)
	if !ok {
		return nil
	}
	if err := c.Collect(ctx); err != nil {
		return fmt.Errorf("collect old values of %s: %w", e.Name(), err)
	}
	return nil
}

// View runs fn on one snapshot.
func (e *Engine) View(ctx context.Context, want meta.Want, fn func(meta.Reader) error) error {
	return e.attempt(ctx, func(t Txn, _ int) error {
		r := newReader(ctx, e, t.Snapshot(), t.Snapshot())
		if err := r.load(want); err != nil {
			return err
		}
		return fn(r)
	})
}

// Update runs fn on a snapshot and commits if what it read is still true.
func (e *Engine) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	// Two changes in one directory conflict, as both write its attribute. Within this process they wait for
	// each other instead of working in vain.
	leave, err := e.dirs.enter(ctx, want.Perms)
	if err != nil {
		return err
	}
	defer leave()
	return e.attempt(ctx, func(txn Txn, attempt int) error {
		t := newTx(newReader(ctx, e, txn, txn.Snapshot()), txn, attempt)
		if err := t.load(want); err != nil {
			return err
		}
		if err := fn(t); err != nil {
			return err
		}
		if err := t.apply(); err != nil {
			return err
		}
		if err := txn.Commit(ctx); err != nil {
			return err
		}
		e.usage.Add(t.space, t.inodes)
		return nil
	})
}

// Reserve takes n numbers by one atomic addition.
func (e *Engine) Reserve(ctx context.Context, seq meta.Sequence, n uint64) (first uint64, err error) {
	name, free, err := sequence(seq)
	if err != nil {
		return 0, err
	}
	key := counterKey(name)
	err = e.change(ctx, func(t Txn) error {
		value, err := t.Get(ctx, key)
		if err != nil {
			return err
		}
		v, err := number(binary.LittleEndian, key, value)
		if err != nil {
			return err
		}
		first = uint64(v)
		if !free {
			first++
		}
		if n > 0 {
			t.Put(key, little(v+int64(n)))
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("reserve %s: %w", name, err)
	}
	return first, nil
}

// sequence gives the counter of an allocator. free: it holds the next free number, else the last one in use.
func sequence(seq meta.Sequence) (name string, free bool, err error) {
	switch seq {
	case meta.SeqInode:
		return nextInode, true, nil
	case meta.SeqSlice:
		return nextChunk, true, nil
	case meta.SeqSession:
		return nextSession, false, nil
	case meta.SeqTrash:
		return nextTrash, false, nil
	case meta.SeqACL:
		return aclMaxID, false, nil
	}
	return "", false, fmt.Errorf("no sequence %d", seq)
}

// addUsage writes collected changes.
func (e *Engine) addUsage(ctx context.Context, space, inodes int64) error {
	keys := [][]byte{counterKey(usedSpace), counterKey(totalInodes)}
	return e.change(ctx, func(t Txn) error {
		values, err := t.BatchGet(ctx, keys)
		if err != nil {
			return err
		}
		for i, n := range [...]int64{space, inodes} {
			if n == 0 {
				continue
			}
			v, err := number(binary.LittleEndian, keys[i], values[i])
			if err != nil {
				return err
			}
			t.Put(keys[i], little(v+n))
		}
		return nil
	})
}

// change runs and commits a transaction of the engine itself.
func (e *Engine) change(ctx context.Context, fn func(Txn) error) error {
	return e.attempt(ctx, func(t Txn, _ int) error {
		if err := fn(t); err != nil {
			return err
		}
		return t.Commit(ctx)
	})
}

// attempt runs fn in new transactions until there is no conflict.
func (e *Engine) attempt(ctx context.Context, fn func(t Txn, attempt int) error) error {
	for i := range maxAttempts {
		err := e.once(ctx, i, fn)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		// The longer it takes, the more others there are to keep out of the way of.
		if err := sleep.For(ctx, time.Duration(rand.Int64N(int64(time.Millisecond)*int64(i*i)+1))); err != nil {
			return err
		}
	}
	return fmt.Errorf("gave up after %d attempts: %w", maxAttempts, ErrConflict)
}

func (e *Engine) once(ctx context.Context, i int, fn func(t Txn, attempt int) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t, err := e.store.Begin(ctx)
	if err != nil {
		return err
	}
	defer t.Rollback()
	return fn(t, i)
}
