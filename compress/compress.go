// Package compress makes blocks smaller, in the formats that volumes are stored with.
package compress

import (
	"errors"
	"fmt"
)

// Codec compresses whole blocks. It is safe for concurrent use.
type Codec interface {
	// Name is the codec's name in the volume's setting: "none", "lz4", "zstd".
	Name() string
	// Bound returns the largest number of bytes that n bytes may become.
	Bound(n int) int
	// Compress writes src compressed to dst, which has at least Bound(len(src)) bytes and does not
	// overlap src, and returns how many bytes that took. It may be more than src has.
	Compress(dst, src []byte) (int, error)
	// Decompress writes what src holds to dst and returns how many bytes it is. Damaged data, and data
	// that does not fit into dst, is an error; dst may have been written to then.
	Decompress(dst, src []byte) (int, error)
}

// ErrShort: dst is too small.
var ErrShort = errors.New("buffer too short")

// New returns the codec of a name; "" means "none".
func New(name string) (Codec, error) {
	switch name {
	case "", "none":
		return None{}, nil
	case "lz4":
		return newLZ4(), nil
	case "zstd":
		return newZstd()
	}
	return nil, fmt.Errorf("unknown compression %q: use none, lz4 or zstd", name)
}

// None copies.
type None struct{}

var _ Codec = None{}

// Name returns "none".
func (None) Name() string { return "none" }

// Bound returns n.
func (None) Bound(n int) int { return n }

// Compress copies src to dst.
func (None) Compress(dst, src []byte) (int, error) {
	if len(dst) < len(src) {
		return 0, ErrShort
	}
	return copy(dst, src), nil
}

// Decompress copies src to dst.
func (c None) Decompress(dst, src []byte) (int, error) { return c.Compress(dst, src) }
