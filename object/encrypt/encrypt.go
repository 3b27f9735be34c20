package encrypt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"jfs/object"
)

// New gives store with its objects encrypted by c. Sizes are those of what the objects hold. An object can only be
// read whole, so each Get of a range costs as much as one of the whole object.
func New(store object.Store, c *Cipher) object.Store {
	return &encrypted{Store: store, cipher: c}
}

type encrypted struct {
	object.Store
	cipher  *Cipher
	buffers sync.Pool // of *bytes.Buffer, for objects on their way
}

// spareMost is the largest buffer that is kept for the next object: one of the volume format's largest blocks, with
// what compression and encryption may add.
const spareMost = 17 << 20

func (e *encrypted) buffer() *bytes.Buffer {
	if b, ok := e.buffers.Get().(*bytes.Buffer); ok {
		b.Reset()
		return b
	}
	return new(bytes.Buffer)
}

func (e *encrypted) spare(b *bytes.Buffer) {
	if b.Cap() <= spareMost {
		e.buffers.Put(b)
	}
}

func (e *encrypted) Unwrap() object.Store { return e.Store }

func (e *encrypted) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	size, err := object.Remaining(body)
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	b := e.buffer()
	defer e.spare(b)
	// The data is read to where its encrypted form is going to be.
	front := e.cipher.Overhead() - tagSize
	b.Grow(front + int(size) + tagSize + bytes.MinRead)
	b.Write(make([]byte, front))
	if _, err := b.ReadFrom(body); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	sealed, err := e.cipher.Seal(b.Bytes()[:0], b.Bytes()[front:])
	if err != nil {
		return fmt.Errorf("encrypt %s: %w", key, err)
	}
	return e.Store.Put(ctx, key, bytes.NewReader(sealed))
}

func (e *encrypted) Get(ctx context.Context, key string, off, n int64) (_ io.ReadCloser, err error) {
	if off < 0 {
		return nil, fmt.Errorf("get %s: the offset is negative: %w", key, object.ErrInvalid)
	}
	body, err := e.Store.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	b := e.buffer()
	_, err = b.ReadFrom(body)
	err = errors.Join(err, body.Close())
	var data []byte
	if err == nil {
		data, err = e.cipher.Open(b.Bytes())
	}
	if err != nil {
		e.spare(b)
		if errors.Is(err, object.ErrNotFound) || ctx.Err() != nil {
			return nil, fmt.Errorf("get %s: %w", key, err)
		}
		// A copy that is cut or damaged on its way is a matter of the body, which the reader may ask for again.
		return io.NopCloser(failing{fmt.Errorf("get %s: %w", key, err)}), nil
	}
	data = data[min(off, int64(len(data))):]
	if n >= 0 && n < int64(len(data)) {
		data = data[:n]
	}
	return &plain{ctx: ctx, store: e, buf: b, rest: data}, nil
}

// failing is a body that cannot be read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// plain is a decrypted body.
type plain struct {
	ctx   context.Context
	store *encrypted
	buf   *bytes.Buffer // that holds rest; nil when closed
	rest  []byte
}

func (p *plain) Read(dst []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(dst, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *plain) Close() error {
	if p.buf != nil {
		p.store.spare(p.buf)
		p.buf, p.rest = nil, nil
	}
	return nil
}

// BulkLimit and DeleteBulk are those of the store: what is removed needs no key.
func (e *encrypted) BulkLimit() int { return object.BulkLimit(e.Store) }

func (e *encrypted) DeleteBulk(ctx context.Context, keys []string) []error {
	return object.DeleteBulk(ctx, e.Store, keys)
}

// content turns the size of an object into that of what it holds.
func (e *encrypted) content(i object.Info) object.Info {
	i.Size = max(i.Size-int64(e.cipher.Overhead()), 0)
	return i
}

func (e *encrypted) Head(ctx context.Context, key string) (object.Info, error) {
	info, err := e.Store.Head(ctx, key)
	return e.content(info), err
}

func (e *encrypted) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, bool, error) {
	infos, more, err := e.Store.List(ctx, prefix, after, limit)
	for i := range infos {
		infos[i] = e.content(infos[i])
	}
	return infos, more, err
}
