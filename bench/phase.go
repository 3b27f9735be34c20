package bench

import (
	"fmt"
	"slices"
)

// Op is what a phase does, once for each of its items: files, or directories, or calls.
type Op string

// The operations.
const (
	Write   Op = "write"   // a new file, in full; closed, and synced if Sync says so
	Read    Op = "read"    // a file from its beginning to its end
	Stat    Op = "stat"    // the attributes of a file
	Create  Op = "create"  // an empty file
	Rename  Op = "rename"  // a file, to a name beside it; the phases behind use the new name
	Unlink  Op = "unlink"  // a file
	Mkdir   Op = "mkdir"   // the directories of the tree, those above first
	Readdir Op = "readdir" // a directory, with the attributes of what is in it
	Rmdir   Op = "rmdir"   // the directories of the tree, those below first
	Random  Op = "random"  // calls at random places of files that are there, of which Writes percent write
)

var ops = []Op{Write, Read, Stat, Create, Rename, Unlink, Mkdir, Readdir, Rmdir, Random}

// Measure is what a phase is judged by.
type Measure string

// The measures: bytes a second and seconds a file, or items a second and milliseconds for each.
const (
	Throughput Measure = "bytes"
	FileRate   Measure = "items" // also ""
)

// State is where the data of a phase is when it begins.
type State string

// The states. Where a mount tells what its caches have answered, each is proved afterwards.
const (
	AsItIs     State = ""
	Dropped    State = "dropped"     // the kernel has nothing; the file system's own caches are as they are
	Cold       State = "cold"        // in the store only
	SSDWarm    State = "ssd-warm"    // in the cache on disk, and neither in memory nor in the kernel
	MemoryWarm State = "memory-warm" // in the memory of the mount, and not in the kernel
	KernelWarm State = "kernel-warm" // in the kernel
)

var states = []State{AsItIs, Dropped, Cold, SSDWarm, MemoryWarm, KernelWarm}

func (s State) check() error {
	if !slices.Contains(states, s) {
		return fmt.Errorf("%w: no state of caches is called %q: give %s, %s, %s, %s or %s", ErrConfig, s, Dropped, Cold, SSDWarm, MemoryWarm, KernelWarm)
	}
	return nil
}

// Verify is what is compared of what is read.
type Verify string

// The kinds. The length is always compared.
const (
	Sample Verify = "sample" // some bytes of every page of 4 KiB, which costs nearly nothing; also ""
	Full   Verify = "full"   // every byte
)

// Phase is one step of a workload: every thread does Op on items of its own. All threads end a phase before the next
// one begins.
type Phase struct {
	Name    string  `json:"name" yaml:"name"` // the title of its row
	Op      Op      `json:"op" yaml:"op"`
	Set     string  `json:"set" yaml:"set"`                   // which files: phases of the same set work on the same ones
	Files   int     `json:"files,omitempty" yaml:"files"`     // files of each thread
	Size    int64   `json:"size,omitempty" yaml:"size"`       // bytes of a file
	Sizes   []int64 `json:"sizes,omitempty" yaml:"sizes"`     // bytes of the files, taken in turn, in the place of Size
	Block   int64   `json:"block,omitempty" yaml:"block"`     // bytes of a call; 0: as the run says
	Calls   int     `json:"calls,omitempty" yaml:"calls"`     // of random: of each thread
	Writes  int     `json:"writes,omitempty" yaml:"writes"`   // of random: percent of the calls that write
	Sync    bool    `json:"sync,omitempty" yaml:"sync"`       // fsync before the close, or after each call that writes
	Dirs    int     `json:"dirs,omitempty" yaml:"dirs"`       // directories in each directory of a tree; 0: there is no tree
	Depth   int     `json:"depth,omitempty" yaml:"depth"`     // levels of the tree below its top
	Shared  bool    `json:"shared,omitempty" yaml:"shared"`   // the threads share the tree, or one directory
	Shuffle bool    `json:"shuffle,omitempty" yaml:"shuffle"` // items in random order
	Attrs   bool    `json:"attrs,omitempty" yaml:"attrs"`     // of write: mode and times are set too, as tar does
	Caches  State   `json:"caches,omitempty" yaml:"caches"`   // before it begins
	Verify  Verify  `json:"verify,omitempty" yaml:"verify"`   // of read
	Measure Measure `json:"measure,omitempty" yaml:"measure"` // what it is judged by
	Unit    string  `json:"unit,omitempty" yaml:"unit"`       // what an item is called; "" means file
}

// maxItems bounds what a phase may ask of each thread; more would take days.
const maxItems = 100_000_000

