package maintain

import (
	"context"

	"golang.org/x/sync/errgroup"

	"jfs/meta"
)

// batches writes records in transactions of many, some of them side by side. The order between batches is not kept.
type batches struct {
	ctx context.Context
	eng meta.Engine
	n   int

	g    *errgroup.Group
	gctx context.Context
	list []func(meta.Tx) error
	err  error
}

// loadBatch is how many records one transaction writes: an inode has two to five.
const loadBatch = 500

func newBatches(ctx context.Context, eng meta.Engine, n int) *batches {
	b := &batches{ctx: ctx, eng: eng, n: threads(n)}
	b.start()
	return b
}

func (b *batches) start() {
	b.g, b.gctx = errgroup.WithContext(b.ctx)
	b.g.SetLimit(b.n)
}

// put adds a write, which must not depend on another one. It waits while too many are under way.
func (b *batches) put(write func(meta.Tx) error) {
	if b.list = append(b.list, write); len(b.list) >= loadBatch {
		b.send()
	}
}

func (b *batches) send() {
	if len(b.list) == 0 {
		return
	}
	list := b.list
	b.list = nil
	ctx := b.gctx
	b.g.Go(func() error {
		return b.eng.Update(ctx, meta.Want{}, func(tx meta.Tx) error {
			for _, write := range list {
				if err := write(tx); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// failed says whether going on is of no use.
func (b *batches) failed() bool { return b.gctx.Err() != nil }

// wait writes everything and gives the first error of all times.
func (b *batches) wait() error {
	b.send()
	err := b.g.Wait()
	if b.err == nil {
		b.err = err
	}
	b.start()
	return b.err
}
