package object

import (
	"context"
	"io"
	"sync"
	"time"
)

// Observer is told of every finished request. It is called from many goroutines.
type Observer interface {
	// Observe gets the object's bytes that Get delivered or Put stored (else 0), the time spent in the
	// store, and how the request ended. A Get ends with its body, and reading a body to its end, or
	// closing it early, is a success.
	Observe(op Op, bytes int64, took time.Duration, err error)
}

// ObserverFunc is a function as an Observer.
type ObserverFunc func(op Op, bytes int64, took time.Duration, err error)

// Observe calls f.
func (f ObserverFunc) Observe(op Op, bytes int64, took time.Duration, err error) {
	f(op, bytes, took, err)
}

// Measure reports each request of store to o. Inside Retry it sees attempts, around it requests.
func Measure(store Store, o Observer) Store { return &measured{Store: store, o: o} }

type measured struct {
	Store
	o Observer
}

func (m *measured) Unwrap() Store { return m.Store }

func (m *measured) Create(ctx context.Context) error {
	start := time.Now()
	err := m.Store.Create(ctx)
	m.o.Observe(OpCreate, 0, time.Since(start), err)
	return err
}

func (m *measured) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	start := time.Now()
	body, err := m.Store.Get(ctx, key, off, n)
	took := time.Since(start)
	if err != nil {
		m.o.Observe(OpGet, 0, took, err)
		return nil, err
	}
	return &measuredBody{ReadCloser: body, o: m.o, took: took}, nil
}

func (m *measured) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	n, err := Remaining(body)
	start := time.Now()
	if err == nil {
		err = m.Store.Put(ctx, key, body)
	}
	if err != nil {
		n = 0
	}
	m.o.Observe(OpPut, n, time.Since(start), err)
	return err
}

func (m *measured) Head(ctx context.Context, key string) (Info, error) {
	start := time.Now()
	info, err := m.Store.Head(ctx, key)
	m.o.Observe(OpHead, 0, time.Since(start), err)
	return info, err
}

func (m *measured) Delete(ctx context.Context, key string) error {
	start := time.Now()
	err := m.Store.Delete(ctx, key)
	m.o.Observe(OpDelete, 0, time.Since(start), err)
	return err
}

func (m *measured) List(ctx context.Context, prefix, after string, limit int) ([]Info, bool, error) {
	start := time.Now()
	infos, more, err := m.Store.List(ctx, prefix, after, limit)
	m.o.Observe(OpList, 0, time.Since(start), err)
	return infos, more, err
}

// measuredBody reports once: at the end, at an error, or when it is closed before either.
type measuredBody struct {
	io.ReadCloser
	o     Observer
	bytes int64
	took  time.Duration
	once  sync.Once
}

func (b *measuredBody) Read(p []byte) (int, error) {
	start := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.took += time.Since(start)
	b.bytes += int64(n)
	switch err {
	case nil:
	case io.EOF:
		b.report(nil)
	default:
		b.report(err)
	}
	return n, err
}

func (b *measuredBody) Close() error {
	err := b.ReadCloser.Close()
	b.report(nil)
	return err
}

func (b *measuredBody) report(err error) {
	b.once.Do(func() { b.o.Observe(OpGet, b.bytes, b.took, err) })
}
