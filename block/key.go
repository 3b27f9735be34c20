// Package block maps blocks, the immutable pieces of slices, to objects of a store and back.
package block

import (
	"context"
	"fmt"

	"jfs/internal/bytepool"
)

// Key names one block: piece Index of slice Slice. Size is the length of this block in bytes before
// compression; it is part of the object's name.
type Key struct {
	Slice uint64
	Index uint32
	Size  uint32
}

// Name returns the object key below the volume's prefix.
func (k Key) Name(hashPrefix bool) string {
	if hashPrefix {
		return fmt.Sprintf("chunks/%02X/%d/%d_%d_%d", k.Slice%256, k.Slice/1000000, k.Slice, k.Index, k.Size)
	}
	return fmt.Sprintf("chunks/%d/%d/%d_%d_%d", k.Slice/1000000, k.Slice/1000, k.Slice, k.Index, k.Size)
}

// KeyAt returns the block with the given index of a slice of size bytes, cut into blocks of blockSize bytes.
func KeyAt(slice uint64, size, index, blockSize uint32) Key {
	return Key{Slice: slice, Index: index, Size: min(blockSize, size-index*blockSize)}
}

// Count returns how many blocks a slice of size bytes has.
func Count(size, blockSize uint32) uint32 {
	return uint32((uint64(size) + uint64(blockSize) - 1) / uint64(blockSize))
}

// Source gives the bytes of blocks. The object store is one, a cache in front of it is another.
type Source interface {
	// ReadAt fills dst with the block's bytes from off on; off+len(dst) is at most key.Size.
	// A block that the store does not have is an error that matches object.ErrNotFound.
	ReadAt(ctx context.Context, key Key, dst []byte, off int) error
	// Load returns the whole block; the caller releases it.
	Load(ctx context.Context, key Key) (*bytepool.Buf, error)
}

// RangeSource is a Source that can be told more of a reader.
type RangeSource interface {
	Source
	// ReadRange is ReadAt for a reader that is not expected to want the rest of the block soon.
	ReadRange(ctx context.Context, key Key, dst []byte, off int) error
}

// Sink takes blocks. A block is written once and never changed.
type Sink interface {
	Put(ctx context.Context, key Key, data []byte) error
	// Delete removes blocks; one that is not there is no error.
	Delete(ctx context.Context, keys ...Key) error
}
