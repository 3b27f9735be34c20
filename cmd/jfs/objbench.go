package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/bench"
	"jfs/internal/units"
	"jfs/meta"
	"jfs/object"
)

type objbenchOptions struct {
	storageOptions
	shards    int
	blockSize int64
	bigSize   int64
	smallSize int64
	smalls    int
	noChecks  bool
	inject    distances
	threads   int
	rounds    int
	limit     time.Duration
	outputOptions
}

func objbenchFlags() table[objbenchOptions] {
	size := func(unit int64, field func(*objbenchOptions) *int64) func(*objbenchOptions) pflag.Value {
		return func(o *objbenchOptions) pflag.Value { return units.NewSize(field(o), unit) }
	}
	var t table[objbenchOptions]
	for _, f := range storageFlags(func(o *objbenchOptions) *storageOptions { return &o.storageOptions }) {
		if f.name == "storage-class" {
			f.help += "; also --sc"
		}
		if f.name != "bucket" {
			t = append(t, f)
		}
	}
	t = append(t, table[objbenchOptions]{
		{name: "sc", hidden: true, to: toText(func(o *objbenchOptions) *string { return &o.storageClass }), help: "same as --storage-class"},
		{name: "shards", def: "0", to: toCount(func(o *objbenchOptions) *int { return &o.shards }), help: "number of buckets, which takes the place of %d in ENDPOINT"},
		{name: "block-size", def: "4M", to: size(units.KiB, func(o *objbenchOptions) *int64 { return &o.blockSize }), help: "size of the objects of the big one, in KiB unless a unit is given"},
		{name: "big-object-size", def: "1G", to: size(units.MiB, func(o *objbenchOptions) *int64 { return &o.bigSize }), help: "size of the big object, in MiB unless a unit is given"},
		{name: "small-object-size", def: "128K", to: size(units.KiB, func(o *objbenchOptions) *int64 { return &o.smallSize }), help: "size of a small object, in KiB unless a unit is given"},
		{name: "small-objects", def: "100", to: toCount(func(o *objbenchOptions) *int { return &o.smalls }), help: "number of small objects"},
		{name: "skip-functional-tests", to: toBool(func(o *objbenchOptions) *bool { return &o.noChecks }), help: "do not check first what the store can do"},
		{name: "threads", short: "p", def: "4", to: toCount(func(o *objbenchOptions) *int { return &o.threads }), help: "requests at a time"},
		{name: "inject", to: func(o *objbenchOptions) pflag.Value { return injectValue{&o.inject} }, help: "make the store distant, as in \"store:delay=20ms,bandwidth=100M,errors=1%\""},
		{name: "rounds", def: "3", to: toCount(func(o *objbenchOptions) *int { return &o.rounds }), help: "how often everything is measured"},
		{name: "time-limit", def: "90s", to: func(o *objbenchOptions) pflag.Value { return units.NewDuration(&o.limit) }, help: "begin no further round that would likely end later than this; 0 for no limit"},
	}...)
	return append(t, outputFlags(func(o *objbenchOptions) *outputOptions { return &o.outputOptions })...)
}

func (a *app) addObjbench(root *cobra.Command) error {
	return addCommand(a, root, command[objbenchOptions]{
		use:   "objbench ENDPOINT",
		short: "check and measure an object store",
		args:  1,
		flags: objbenchFlags(),
		run: func(ctx context.Context, set *pflag.FlagSet, opt *objbenchOptions, args []string) error {
			if err := objbenchFlags().fromEnv(set, a.getenv); err != nil {
				return err
			}
			return a.objbench(ctx, opt, args[0])
		},
	})
}

func (o *objbenchOptions) check() error {
	switch {
	case o.threads < 1:
		return errors.New("--threads 0: at least one thread is needed")
	case o.rounds < 1:
		return errors.New("--rounds 0: at least one round is needed")
	case o.blockSize < 1 || o.blockSize > units.GiB:
		return errors.New("--block-size: give 1 byte to 1G")
	case o.inject.meta != (distance{}):
		return errors.New("--inject: objbench uses no database: give a distance of the store only")
	case o.bigSize < 1 || o.smallSize < 1 || o.smalls < 1:
		return errors.New("--big-object-size, --small-object-size and --small-objects: give more than 0")
	}
	return nil
}

