package compress

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// zstdCodec makes one frame of level 1 with its content size, and with a checksum: the decoder of every
// client checks it, so a damaged object does not become damaged data.
type zstdCodec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

var _ Codec = (*zstdCodec)(nil)

func newZstd() (*zstdCodec, error) {
	// EncodeAll and DecodeAll keep one state per CPU for reuse, and start no goroutines.
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithSingleSegment(true), // the header then always tells the content size
		zstd.WithZeroFrames(true))    // no data is a frame too
	if err != nil {
		return nil, fmt.Errorf("set up zstd: %w", err)
	}
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecodeAllCapLimit(true)) // a damaged length must not cost memory
	if err != nil {
		return nil, fmt.Errorf("set up zstd: %w", err)
	}
	return &zstdCodec{enc: enc, dec: dec}, nil
}

func (*zstdCodec) Name() string { return "zstd" }

func (c *zstdCodec) Bound(n int) int { return c.enc.MaxEncodedSize(n) }

func (c *zstdCodec) Compress(dst, src []byte) (int, error) {
	out := c.enc.EncodeAll(src, dst[:0:len(dst)])
	if len(out) > len(dst) { // it went to memory of its own
		return 0, fmt.Errorf("compress with zstd: %w", ErrShort)
	}
	return len(out), nil
}

func (c *zstdCodec) Decompress(dst, src []byte) (int, error) {
	if len(src) == 0 { // to the library that is zero frames
		return 0, fmt.Errorf("decompress zstd: no data: %w", zstd.ErrMagicMismatch)
	}
	out, err := c.dec.DecodeAll(src, dst[:0:len(dst)])
	if err != nil {
		return 0, fmt.Errorf("decompress zstd: %w", err)
	}
	return len(out), nil
}
