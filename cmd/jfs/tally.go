package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"jfs/object"
)

// tally counts what a mount does, for its file .stats.
type tally struct {
	started   time.Time
	ops       sync.Map // string -> *cost
	errors    sync.Map // syscall.Errno -> *atomic.Int64
	requests  [object.Ops]cost
	reqErrors atomic.Int64
}

// cost is a number of things with what they took.
type cost struct{ n, nanos, bytes atomic.Int64 }

func newTally() *tally { return &tally{started: time.Now()} }

// request counts a request of the kernel.
func (t *tally) request(op string, took time.Duration, errno syscall.Errno) {
	c, ok := t.ops.Load(op)
	if !ok {
		c, _ = t.ops.LoadOrStore(op, new(cost))
	}
	c.(*cost).n.Add(1)
	c.(*cost).nanos.Add(int64(took))
	if errno != 0 {
		n, ok := t.errors.Load(errno)
		if !ok {
			n, _ = t.errors.LoadOrStore(errno, new(atomic.Int64))
		}
		n.(*atomic.Int64).Add(1)
	}
}

// Observe counts a request to the object store.
func (t *tally) Observe(op object.Op, bytes int64, took time.Duration, err error) {
	c := &t.requests[op]
	c.n.Add(1)
	c.nanos.Add(int64(took))
	c.bytes.Add(bytes)
	if err != nil {
		t.reqErrors.Add(1)
	}
}

var _ object.Observer = (*tally)(nil)

// figures are numbers with the names that dashboards and tools of volumes of this format know, without the prefix.
type figures map[string]float64

// add puts in what was counted.
func (t *tally) add(f figures) {
	t.ops.Range(func(op, c any) bool {
		f["fuse_ops_total_"+op.(string)] = float64(c.(*cost).n.Load())
		f["fuse_ops_durations_seconds_"+op.(string)] = time.Duration(c.(*cost).nanos.Load()).Seconds()
		return true
	})
	t.errors.Range(func(errno, n any) bool {
		f["fuse_ops_io_errors_"+unix.ErrnoName(errno.(syscall.Errno))] = float64(n.(*atomic.Int64).Load())
		return true
	})
	for op := range t.requests {
		c, name := &t.requests[op], strings.ToUpper(object.Op(op).String())
		f["object_request_durations_histogram_seconds_"+name+"_total"] = float64(c.n.Load())
		f["object_request_durations_histogram_seconds_"+name+"_sum"] = time.Duration(c.nanos.Load()).Seconds()
		if object.Op(op) == object.OpGet || object.Op(op) == object.OpPut {
			f["object_request_data_bytes_"+name] = float64(c.bytes.Load())
		}
	}
	f["object_request_errors"] = float64(t.reqErrors.Load())
	f["uptime"] = time.Since(t.started).Seconds()
}

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

// lines gives a line for each, in the order of names.
func (f figures) lines() []byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(f)) {
		b = append(b, "juicefs_"+name+" "...)
		b = append(strconv.AppendFloat(b, f[name], 'f', -1, 64), '\n')
	}
	return b
}