func (a *app) objbench(ctx context.Context, opt *objbenchOptions, endpoint string) (err error) {
	if err := opt.check(); err != nil {
		return err
	}
	bucket, err := bucketOf(strings.ToLower(opt.storage), endpoint, true)
	if err != nil {
		return err
	}
	f := meta.Format{
		Name: fmt.Sprintf("__juicefs_benchmark_%d__", time.Now().UnixNano()), Storage: opt.storage, Bucket: bucket, Shards: opt.shards,
		AccessKey: opt.accessKey, SecretKey: opt.secretKey, SessionToken: opt.sessionToken, StorageClass: opt.storageClass,
	}
	out, err := opt.open()
	if err != nil {
		return err
	}
	defer func() { err = out.close(err) }()
	store, err := a.openStore(ctx, f, storeOptions{retry: object.RetryOptions{Attempts: setupTries}, away: opt.inject.store})
	if err != nil {
		return err
	}
	if err := checkStore(ctx, store); err != nil {
		return err
	}
	defer func() {
		if rerr := removeObjects(context.WithoutCancel(ctx), store); rerr != nil && err == nil {
			err = fmt.Errorf("remove the objects of the benchmark: %w", rerr)
		}
	}()
	if !opt.noChecks {
		if err := a.functionalTests(ctx, store); err != nil {
			return err
		}
	}
	w := newObjects(store, opt)
	runner := bench.TaskRunner{
		Kind: bench.KindStore, Threads: opt.threads, Rounds: opt.rounds, TimeLimit: opt.limit,
		Header: fmt.Sprintf("BlockSize: %s, BigObjectSize: %s, SmallObjectSize: %s, SmallObjectCount: %d, NumThreads: %d", units.FormatShort(uint64(opt.blockSize)),
			units.FormatShort(uint64(opt.bigSize)), units.FormatShort(uint64(opt.smallSize)), opt.smalls, opt.threads),
	}
	if terminal(a.err) && !a.global.quiet {
		runner.Progress = a.showProgress
	}
	return a.finishTasks(ctx, &runner, store.String(), w.tasks(), &opt.outputOptions, out)
}

// finishTasks carries out tasks and shows what they have found, also when they are cut short.
func (a *app) finishTasks(ctx context.Context, r *bench.TaskRunner, path string, tasks []bench.Task, opt *outputOptions, out *benchOutput) error {
	result, err := r.Run(ctx, path, tasks)
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted: the figures are those until then")
	}
	result.Name = opt.name
	if perr := a.printResult(result, out); perr != nil && err == nil {
		err = perr
	}
	return err
}

// objects is the workload of objbench.
type objects struct {
	store      object.Store
	opt        *objbenchOptions
	big, small []byte
	blocks     int
}

func newObjects(store object.Store, opt *objbenchOptions) *objects {
	w := &objects{store: store, opt: opt, big: make([]byte, min(opt.blockSize, opt.bigSize)), small: make([]byte, opt.smallSize)}
	w.blocks = int((opt.bigSize + opt.blockSize - 1) / opt.blockSize)
	_, _ = rand.Read(w.big) // never fails
	_, _ = rand.Read(w.small)
	return w
}

// block is the i-th piece of the big object.
func (w *objects) block(i int) []byte {
	return w.big[:min(w.opt.blockSize, w.opt.bigSize-int64(i)*w.opt.blockSize)]
}

func bigKey(i int) string   { return fmt.Sprintf("big/%06d", i) }
func smallKey(i int) string { return fmt.Sprintf("small/%06d", i) }

func (w *objects) put(ctx context.Context, key string, data []byte) (int64, error) {
	return int64(len(data)), w.store.Put(ctx, key, bytes.NewReader(data))
}

