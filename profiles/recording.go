package profiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/pprof/profile"
)

// Kind is what a profile is about.
type Kind string

// The kinds.
const (
	CPU        Kind = "cpu"       // time on a processor
	Allocs     Kind = "allocs"    // bytes allocated meanwhile
	Heap       Kind = "heap"      // bytes in use at the end
	Mutex      Kind = "mutex"     // time for which others waited for a lock, by who held it
	Block      Kind = "block"     // time of waiting, by who waited
	Goroutines Kind = "goroutine" // where goroutines were, once
)

// Kinds are all of them, in the order in which they are shown.
func Kinds() []Kind { return []Kind{CPU, Allocs, Heap, Mutex, Block, Goroutines} }

// sampleTypes are the values of a profile that count, by kind.
var sampleTypes = map[Kind]string{
	CPU: "cpu", Allocs: "alloc_space", Heap: "inuse_space", Mutex: "delay", Block: "delay", Goroutines: "goroutine",
}

// Set is profiles of the same work.
type Set map[Kind]*profile.Profile

// mostTrace bounds the execution trace of a phase, in bytes; more is of no use to a viewer.
const mostTrace = 64 << 20

// goroutinesAfter is when the goroutines of a recording are looked at: it should be in the middle of something.
const goroutinesAfter = 200 * time.Millisecond

// Recording is profiles that are being taken.
type Recording struct {
	agent      *Agent
	before     Set
	cpu        bytes.Buffer
	streams    []*stream
	stop       chan struct{}
	looked     sync.WaitGroup
	goroutines *profile.Profile
	lookErr    error
}

// Record begins to take profiles, and an execution trace if trace is not nil.
func (a *Agent) Record(ctx context.Context, trace io.Writer) (_ *Recording, err error) {
	r := &Recording{agent: a, before: Set{}, stop: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.endStreams())
		}
	}()
	for _, kind := range []Kind{Allocs, Mutex, Block} {
		if r.before[kind], err = a.snapshot(ctx, source(kind)); err != nil {
			return nil, err
		}
	}
	begin := func(path string, to io.Writer, most int64) {
		if err != nil {
			return
		}
		var s *stream
		if s, err = a.record(ctx, path, to, most); err == nil {
			r.streams = append(r.streams, s)
		}
	}
	begin(RecordWaits, io.Discard, 0)
	if trace != nil {
		begin(RecordTrace, trace, mostTrace)
	}
	begin(RecordCPU, &r.cpu, 0)
	if err != nil {
		return nil, err
	}
	r.looked.Go(func() {
		timer := time.NewTimer(goroutinesAfter)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.stop:
		}
		r.goroutines, r.lookErr = a.snapshot(ctx, string(Goroutines))
	})
	return r, nil
}

// source is where a profile is read. The runtime completes its figures of memory when it collects garbage.
func source(kind Kind) string {
	if kind == Allocs || kind == Heap {
		return "heap?gc=1"
	}
	return string(kind)
}

func (r *Recording) endStreams() error {
	var failed []error
	for i := len(r.streams) - 1; i >= 0; i-- { // CPU first: the end of a trace would be in it
		failed = append(failed, r.streams[i].end())
	}
	r.streams = nil
	return errors.Join(failed...)
}

// End ends the recording and gives what it has taken.
func (r *Recording) End(ctx context.Context) (Set, error) {
	close(r.stop)
	r.looked.Wait()
	if err := errors.Join(r.endStreams(), r.lookErr); err != nil {
		return nil, fmt.Errorf("take profiles: %w", err)
	}
	cpu, err := profile.ParseData(r.cpu.Bytes())
	if err != nil {
		return nil, fmt.Errorf("CPU profile: %w", err)
	}
	set := Set{CPU: cpu, Goroutines: r.goroutines}
	for _, kind := range []Kind{Allocs, Mutex, Block} {
		after, err := r.agent.snapshot(ctx, source(kind))
		if err != nil {
			return nil, err
		}
		if kind == Allocs {
			set[Heap] = after.Copy()
		}
		if set[kind], err = grown(after, r.before[kind]); err != nil {
			return nil, fmt.Errorf("profile %s: %w", kind, err)
		}
	}
	set[Allocs].DefaultSampleType = sampleTypes[Allocs]
	set[Heap].DefaultSampleType = sampleTypes[Heap]
	return set, nil
}

// grown gives what a profile has more than an earlier one.
func grown(after, before *profile.Profile) (*profile.Profile, error) {
	less := before.Copy()
	less.Scale(-1)
	return profile.Merge([]*profile.Profile{after, less})
}

// Merge adds up two sets. What is there at one moment is that of the later one.
func (s Set) Merge(later Set) (Set, error) {
	if s == nil {
		return later, nil
	}
	sum := Set{}
	for kind, p := range later {
		sum[kind] = p
		if s[kind] == nil || kind == Heap || kind == Goroutines {
			continue
		}
		m, err := profile.Merge([]*profile.Profile{s[kind], p})
		if err != nil {
			return nil, fmt.Errorf("merge profiles %s: %w", kind, err)
		}
		m.DefaultSampleType = p.DefaultSampleType
		sum[kind] = m
	}
	return sum, nil
}
