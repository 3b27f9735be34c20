package bench

import "time"

// Result is what a run has counted.
type Result struct {
	Config     Config // with its defaults filled in
	Phases     []PhaseResult
	Elapsed    time.Duration // all phases and what lies between them
	CachesKept error         // why the kernel's caches were not dropped before a phase that wants them cold, or nil
	Before     Counters      // of the mount that was measured; nil on other file systems
	After      Counters
}

// PhaseResult is what one phase has counted, up to its end or to its first error.
type PhaseResult struct {
	Phase   Phase
	Threads int
	Files   int64 // finished, of all threads
	Bytes   int64 // moved, of all threads
	Elapsed time.Duration
	Err     error // what ended the phase early
}

// PerSecond returns bytes or files a second, whichever the phase is judged by.
func (r PhaseResult) PerSecond() float64 {
	n := r.Files
	if r.Phase.Measure == Throughput {
		n = r.Bytes
	}
	return float64(n) / max(r.Elapsed, 1).Seconds()
}

// PerFile returns how long a file took the thread that worked on it.
func (r PhaseResult) PerFile() time.Duration {
	if r.Files == 0 {
		return 0
	}
	return time.Duration(float64(r.Elapsed) * float64(r.Threads) / float64(r.Files))
}

// activity is a kind of work of a mount during a run.
type activity struct {
	name    string
	count   float64
	seconds float64
}

// source names the counters of one activity: how often and how many seconds, each the sum over all labels.
type source struct {
	count, seconds [2]string // prefix and suffix
}

// histogram is the source that a histogram gives.
func histogram(name string) source {
	return source{[2]string{name, "_total"}, [2]string{name, "_sum"}}
}

// activities compares the counters before and after a run; an activity whose counters are missing is left out. Of
// several sources the first that is there counts.
func (r *Result) activities() []activity {
	const requests = "object_request_durations_histogram_seconds_"
	var list []activity
	for _, kind := range []struct {
		name    string
		sources []source
	}{
		{"FUSE operation", []source{
			histogram("fuse_ops_durations_histogram_seconds"),
			{[2]string{"fuse_ops_total_", ""}, [2]string{"fuse_ops_durations_seconds_", ""}},
		}},
		{"Update meta", []source{
			histogram("transaction_durations_histogram_seconds"),
			{[2]string{"meta_ops_total_", ""}, [2]string{"meta_ops_duration_seconds_", ""}},
		}},
		{"Put object", []source{histogram(requests + "PUT")}},
		{"Get object", []source{histogram(requests + "GET")}},
		{"Delete object", []source{histogram(requests + "DELETE")}},
		{"Write into cache", []source{histogram("blockcache_write_hist_seconds")}},
		{"Read from cache", []source{histogram("blockcache_read_hist_seconds")}},
	} {
		for _, s := range kind.sources {
			count, ok := r.grown(s.count)
			seconds, timed := r.grown(s.seconds)
			if ok && timed {
				list = append(list, activity{kind.name, count, seconds})
				break
			}
		}
	}
	return list
}

// grown returns by how much a sum of counters has grown. A counter that appears only afterwards began at 0.
func (r *Result) grown(names [2]string) (diff float64, ok bool) {
	after, ok := r.After.sum(names[0], names[1])
	before, _ := r.Before.sum(names[0], names[1])
	return after - before, ok
}