// get reads an object and compares it.
func (w *objects) get(ctx context.Context, key string, want []byte) (n int64, err error) {
	body, err := w.store.Get(ctx, key, 0, -1)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	got := make([]byte, len(want)+1)
	m, err := io.ReadFull(body, got)
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("object %s: %w: longer than %d bytes, or %w", key, bench.ErrContents, len(want), err)
	}
	if !bytes.Equal(got[:m], want) {
		return 0, fmt.Errorf("object %s: %w", key, bench.ErrContents)
	}
	return int64(m), nil
}

// tasks are the rows of the official table that a store of blocks has.
func (w *objects) tasks() []bench.Task {
	phase := func(name, op string, size int64, m bench.Measure) bench.Phase {
		return bench.Phase{Name: name, Op: bench.Op(op), Set: "objects", Unit: "object", Size: size, Measure: m}
	}
	smalls := w.opt.smalls
	return []bench.Task{
		{Phase: phase("upload objects", "put", w.opt.blockSize, bench.Throughput), Items: w.blocks,
			Do: func(ctx context.Context, i int) (int64, error) { return w.put(ctx, bigKey(i), w.block(i)) }},
		{Phase: phase("download objects", "get", w.opt.blockSize, bench.Throughput), Items: w.blocks,
			Do: func(ctx context.Context, i int) (int64, error) { return w.get(ctx, bigKey(i), w.block(i)) }},
		{Phase: phase("put small objects", "put", w.opt.smallSize, bench.FileRate), Items: smalls,
			Do: func(ctx context.Context, i int) (int64, error) { return w.put(ctx, smallKey(i), w.small) }},
		{Phase: phase("get small objects", "get", w.opt.smallSize, bench.FileRate), Items: smalls,
			Do: func(ctx context.Context, i int) (int64, error) { return w.get(ctx, smallKey(i), w.small) }},
		{Phase: func() bench.Phase { p := phase("list objects", "list", 0, bench.FileRate); p.Unit = "list"; return p }(), Items: 10,
			Do: func(ctx context.Context, _ int) (int64, error) {
				n := 0
				err := eachObject(ctx, w.store, "small/", func(object.Info) error { n++; return nil })
				if err == nil && n != smalls {
					err = fmt.Errorf("%d objects are listed of %d", n, smalls)
				}
				return 0, err
			}},
		{Phase: phase("head objects", "head", 0, bench.FileRate), Items: smalls,
			Do: func(ctx context.Context, i int) (int64, error) {
				info, err := w.store.Head(ctx, smallKey(i))
				if err == nil && info.Size != w.opt.smallSize {
					err = fmt.Errorf("object %s: %w: its size is said to be %d", smallKey(i), bench.ErrContents, info.Size)
				}
				return 0, err
			}},
		{Phase: phase("delete objects", "delete", 0, bench.FileRate), Items: smalls,
			Do: func(ctx context.Context, i int) (int64, error) { return 0, w.store.Delete(ctx, smallKey(i)) }},
	}
}

// eachObject lists a prefix page by page.
func eachObject(ctx context.Context, store object.Store, prefix string, fn func(object.Info) error) error {
	for after := ""; ; {
		page, more, err := store.List(ctx, prefix, after, listPageSize)
		if err != nil {
			return err
		}
		for _, o := range page {
			if err := fn(o); err != nil {
				return err
			}
			after = o.Key
		}
		if !more || len(page) == 0 {
			return nil
		}
	}
}

// removeObjects removes everything below the benchmark's own prefix. Directories that a store of files keeps for the
// keys come behind what lies in them.
func removeObjects(ctx context.Context, store object.Store) error {
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	var keys []string
	err := eachObject(ctx, store, "", func(o object.Info) error { keys = append(keys, o.Key); return nil })
	if err != nil {
		return err
	}
	keys = append(keys, testDir, "check/", "big/", "small/", "")
	for i, key := range keys {
		if err := store.Delete(ctx, key); err != nil && i < len(keys)-5 {
			return err
		}
	}
	return nil
}