func (p Phase) check() error {
	switch {
	case !slices.Contains(ops, p.Op):
		return fmt.Errorf("%w: no operation is called %q", ErrConfig, p.Op)
	case p.Name == "" || p.Set == "":
		return fmt.Errorf("%w: a phase needs a name and a set", ErrConfig)
	case p.Measure != Throughput && p.Measure != FileRate && p.Measure != "":
		return fmt.Errorf("%w: measure %q: give %s or %s", ErrConfig, p.Measure, Throughput, FileRate)
	case p.Verify != Sample && p.Verify != Full && p.Verify != "":
		return fmt.Errorf("%w: verify %q: give %s or %s", ErrConfig, p.Verify, Sample, Full)
	case p.Files < 0 || p.Files > maxItems || p.Calls < 0 || p.Calls > maxItems || p.Writes < 0 || p.Writes > 100:
		return fmt.Errorf("%w: files and calls are from 0 to %d, writes is a percentage", ErrConfig, maxItems)
	case p.Size < 0 || p.Block < 0 || p.Block > maxBlockSize || slices.ContainsFunc(p.Sizes, func(n int64) bool { return n < 0 }):
		return fmt.Errorf("%w: sizes are not negative, and a block has at most 1 GiB", ErrConfig)
	case p.Dirs < 0 || p.Dirs > 1000 || p.Depth < 0 || p.Depth > 20:
		return fmt.Errorf("%w: a tree has up to 1000 directories in each and 20 levels", ErrConfig)
	case p.treeSize() > maxItems:
		return fmt.Errorf("%w: the tree has more than %d directories", ErrConfig, maxItems)
	case p.Op == Random && (p.size(0) < max(p.Block, 1) || p.Calls == 0):
		return fmt.Errorf("%w: random needs calls, and files of a block or more", ErrConfig)
	}
	return p.Caches.check()
}

// phases is the workload: that of the official client, unless there is another.
func phases(c Config) []Phase {
	list := c.Phases
	if list == nil {
		list = official(c)
	}
	list = slices.Clone(list)
	for i := range list {
		if c.Caches != AsItIs && (list[i].Op == Read || list[i].Op == Random || list[i].Op == Stat) {
			list[i].Caches = c.Caches
		}
	}
	return list
}

func official(c Config) []Phase {
	var list []Phase
	if !c.SkipBig {
		// Comparing all of the big file would be measured too, at the speed of a warm read.
		big := Phase{Set: "bigfile", Files: 1, Size: c.BigFileSize, Measure: Throughput}
		list = append(list,
			big.as("Write big file", Write),
			big.as("Read big file", Read).dropped())
	}
	if !c.SkipSmall {
		small := Phase{Set: "smallfile", Files: c.SmallFileCount, Size: c.SmallFileSize, Measure: FileRate}
		read := small.as("Read small file", Read).dropped()
		read.Verify = Full
		list = append(list,
			small.as("Write small file", Write),
			read,
			small.as("Stat file", Stat).dropped())
	}
	return list
}

func (p Phase) as(name string, op Op) Phase {
	p.Name, p.Op = name, op
	return p
}

func (p Phase) dropped() Phase {
	p.Caches = Dropped
	return p
}

// size returns the bytes of the i-th file of a thread.
func (p Phase) size(i int) int64 {
	if n := len(p.Sizes); n > 0 {
		return p.Sizes[i%n]
	}
	return p.Size
}

// longest returns the bytes of the longest file.
func (p Phase) longest() int64 {
	if len(p.Sizes) > 0 {
		return slices.Max(p.Sizes)
	}
	return p.Size
}

// treeSize returns how many directories the tree of one thread has, its top included; 0: there is none.
func (p Phase) treeSize() int {
	if p.Dirs == 0 {
		return 0
	}
	total, level := 1, 1
	for range p.Depth {
		level *= p.Dirs
		if total += level; total > maxItems {
			break
		}
	}
	return total
}

// items returns how often a thread does Op.
func (p Phase) items(thread int) int {
	switch p.Op {
	case Random:
		return p.Calls
	case Mkdir, Rmdir:
		if p.Shared {
			if thread > 0 { // it is one tree, and its order matters
				return 0
			}
		}
		return p.treeSize()
	case Readdir:
		return max(p.treeSize(), 1)
	}
	return p.Files
}

// moves returns the bytes that the phase moves in one thread.
func (p Phase) moves(block int64) int64 {
	switch p.Op {
	case Random:
		return int64(p.Calls) * block
	case Write, Read:
		return p.volume()
	}
	return 0
}

// volume returns the bytes of the files of one thread.
func (p Phase) volume() int64 {
	if len(p.Sizes) == 0 {
		return int64(p.Files) * p.Size
	}
	var total int64
	for i, n := range p.Sizes {
		total += n * int64((p.Files-i+len(p.Sizes)-1)/len(p.Sizes))
	}
	return total
}

// block returns the bytes of a call.
func (p Phase) block(c Config) int64 {
	if p.Block > 0 {
		return p.Block
	}
	return c.BlockSize
}
