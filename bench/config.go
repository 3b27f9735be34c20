// Package bench measures a file system through its mount point with the workload that users of the official
// client know: a big file and many small ones are written, read back and looked up, by one or more threads.
//
// The workload is data (Phase); a Runner carries it out below any directory, so that file systems can be compared;
// a Result holds what was counted and prints the table.
package bench

import (
	"errors"
	"fmt"
	"time"

	"jfs/internal/units"
)

// The workload of the official client.
const (
	DefaultBlockSize      = 1 * units.MiB
	DefaultBigFileSize    = 1 * units.GiB
	DefaultSmallFileSize  = 128 * units.KiB
	DefaultSmallFileCount = 100
	DefaultThreads        = 1
)

// maxBlockSize bounds the buffer that every thread holds.
const maxBlockSize = 1 * units.GiB

// ErrConfig means that the workload asked for makes no sense.
var ErrConfig = errors.New("invalid workload")

// Config is the size of the workload. The zero value is the workload of the official client.
type Config struct {
	BlockSize      int64 // bytes a read or write call moves; 0 means DefaultBlockSize
	BigFileSize    int64 // bytes of the big file; 0 means DefaultBigFileSize
	SmallFileSize  int64 // bytes of a small file; 0 means DefaultSmallFileSize
	SmallFileCount int   // small files of each thread; 0 means DefaultSmallFileCount
	Threads        int   // each works on files of its own; 0 means DefaultThreads

	SkipBig   bool `json:",omitempty"` // leaves out the phases with the big file
	SkipSmall bool `json:",omitempty"` // leaves out the phases with small files

	// Phases are another workload in the place of that with big and small files; nil: that one.
	Phases []Phase `json:",omitempty"`
	// Caches is the state of the caches before the phases that read; "" leaves it to each phase.
	Caches State `json:",omitempty"`

	Rounds    int           // how often the phases are gone through; 0 means 1
	TimeLimit time.Duration // no round begins that would likely end later than this; 0 means no limit
	WarmUp    bool          // a small round goes before the others and is not counted: connections, first allocations
}

// withDefaults fills in the defaults and refuses what cannot be run.
func (c Config) withDefaults() (Config, error) {
	orDefault(&c.BlockSize, DefaultBlockSize)
	orDefault(&c.BigFileSize, DefaultBigFileSize)
	orDefault(&c.SmallFileSize, DefaultSmallFileSize)
	orDefault(&c.SmallFileCount, DefaultSmallFileCount)
	orDefault(&c.Threads, DefaultThreads)
	orDefault(&c.Rounds, 1)
	switch {
	case c.BlockSize < 0 || c.BlockSize > maxBlockSize:
		return c, fmt.Errorf("%w: block size of %d bytes: give 1 byte to 1G", ErrConfig, c.BlockSize)
	case c.BigFileSize < 0:
		return c, fmt.Errorf("%w: big file of %d bytes: give a positive size", ErrConfig, c.BigFileSize)
	case c.SmallFileSize < 0:
		return c, fmt.Errorf("%w: small file of %d bytes: give a positive size", ErrConfig, c.SmallFileSize)
	case c.SmallFileCount < 0:
		return c, fmt.Errorf("%w: %d small files: give a positive number", ErrConfig, c.SmallFileCount)
	case c.Threads < 0:
		return c, fmt.Errorf("%w: %d threads: give at least 1", ErrConfig, c.Threads)
	case c.Rounds < 0:
		return c, fmt.Errorf("%w: %d rounds: give at least 1", ErrConfig, c.Rounds)
	case c.SkipBig && c.SkipSmall && c.Phases == nil:
		return c, fmt.Errorf("%w: both the big and the small files are left out: give one of them a size", ErrConfig)
	}
	if err := c.Caches.check(); err != nil {
		return c, err
	}
	for i, p := range c.Phases {
		if err := p.check(); err != nil {
			return c, fmt.Errorf("phase %d (%s): %w", i+1, p.Name, err)
		}
	}
	return c, nil
}

func orDefault[T int | int64](p *T, def T) {
	if *p == 0 {
		*p = def
	}
}
