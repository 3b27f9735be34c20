package sql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"jfs/meta"
)

// maxDuplicates bounds the attempts after an insertion has met a row: somebody may have been faster, and then the
// next attempt sees the row. If it does not, the transaction takes something for new that is not.
const maxDuplicates = 5

// retry lends do a connection, again as long as its error says that nothing has happened and that another attempt may
// succeed.
func (e *Remote) retry(ctx context.Context, do func(*pooledLink) error) error {
	return e.retryOn(ctx, e.pool.take, do)
}

func (e *Remote) retryOn(ctx context.Context, take func(context.Context) (*pooledLink, error), do func(*pooledLink) error) error {
	start, duplicates := time.Now(), 0
	for i := 1; ; i++ {
		err := e.once(ctx, take, do)
		away := e.noted(err)
		if err == nil {
			return nil
		}
		if e.d.classify(err) == faultDuplicate && !errors.Is(err, meta.ErrUnknown) {
			if duplicates++; duplicates >= maxDuplicates {
				return fmt.Errorf("%w: %w", meta.ErrCorrupt, err)
			}
		} else if !e.again(err) {
			return err
		}
		if cause := ctx.Err(); cause != nil {
			return fmt.Errorf("%w: %w", cause, err)
		}
		if i == maxAttempts || time.Since(start) > e.patience || away > e.patience {
			return fmt.Errorf("gave up after %d attempts: %w", i, err)
		}
		e.retries.Add(1)
		e.log.Debug("metadata transaction runs again", "attempt", i, "reason", err)
		backoff(ctx, i)
	}
}

// once runs do on a connection, and takes the connection back.
func (e *Remote) once(ctx context.Context, take func(context.Context) (*pooledLink, error), do func(*pooledLink) error) error {
	c, err := take(ctx)
	if err != nil {
		return err
	}
	defer e.pool.put(c) // also when do panics, or ends its goroutine
	c.dirty = true
	err = do(c)
	c.dirty = false
	return err
}

// again says that nothing has happened and that another attempt may succeed.
func (e *Remote) again(err error) bool {
	if errors.Is(err, meta.ErrUnknown) || errors.Is(err, errClosed) {
		return false
	}
	if errors.Is(err, errStale) {
		return true
	}
	f := e.d.classify(err)
	return f == faultBusy || f == faultLost
}
