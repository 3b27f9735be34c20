// Package maintain keeps a volume in order and whole: compaction of chunks, collection of what nobody needs, checks and
// repairs, dump and load of the metadata, its backups, and the removal of a volume.
//
// It stands on both the metadata and the stored blocks, and never on a mount.
package maintain

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"

	"jfs/meta"
)

// DefaultThreads is how much work of one kind is done at a time when nothing else is asked for: the default of the
// flag --threads of gc, dump, load and compact.
const DefaultThreads = 10

// Step names a kind of work whose progress is told.
type Step string

// The steps.
const (
	StepSlices   Step = "slices listed"
	StepObjects  Step = "objects scanned"
	StepLeaked   Step = "leaked objects deleted"
	StepBlocks   Step = "blocks checked"
	StepChunks   Step = "chunks compacted"
	StepDirs     Step = "directories checked"
	StepEntries  Step = "entries dumped"
	StepLoaded   Step = "entries loaded"
	StepRemoved  Step = "objects removed"
	StepTrash    Step = "trash entries removed"
	StepInodes   Step = "inodes scanned"
	StepDetached Step = "detached clones removed"
)

// Progress is told that n more of a step are done. It is called from several goroutines. nil: nobody is told.
type Progress func(step Step, n int)

func (p Progress) add(step Step, n int) {
	if p != nil && n != 0 {
		p(step, n)
	}
}

func logger(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

func threads(n int) int {
	if n <= 0 {
		return DefaultThreads
	}
	return n
}

// pool runs functions, some at a time, and keeps the first error. Go waits for a free place, so a producer is never
// far ahead.
type pool struct {
	g   *errgroup.Group
	ctx context.Context
}

func newPool(ctx context.Context, n int) *pool {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(threads(n))
	return &pool{g: g, ctx: ctx}
}

// Go runs fn with a context that ends with the first error. It does not when that has happened.
func (p *pool) Go(fn func(ctx context.Context) error) {
	if p.ctx.Err() != nil {
		return
	}
	p.g.Go(func() error { return fn(p.ctx) })
}

// end waits for all and gives the first error of theirs, else that of the producer.
func (p *pool) end(producer error) error {
	if err := p.g.Wait(); err != nil {
		return err
	}
	return producer
}

// pageSize is how many records one page of a listing asks for.
const pageSize = 1000

// scanChunks gives all chunk lists of the volume to fn, some of them twice.
func scanChunks(ctx context.Context, v *meta.Volume, fn func(meta.ChunkRecord) error) error {
	for cursor := ""; ; {
		page, next, err := v.ScanChunks(ctx, cursor, pageSize)
		if err != nil {
			return err
		}
		for _, c := range page {
			if err := fn(c); err != nil {
				return err
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// scanNodes gives all inodes of the volume to fn, some of them twice.
func scanNodes(ctx context.Context, v *meta.Volume, fn func(meta.Node) error) error {
	for cursor := ""; ; {
		page, next, err := v.ScanNodes(ctx, cursor, pageSize)
		if err != nil {
			return err
		}
		for _, n := range page {
			if err := fn(n); err != nil {
				return err
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// readDir gives the entries of a directory to fn, some of them twice.
func readDir(ctx context.Context, v *meta.Volume, dir meta.Ino, plus bool, fn func([]meta.Dirent) error) error {
	for cursor := ""; ; {
		page, next, err := v.Readdir(ctx, dir, cursor, pageSize, plus)
		if err != nil {
			return err
		}
		if err := fn(page); err != nil {
			return err
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// once remembers which inodes were seen, one bit for each and 520 bytes for each window of 4096 numbers in use, so that
// what a listing gives twice counts once.
type once struct {
	mu    sync.Mutex // guards pages
	pages map[uint64]*[64]uint64
}

// add says whether the number is new.
func (o *once) add(n uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pages == nil {
		o.pages = map[uint64]*[64]uint64{}
	}
	p := o.pages[n>>12]
	if p == nil {
		p = new([64]uint64)
		o.pages[n>>12] = p
	}
	word, bit := n>>6&63, uint64(1)<<(n&63)
	seen := p[word]&bit != 0
	p[word] |= bit
	return !seen
}

func (o *once) has(n uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.pages[n>>12]
	return p != nil && p[n>>6&63]&(1<<(n&63)) != 0
}
