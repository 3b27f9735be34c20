package main

import (
	"fmt"
	"maps"
	"os"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"jfs/meta"
	"jfs/object"
)

// tally counts what a mount does, for its file .stats.
type tally struct {
	started   time.Time
	ops       sync.Map // of the kernel: string -> *cost
	metaOps   sync.Map // of the metadata: string -> *cost
	changes   cost     // transactions of the database
	errors    sync.Map // syscall.Errno -> *atomic.Int64
	requests  [object.Ops]cost
	reqErrors atomic.Int64
	retries   atomic.Int64 // requests to the store that were sent again
	restarts  atomic.Int64 // transactions that were computed anew
	// of the cache on disk, and of compactions
	cacheReads, cacheWrites, compactions cost

	read, written cost // by the kernel's requests
	// of all requests of the kernel, all operations of the metadata, all transactions, reads, writes
	opTimes, metaTimes, changeTimes, readSizes, writtenSizes spread
	cacheReadTimes, cacheWriteTimes, compactSizes            spread
	reqTimes                                                 [object.Ops]spread

	trips   atomic.Int64 // round trips to the database, if its engine tells of them
	tripsOf func() int64 // nil: trips counts
}

// cost is a number of things with what they took.
type cost struct{ n, nanos, bytes atomic.Int64 }

func newTally() *tally {
	t := &tally{
		started: time.Now(),
		opTimes: newSpread(operationBounds()), metaTimes: newSpread(operationBounds()), changeTimes: newSpread(operationBounds()),
		readSizes: newSpread(sizeBounds()), writtenSizes: newSpread(sizeBounds()),
		cacheReadTimes: newSpread(cacheBounds()), cacheWriteTimes: newSpread(cacheBounds()), compactSizes: newSpread(compactBounds()),
	}
	for op := range t.reqTimes {
		t.reqTimes[op] = newSpread(requestBounds())
	}
	return t
}

func (c *cost) add(took time.Duration) {
	c.n.Add(1)
	c.nanos.Add(int64(took))
}

func (c *cost) seconds() float64 { return time.Duration(c.nanos.Load()).Seconds() }

// addTo counts one under a name.
func addTo(all *sync.Map, name string, took time.Duration) {
	c, ok := all.Load(name)
	if !ok {
		c, _ = all.LoadOrStore(name, new(cost))
	}
	c.(*cost).add(took)
}

// Operation counts an operation of the metadata.
func (t *tally) Operation(name string, took time.Duration) {
	addTo(&t.metaOps, name, took)
	t.metaTimes.add(took.Seconds())
}

// Transaction counts a transaction of the database.
func (t *tally) Transaction(took time.Duration, restarts int) {
	t.restarts.Add(int64(restarts))
	t.changes.add(took)
	t.changeTimes.add(took.Seconds())
}

// retried counts a request to the store that is sent again.
func (t *tally) retried(object.Op) { t.retries.Add(1) }

// cacheRead and cacheWritten count a read and a write of the cache on disk.
func (t *tally) cacheRead(took time.Duration) {
	t.cacheReads.add(took)
	t.cacheReadTimes.add(took.Seconds())
}

func (t *tally) cacheWritten(took time.Duration) {
	t.cacheWrites.add(took)
	t.cacheWriteTimes.add(took.Seconds())
}

// compacted counts a compaction by the bytes that it has written.
func (t *tally) compacted(n uint32) {
	t.compactions.n.Add(1)
	t.compactions.bytes.Add(int64(n))
	t.compactSizes.add(float64(n))
}

// trip counts a round trip to the database.
func (t *tally) trip() { t.trips.Add(1) }

// request counts a request of the kernel.
func (t *tally) request(op string, took time.Duration, errno syscall.Errno) {
	addTo(&t.ops, op, took)
	t.opTimes.add(took.Seconds())
	if errno != 0 {
		n, ok := t.errors.Load(errno)
		if !ok {
			n, _ = t.errors.LoadOrStore(errno, new(atomic.Int64))
		}
		n.(*atomic.Int64).Add(1)
	}
}

// moved counts the bytes of a read or write of the kernel.
func (t *tally) moved(write bool, n int) {
	c, s := &t.read, &t.readSizes
	if write {
		c, s = &t.written, &t.writtenSizes
	}
	c.n.Add(1)
	c.bytes.Add(int64(n))
	s.add(float64(n))
}

