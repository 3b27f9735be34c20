package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"jfs/internal/posix"
	"jfs/meta"
	"jfs/meta/tkv"
)

// code is that of an answer of the server, or of the client itself where there was none.
func code(err error) codes.Code {
	var answer rpctypes.EtcdError
	switch {
	case errors.As(err, &answer):
		return answer.Code()
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	return status.Code(err)
}

// readError explains the failure of a request that only reads. ctx is the caller's.
func readError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case code(err) == codes.OutOfRange: // the revision was compacted meanwhile: begin anew
		return fmt.Errorf("etcd: %w: %w", tkv.ErrConflict, err)
	}
	return explain(err)
}

// commitError explains the failure of a commit. ctx is the caller's; sent: the request, or a part of it, was sent.
func commitError(ctx context.Context, err error, sent bool) error {
	if !sent {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return explain(err)
	}
	switch code(err) {
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition,
		codes.ResourceExhausted, codes.NotFound, codes.OutOfRange, codes.Unimplemented:
		return explain(err) // the server has looked at it and refused
	}
	return fmt.Errorf("etcd: %w: %w", meta.ErrUnknown, err)
}

// explain adds what to do.
func explain(err error) error {
	var hint string
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("etcd: its quota is used up: compact and defragment the servers, or start them with a larger --quota-backend-bytes, then disarm the alarm: %w: %w", posix.ENOSPC, err)
	case errors.Is(err, rpctypes.ErrRequestTooLarge), code(err) == codes.ResourceExhausted && !errors.Is(err, rpctypes.ErrTooManyRequests):
		hint = "the change is larger than its servers take: start them with a larger --max-request-bytes"
	case errors.Is(err, rpctypes.ErrTooManyOps):
		hint = "its servers have a smaller --max-txn-ops than usual: add it to the URL as max-txn-ops=N"
	case code(err) == codes.PermissionDenied:
		hint = "the user may not read and write the keys of the volume, see its roles"
	case code(err) == codes.DeadlineExceeded, code(err) == codes.Unavailable:
		hint = "no answer, are its servers running, and a majority of them connected?"
	default:
		return fmt.Errorf("etcd: %w", err)
	}
	return fmt.Errorf("etcd: %s %w", hint, err)
}

// connectError adds what to do to the errors of the first contact.
func connectError(t target, o Options, err error) error {
	var hint string
	switch {
	case errors.Is(err, rpctypes.ErrAuthFailed), errors.Is(err, rpctypes.ErrAuthOldRevision), code(err) == codes.Unauthenticated:
		hint = "wrong user or password, see the URL and META_PASSWORD"
	case errors.Is(err, rpctypes.ErrUserEmpty):
		hint = "the servers want a user, put it into the URL and its password into META_PASSWORD"
	case code(err) == codes.DeadlineExceeded, code(err) == codes.Unavailable:
		hint = fmt.Sprintf("no answer within %s: are the servers running, the addresses right, and TLS (cacert, cert, key) on both sides or on none?", o.DialTimeout)
	case code(err) == codes.PermissionDenied:
		hint = "the user may not read the keys of the volume, see its roles"
	default:
		return fmt.Errorf("connect to etcd at %s: %w", t, err)
	}
	return fmt.Errorf("connect to etcd at %s: %s %w", t, hint, err)
}
