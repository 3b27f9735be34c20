// Package object is the seam to object stores: immutable byte strings under string keys.
//
// A Store does one attempt of one request and classifies its failure. Everything else that a client wants
// of a store (retry, deadlines, limits, measuring, a key prefix, sharding) is a wrapper of this package.
package object

import (
	"context"
	"errors"
	"io"
	"time"
)

// The failures that callers act on. A Store wraps them into its error; other errors are taken as transient.
var (
	// ErrNotFound: there is no object under the key (or no bucket).
	ErrNotFound = errors.New("object not found")
	// ErrDenied: the credentials do not allow the request. Retrying does not help.
	ErrDenied = errors.New("access denied")
	// ErrThrottled: the store asks to slow down.
	ErrThrottled = errors.New("throttled")
	// ErrInvalid: the request itself is wrong (bad bucket name, bad endpoint). Retrying does not help.
	ErrInvalid = errors.New("invalid request")
)

// Info describes an object.
type Info struct {
	Key      string
	Size     int64 // bytes as stored
	Modified time.Time
}

// Store keeps objects. All methods are safe for concurrent use and honour cancellation of ctx.
type Store interface {
	// String names the store for people, without secrets: "s3://bucket/", "file:///var/jfs/".
	String() string
	// Create makes the bucket or directory if it is missing.
	Create(ctx context.Context) error
	// Get opens bytes [off, off+n) of an object; n < 0 means to its end. A range that begins at or
	// beyond the end gives an empty reader. The reader fails if ctx ends.
	Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)
	// Put stores the bytes from body's current position to its end, whole or not at all. The body
	// is not touched any more when Put has returned, so its memory may be used again at once.
	Put(ctx context.Context, key string, body io.ReadSeeker) error
	// Head describes an object.
	Head(ctx context.Context, key string) (Info, error)
	// Delete removes an object; one that is not there is no error.
	Delete(ctx context.Context, key string) error
	// List returns up to limit objects with keys that begin with prefix and are greater than after,
	// in ascending byte order of the key. Fewer than limit, and more false, means the end.
	List(ctx context.Context, prefix, after string, limit int) (infos []Info, more bool, err error)
}
