package cache

import (
	"fmt"
	"io/fs"
	"log/slog"
	"time"
)

// Defaults of DiskOptions; sizes, ratio, mode and intervals are those of the flags that set them.
const (
	DefaultDiskBytes    = 100 << 30
	DefaultFreeRatio    = 0.1
	DefaultScanInterval = time.Hour
	DefaultQueueBytes   = 32 << 20
	DefaultOpenFiles    = 512
	DefaultRetryAfter   = 30 * time.Second
	defaultWorkers      = 4
	defaultMode         = fs.FileMode(0o600)
)

// DiskOptions says how a disk tier behaves. The zero value works.
type DiskOptions struct {
	MaxBytes int64 // disk space to use, in bytes as allocated; 0 means DefaultDiskBytes
	MaxItems int64 // blocks to keep; 0 means no limit
	// Beside tells the bytes of MaxBytes that something else uses in the directory; nil means none. It must not block.
	Beside    func() int64
	FreeRatio float64 // share of the file system's space and inodes to leave free; 0 means DefaultFreeRatio, below 0 none

	// Checksum says what a read verifies: "none", "full" (the whole block), "shrink" (the 32 KiB pieces
	// that lie in the read), "extend" (the pieces that the read touches). "" means extend.
	Checksum string
	Eviction string        // "2-random", "lru", or "none", which refuses new blocks when full; "" means 2-random
	Expire   time.Duration // blocks not read for longer go; 0 means never
	Mode     fs.FileMode   // of the files; 0 means 0600

	ScanInterval time.Duration // between looks for files that others added or removed; 0 means DefaultScanInterval, below 0 never
	QueueBytes   int64         // blocks that wait to be written; more are dropped; 0 means DefaultQueueBytes
	Workers      int           // blocks written at a time; 0 means 4
	OpenFiles    int           // files kept open for reading; 0 means DefaultOpenFiles
	RetryAfter   time.Duration // how long nothing is written after a failed write; 0 means DefaultRetryAfter

	// OnRead is told how long each read took that found its bytes, OnWrite each write; nil: nobody is. Many goroutines
	// call them at a time.
	OnRead, OnWrite func(took time.Duration)

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // the clock; nil means time.Now
}

// withDefaults fills in what is not set, and checks the rest.
func (o DiskOptions) withDefaults() (DiskOptions, error) {
	set(&o.MaxBytes, DefaultDiskBytes)
	set(&o.FreeRatio, DefaultFreeRatio)
	set(&o.Checksum, checkExtend)
	set(&o.Eviction, evictRandom)
	set(&o.Mode, defaultMode)
	set(&o.ScanInterval, DefaultScanInterval)
	set(&o.QueueBytes, DefaultQueueBytes)
	set(&o.Workers, defaultWorkers)
	set(&o.OpenFiles, DefaultOpenFiles)
	set(&o.RetryAfter, DefaultRetryAfter)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch o.Checksum {
	case checkNone, checkFull, checkShrink, checkExtend:
	default:
		return o, fmt.Errorf("checksum mode %q of the disk cache: use none, full, shrink or extend", o.Checksum)
	}
	switch o.Eviction {
	case evictRandom, evictLRU, evictNone:
	default:
		return o, fmt.Errorf("eviction %q of the disk cache: use 2-random, lru or none", o.Eviction)
	}
	switch {
	case o.MaxBytes < 0:
		return o, fmt.Errorf("size %d of the disk cache: use a positive number of bytes", o.MaxBytes)
	case o.FreeRatio >= 1:
		return o, fmt.Errorf("free space ratio %v of the disk cache: use a number below 1", o.FreeRatio)
	}
	return o, nil
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
