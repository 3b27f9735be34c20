package compress

import (
	"fmt"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// lz4Codec makes raw LZ4 blocks: no frame, no length. The block's name tells how long it becomes.
type lz4Codec struct {
	compressors sync.Pool // *lz4.Compressor, a hash table of 128 KiB each
}

var _ Codec = (*lz4Codec)(nil)

func newLZ4() *lz4Codec {
	return &lz4Codec{compressors: sync.Pool{New: func() any { return new(lz4.Compressor) }}}
}

func (*lz4Codec) Name() string { return "lz4" }

func (*lz4Codec) Bound(n int) int { return max(lz4.CompressBlockBound(n), literalBound(n)) }

func (c *lz4Codec) Compress(dst, src []byte) (int, error) {
	if len(dst) < c.Bound(len(src)) {
		return 0, fmt.Errorf("compress with lz4: %w", ErrShort)
	}
	z := c.compressors.Get().(*lz4.Compressor)
	n, err := z.CompressBlock(src, dst)
	c.compressors.Put(z)
	if err != nil {
		return 0, fmt.Errorf("compress with lz4: %w", err)
	}
	if n == 0 { // the library leaves incompressible data to its caller
		n = literals(dst, src)
	}
	return n, nil
}

func (*lz4Codec) Decompress(dst, src []byte) (int, error) {
	if len(src) == 0 { // not even the token of an empty block; the library takes it for one
		return 0, fmt.Errorf("decompress lz4: no data: %w", lz4.ErrInvalidSourceShortBuffer)
	}
	n, err := lz4.UncompressBlock(src, dst)
	if err != nil {
		return 0, fmt.Errorf("decompress lz4: %w", err)
	}
	return n, nil
}

// literals writes src as one sequence without a match: a token whose high half is the length up to 15,
// more length bytes that count while they are 255, and the bytes themselves.
func literals(dst, src []byte) int {
	n := len(src)
	if n < 15 {
		dst[0] = byte(n << 4)
		return 1 + copy(dst[1:], src)
	}
	dst[0] = 0xf0
	at := 1
	for n -= 15; n >= 255; n -= 255 {
		dst[at] = 255
		at++
	}
	dst[at] = byte(n)
	at++
	return at + copy(dst[at:], src)
}

func literalBound(n int) int { return n + n/255 + 2 }
