package tikv

import (
	"context"
	"errors"
	"fmt"

	tikverr "github.com/tikv/client-go/v2/error"

	"jfs/meta"
	"jfs/meta/tkv"
)

// is says whether an error of a type is in the chain.
func is[T error](err error) bool {
	var e T
	return errors.As(err, &e)
}

// conflict says that a transaction may succeed when it is run again.
func conflict(err error) bool {
	return is[*tikverr.ErrWriteConflict](err) || is[*tikverr.ErrWriteConflictInLatch](err) ||
		is[*tikverr.ErrRetryable](err) || // among them: the locks are gone, as somebody found them too old
		is[*tikverr.ErrGCTooEarly](err) || errors.Is(err, tikverr.ErrTiKVStaleCommand)
}

// readError explains the failure of a call that only reads. ctx is the caller's, within the same with the time limit of
// the call: when that ends, the client reports what it was waiting for.
func readError(ctx, within context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case conflict(err):
		return fmt.Errorf("tikv: %w: %w", tkv.ErrConflict, err)
	case within.Err() != nil, unavailable(err):
		return fmt.Errorf("tikv: no answer, are PD and the TiKV servers running, and a majority of them connected? %w", err)
	}
	return fmt.Errorf("tikv: %w", err)
}

func unavailable(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, tikverr.ErrTiKVServerTimeout) ||
		errors.Is(err, tikverr.ErrRegionUnavailable) || is[*tikverr.ErrPDServerTimeout](err)
}

// commitError explains the failure of a commit.
func commitError(err error) error {
	switch {
	// The client says so when the decisive request had no answer. One that was called off is the same to us.
	case tikverr.IsErrorUndetermined(err), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("tikv: %w: %w", meta.ErrUnknown, err)
	case conflict(err):
		return fmt.Errorf("tikv: %w: %w", tkv.ErrConflict, err)
	case is[*tikverr.ErrTxnTooLarge](err), is[*tikverr.ErrEntryTooLarge](err):
		return fmt.Errorf("tikv: the change is larger than TiKV takes: %w", err)
	case unavailable(err):
		return fmt.Errorf("tikv: no answer, are PD and the TiKV servers running, and a majority of them connected? %w", err)
	}
	return fmt.Errorf("tikv: %w", err)
}

// connectError explains the failure of the first contact. within is the caller's ctx with the dial timeout.
func connectError(ctx, within context.Context, o Options, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case within.Err() != nil:
		return fmt.Errorf("no answer within %s: is PD running, the addresses right, and TLS (ca, cert, key) on both sides or on none? %w", o.DialTimeout, err)
	}
	return err
}
