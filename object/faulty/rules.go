package faulty

import (
	"context"
	"io"

	"jfs/object"
)

// The operations, under the names that read well in a rule.
const (
	Create = object.OpCreate
	Get    = object.OpGet
	Put    = object.OpPut
	Head   = object.OpHead
	Delete = object.OpDelete
	List   = object.OpList
)

// Rule says what happens at certain calls of one operation. Rules are values; see the functions that make
// them.
type Rule struct {
	op   object.Op
	hits func(n int) bool // n counts the calls of op from 1

	before func(ctx context.Context) error             // runs first; an error is the answer
	after  func() error                                // runs after a success; an error is the answer
	body   func(rc io.ReadCloser) (wrap io.ReadCloser) // for Get
}

// Nth lets the n-th call of op (the first is 1) fail with err.
func Nth(n int, op object.Op, err error) Rule {
	return Rule{op: op, hits: func(i int) bool { return i == n }, before: fails(err)}
}

// First lets the first n calls of op fail with err.
func First(n int, op object.Op, err error) Rule {
	return Rule{op: op, hits: func(i int) bool { return i <= n }, before: fails(err)}
}

// Always lets every call of op fail with err.
func Always(op object.Op, err error) Rule {
	return Rule{op: op, hits: always, before: fails(err)}
}

// Lost lets the n-th call of op do its work and then report err: the answer got lost on the way.
func Lost(n int, op object.Op, err error) Rule {
	return Rule{op: op, hits: func(i int) bool { return i == n }, after: func() error { return err }}
}

// Hang blocks the n-th call of op until its ctx ends.
func Hang(n int, op object.Op) Rule {
	return Rule{op: op, hits: func(i int) bool { return i == n }, before: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}
}

// Gate holds every call of op until gate is closed or a value comes through it, or the call's ctx ends.
// If arrived is not nil, each call sends on it before it waits.
func Gate(op object.Op, arrived chan<- struct{}, gate <-chan struct{}) Rule {
	return Rule{op: op, hits: always, before: func(ctx context.Context) error {
		if arrived != nil {
			select {
			case arrived <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}

// Truncate ends the body of the n-th Get after size bytes, with err, or as if that were its end if err
// is nil.
func Truncate(n, size int, err error) Rule {
	return truncate(func(i int) bool { return i == n }, size, err)
}

// TruncateAll does what Truncate does, to every Get.
func TruncateAll(size int, err error) Rule { return truncate(always, size, err) }

func truncate(hits func(int) bool, size int, err error) Rule {
	if err == nil {
		err = io.EOF
	}
	return Rule{op: Get, hits: hits, body: func(rc io.ReadCloser) io.ReadCloser {
		return &cut{ReadCloser: rc, left: size, err: err}
	}}
}

func always(int) bool { return true }

func fails(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

type cut struct {
	io.ReadCloser
	left int
	err  error
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, c.err
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
