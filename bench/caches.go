package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// Tiers moves what the files below a directory hold between the tiers of a mount's cache.
type Tiers interface {
	Evict(ctx context.Context, dir string) error     // out of every tier
	Fill(ctx context.Context, dir string) error      // onto the disk
	Near(ctx context.Context, dir string) error      // into memory
	EvictNear(ctx context.Context, dir string) error // out of memory
}

// prepare makes what a phase needs: its directories, and the state of the caches that it asks for.
func (r *run) prepare(ctx context.Context, p Phase, res *Result) error {
	if p.treeSize() > 0 && !r.made[p.Set] {
		if r.made == nil {
			r.made = map[string]bool{}
		}
		r.made[p.Set] = true
		if p.Op != Mkdir {
			for t := range r.cfg.Threads {
				for _, dir := range r.tree(p, t) {
					if err := os.MkdirAll(dir, 0o777); err != nil {
						return err
					}
				}
			}
		}
	}
	return r.setCaches(ctx, p, res)
}

// setCaches brings the caches into the state that the phase asks for.
func (r *run) setCaches(ctx context.Context, p Phase, res *Result) error {
	var steps []func(context.Context, string) error
	if t := r.Tiers; t != nil {
		switch p.Caches {
		case Cold:
			steps = append(steps, t.Evict)
		case SSDWarm:
			steps = append(steps, t.Fill, t.EvictNear)
		case MemoryWarm:
			steps = append(steps, t.Near)
		}
	}
	if p.Caches == KernelWarm {
		return r.readAll(ctx, p)
	}
	for _, step := range steps {
		if err := step(ctx, r.dir); err != nil {
			return fmt.Errorf("bring the caches into the state %s: %w", p.Caches, err)
		}
	}
	if p.Caches != AsItIs {
		if err := r.dropCaches(r.dir); err != nil {
			res.CachesKept = err
		}
	}
	return nil
}

// checkCaches refuses states that this file system cannot be brought into.
func (r *run) checkCaches(path string) error {
	for _, p := range phases(r.cfg) {
		if r.Tiers == nil && (p.Caches == SSDWarm || p.Caches == MemoryWarm) {
			return fmt.Errorf("bench %s: %w: this file system has no caches that can be brought into the state %s: give %s, %s or %s", path, ErrConfig, p.Caches, Dropped, Cold, KernelWarm)
		}
	}
	return nil
}

// readAll brings the files of a phase into the kernel's cache.
func (r *run) readAll(ctx context.Context, p Phase) error {
	p.Op, p.Shuffle = Read, false
	group, ctx := errgroup.WithContext(ctx)
	for i := range r.cfg.Threads {
		w := r.newWorker(p, i, new(counts))
		group.Go(func() error { return w.work(ctx) })
	}
	return group.Wait()
}

// proved compares the state that the phase has asked for with what the mount's own counters say of where the bytes
// came from. It returns what is wrong, "" for nothing. Files of which the kernel keeps the pages, or read twice, are
// counted as they are.
func (p Phase) proved(one Round, grown Counters) string {
	reads := p.Op == Read || p.Op == Random && p.Writes == 0
	if grown == nil || one.Bytes == 0 || !reads {
		return ""
	}
	total := float64(one.Bytes)
	store := grown["blockcache_miss_bytes"] / total
	disk := grown["blockcache_disk_hit_bytes"] / total
	const most, few = 0.9, 0.1
	switch p.Caches {
	case Cold:
		if store < most && p.Op == Read {
			return fmt.Sprintf("asked for cold, but only %.0f%% of the bytes came from the store", 100*store)
		}
	case SSDWarm:
		if store > few {
			return fmt.Sprintf("asked for SSD-warm, but %.0f%% of the bytes came from the store", 100*store)
		}
		if disk < few {
			return "asked for SSD-warm, but nothing came from the cache on disk"
		}
	case MemoryWarm:
		if store+disk > few {
			return fmt.Sprintf("asked for memory-warm, but %.0f%% of the bytes came from further away: is the cache in memory large enough?", 100*(store+disk))
		}
	case KernelWarm:
		const request = 64 << 10 // no kernel asks for less when it reads ahead
		if asked := grown["fuse_ops_total_read"]; asked*request > few*total+request {
			return fmt.Sprintf("asked for kernel-warm, but the kernel has asked the mount %.0f times for data", asked)
		}
	}
	return ""
}

// tree lists the directories of a thread's tree, those above first. A shared tree is that of every thread.
func (r *run) tree(p Phase, thread int) []string {
	n := p.treeSize()
	if n == 0 {
		return nil
	}
	top := fmt.Sprintf("%s.%d", p.Set, thread)
	if p.Shared {
		top = p.Set + ".shared"
	}
	list := make([]string, 1, n)
	list[0] = filepath.Join(r.dir, top)
	for parent := 0; len(list) < n; parent++ {
		for d := range p.Dirs {
			list = append(list, filepath.Join(list[parent], fmt.Sprintf("d%d", d)))
		}
	}
	return list
}
