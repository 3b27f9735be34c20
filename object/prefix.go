package object

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// Prefix shows the objects of store below prefix, which is cut from and put before every key. A volume's
// prefix is its name and a slash.
func Prefix(store Store, prefix string) Store { return &prefixed{Store: store, prefix: prefix} }

type prefixed struct {
	Store
	prefix string
}

func (p *prefixed) Unwrap() Store { return p.Store }

func (p *prefixed) String() string { return p.Store.String() + p.prefix }

func (p *prefixed) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	return p.Store.Get(ctx, p.prefix+key, off, n)
}

func (p *prefixed) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	if key == "" { // else it would become an object named like the prefix
		return fmt.Errorf("put: the key is empty: %w", ErrInvalid)
	}
	return p.Store.Put(ctx, p.prefix+key, body)
}

func (p *prefixed) Head(ctx context.Context, key string) (Info, error) {
	info, err := p.Store.Head(ctx, p.prefix+key)
	info.Key = strings.TrimPrefix(info.Key, p.prefix)
	return info, err
}

func (p *prefixed) Delete(ctx context.Context, key string) error {
	return p.Store.Delete(ctx, p.prefix+key)
}

func (p *prefixed) List(ctx context.Context, prefix, after string, limit int) ([]Info, bool, error) {
	if after != "" {
		after = p.prefix + after
	}
	infos, more, err := p.Store.List(ctx, p.prefix+prefix, after, limit)
	for i := range infos {
		infos[i].Key = strings.TrimPrefix(infos[i].Key, p.prefix)
	}
	return infos, more, err
}
