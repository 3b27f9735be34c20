// Package fs is the behaviour of the file system over metadata and data: inodes and open files, reading, writing,
// directory listings. It knows nothing of FUSE; package fs/mount puts it into the kernel.
package fs

import (
	"context"
	"log/slog"
	"time"

	"jfs/block"
	"jfs/internal/bytepool"
	"jfs/meta"
)

// Blocks gives the bytes of stored blocks, from a cache where it can.
type Blocks interface {
	block.Source
}

// Uploader puts sealed blocks into the store.
type Uploader interface {
	// Submit takes over one reference to buf. It waits while too many uploads are under way. done is called
	// exactly once, unless Submit itself fails, when the store has the block or it failed for good.
	Submit(ctx context.Context, key block.Key, buf *bytepool.Buf, done func(error)) error
	// Delete removes blocks whose slices were not published.
	Delete(ctx context.Context, keys ...block.Key) error
}

// Prefetcher loads blocks ahead of their reader. It does not wait, and drops what is too much.
type Prefetcher interface {
	Submit(keys ...block.Key)
}

// Options are the parts and settings of an FS.
type Options struct {
	Log *slog.Logger // nil: no log

	Blocks   Blocks
	Uploader Uploader
	Prefetch Prefetcher     // nil: no reading ahead
	Pool     *bytepool.Pool // memory of what is being written

	MaxReadahead int64         // largest read-ahead of one stream in bytes; 0 means a fifth of the pool
	FlushAge     time.Duration // dirty data older than this is written in the background; 0 means 5 s
	OpenInodes   int           // closed inodes whose chunk lists are remembered; 0 means 10,000
	Root         meta.Ino      // inode that is the root of the mount (--subdir); 0 means the volume's root
	HideTrash    bool          // do not show .trash in listings of the root

	Now func() time.Time // nil: time.Now
}

// Inode is what a name look-up gives.
type Inode struct {
	Ino  meta.Ino
	Attr meta.Attr
}

// Handle is an open file. Its methods are safe for concurrent use.
//
//	Read(ctx, off, dst) (n, err)     n < len(dst) only at the end of the file
//	Write(ctx, off, src) error       all of src or an error
//	Flush(ctx) error                 close(2): what was written is stored and published when it returns
//	Fsync(ctx) error                 as Flush
//	Release(ctx)                     the last close; errors were reported by Flush
//
// Dir is an open directory: ReadDir(ctx, off, plus, emit).