// Observe counts a request to the object store.
func (t *tally) Observe(op object.Op, bytes int64, took time.Duration, err error) {
	c := &t.requests[op]
	c.add(took)
	c.bytes.Add(bytes)
	t.reqTimes[op].add(took.Seconds())
	if err != nil {
		t.reqErrors.Add(1)
	}
}

var (
	_ object.Observer = (*tally)(nil)
	_ meta.Observer   = (*tally)(nil)
)

// methodName is what metrics call a request to the store.
func methodName(op int) string { return strings.ToUpper(object.Op(op).String()) }

// figures are numbers with the names that dashboards and tools of volumes of this format know, without the prefix.
type figures map[string]float64

// add puts in what was counted.
func (t *tally) add(f figures) {
	f.addAll(&t.ops, "fuse_ops_total_", "fuse_ops_durations_seconds_", "fuse_ops_durations_histogram_seconds")
	f.addAll(&t.metaOps, "meta_ops_total_", "meta_ops_duration_seconds_", "meta_ops_durations_histogram_seconds")
	f.histogram("transaction_durations_histogram_seconds", float64(t.changes.n.Load()), t.changes.seconds())
	f.histogram("fuse_read_size_bytes", float64(t.read.n.Load()), float64(t.read.bytes.Load()))
	f.histogram("fuse_written_size_bytes", float64(t.written.n.Load()), float64(t.written.bytes.Load()))
	trips := t.trips.Load()
	if t.tripsOf != nil {
		trips = t.tripsOf()
	}
	if trips > 0 { // no engine opens a volume without one, so 0 means one that has none or counts none
		f["meta_round_trips_total"] = float64(trips)
	}
	t.errors.Range(func(errno, n any) bool {
		f["fuse_ops_io_errors_"+unix.ErrnoName(errno.(syscall.Errno))] = float64(n.(*atomic.Int64).Load())
		return true
	})
	for op := range t.requests {
		c, name := &t.requests[op], methodName(op)
		f.histogram("object_request_durations_histogram_seconds_"+name, float64(c.n.Load()), c.seconds())
		if object.Op(op) == object.OpGet || object.Op(op) == object.OpPut {
			f["object_request_data_bytes_"+name] = float64(c.bytes.Load())
		}
	}
	f["object_request_errors"], f["object_request_retries"] = float64(t.reqErrors.Load()), float64(t.retries.Load())
	f["transaction_restart"] = float64(t.restarts.Load())
	f.histogram("blockcache_read_hist_seconds", float64(t.cacheReads.n.Load()), t.cacheReads.seconds())
	f.histogram("blockcache_write_hist_seconds", float64(t.cacheWrites.n.Load()), t.cacheWrites.seconds())
	f.histogram("compact_size_histogram_bytes", float64(t.compactions.n.Load()), float64(t.compactions.bytes.Load()))
	f["uptime"] = time.Since(t.started).Seconds()
}

// addAll puts in counts and times by name, and all of them as a histogram.
func (f figures) addAll(all *sync.Map, total, seconds, histogram string) {
	var n, sum float64
	all.Range(func(name, c any) bool {
		some, took := float64(c.(*cost).n.Load()), c.(*cost).seconds()
		f[total+name.(string)], f[seconds+name.(string)] = some, took
		n, sum = n+some, sum+took
		return true
	})
	f.histogram(histogram, n, sum)
}

// histogram puts in what lines of text show of a histogram.
func (f figures) histogram(name string, n, sum float64) { f[name+"_total"], f[name+"_sum"] = n, sum }

// addProcess puts in what this process takes.
func (f figures) addProcess() {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) == nil {
		f["cpu_usage"] = time.Duration(ru.Utime.Nano() + ru.Stime.Nano()).Seconds()
	}
	var size, resident int64
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if _, err := fmt.Sscan(string(b), &size, &resident); err == nil {
			f["memory"] = float64(resident * int64(os.Getpagesize()))
		}
	}
}

// addRuntime puts in what the runtime of the language takes.
func (f figures) addRuntime() {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/sched/goroutines:goroutines"},
	}
	metrics.Read(samples)
	for i, name := range []string{"go_memstats_alloc_bytes", "go_memstats_sys_bytes", "go_goroutines"} {
		if v := samples[i].Value; v.Kind() == metrics.KindUint64 {
			f[name] = float64(v.Uint64())
		}
	}
}

// lines gives a line for each, in the order of names.
func (f figures) lines() []byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(f)) {
		b = append(b, metricPrefix+name+" "...)
		b = append(strconv.AppendFloat(b, f[name], 'f', -1, 64), '\n')
	}
	return b
}
