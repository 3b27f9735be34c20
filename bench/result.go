package bench

import (
	"math"
	"time"

	"jfs/bench/stats"
)

// Result is what a run has counted.
type Result struct {
	Format      int           `json:"format"`          // of the file that it is kept in, see Save
	Kind        string        `json:"kind"`            // what was measured: KindFiles, KindStore, KindMeta
	Name        string        `json:"name,omitempty"`  // what the user calls it
	Flags       []string      `json:"flags,omitempty"` // of the mount, if the benchmark has mounted it
	Path        string        `json:"path"`
	Header      string        `json:"header,omitempty"` // first line of the table, where it is not about files
	Started     time.Time     `json:"started"`
	Environment Environment   `json:"environment"`
	Config      Config        `json:"config"` // with its defaults filled in
	Phases      []PhaseResult `json:"phases"`
	Elapsed     time.Duration `json:"elapsed_ns"`       // all phases and what lies between them
	Before      Counters      `json:"before,omitempty"` // of the mount that was measured; nil on other file systems
	After       Counters      `json:"after,omitempty"`
	Notes       []string      `json:"notes,omitempty"` // what a reader of the figures should know

	CachesKept error `json:"-"` // why the kernel's caches were not dropped before a phase that wants them cold, or nil
}

// What a Result can be about.
const (
	KindFiles = "bench"
	KindStore = "objbench"
	KindMeta  = "mdtest"
)

// PhaseResult is what one phase has counted in all rounds, up to its end or to its first error.
type PhaseResult struct {
	Phase   Phase   `json:"phase"`
	Threads int     `json:"threads"`
	Rounds  []Round `json:"rounds"`
	// Latency holds the times of each kind of call, of all rounds: "item" from the beginning to the end of an item,
	// and "open", "read", "write", "fsync", "close".
	Latency map[string]*stats.Histogram `json:"latency,omitempty"`
}

// Round is what a phase has counted in one round.
type Round struct {
	Files   int64         `json:"items"` // finished, of all threads
	Bytes   int64         `json:"bytes"` // moved, of all threads
	Elapsed time.Duration `json:"elapsed_ns"`
	// Drain is the time after a phase that writes until everything is in the store, or on the disk.
	Drain    time.Duration `json:"drain_ns,omitempty"`
	Counters Counters      `json:"counters,omitempty"` // by how much those of the mount have grown; memory: what it is
	State    string        `json:"state,omitempty"`    // why the caches were not in the state asked for; "": they were
	Failed   string        `json:"error,omitempty"`
	Err      error         `json:"-"` // what ended it early
}

// amount is what the rate of the phase counts.
func (r PhaseResult) amount(one Round) float64 {
	if r.Phase.Measure == Throughput {
		return float64(one.Bytes)
	}
	return float64(one.Files)
}

// Rates returns bytes or items a second, whichever the phase is judged by, of each round that has come to its end.
func (r PhaseResult) Rates() []float64 {
	var list []float64
	for _, one := range r.Rounds {
		if one.Failed == "" {
			list = append(list, r.amount(one)/max(one.Elapsed, 1).Seconds())
		}
	}
	return list
}

// Drained is Rates with the time until everything is in the store. It is nil for a phase that writes nothing.
func (r PhaseResult) Drained() []float64 {
	if !r.Phase.writes() {
		return nil
	}
	var list []float64
	for _, one := range r.Rounds {
		if one.Failed == "" {
			list = append(list, r.amount(one)/max(one.Elapsed+one.Drain, 1).Seconds())
		}
	}
	return list
}

// PerSecond returns the mean of the rates; what a round has done that failed counts if there is no other.
func (r PhaseResult) PerSecond() float64 {
	rates := r.Rates()
	if len(rates) == 0 {
		if len(r.Rounds) == 0 {
			return 0
		}
		last := r.Rounds[len(r.Rounds)-1]
		return r.amount(last) / max(last.Elapsed, 1).Seconds()
	}
	mean, _ := stats.Mean(rates)
	return mean
}

// PerFile returns how long an item took the thread that worked on it.
func (r PhaseResult) PerFile() time.Duration {
	if r.Files() == 0 {
		return 0
	}
	var elapsed time.Duration
	for _, one := range r.Rounds {
		elapsed += one.Elapsed
	}
	return time.Duration(float64(elapsed) * float64(r.Threads) / float64(r.Files()))
}

// Files returns the items of all rounds.
func (r PhaseResult) Files() (n int64) {
	for _, one := range r.Rounds {
		n += one.Files
	}
	return n
}

// Bytes returns the bytes of all rounds.
func (r PhaseResult) Bytes() (n int64) {
	for _, one := range r.Rounds {
		n += one.Bytes
	}
	return n
}

// Failed says what ended the phase early; "" if nothing did.
func (r PhaseResult) Failed() string {
	for _, one := range r.Rounds {
		if one.Failed != "" {
			return one.Failed
		}
	}
	return ""
}

// Call is the kind of call whose times describe the phase best: of big files each call, else the whole item.
func (r PhaseResult) Call() string {
	if r.Phase.Measure == Throughput {
		for _, kind := range []string{string(r.Phase.Op), "write", "read"} {
			if r.Latency[kind] != nil {
				return kind
			}
		}
	}
	return "item"
}

// writes says whether the phase leaves data behind that has to get to the store.
func (p Phase) writes() bool { return p.Op == Write || p.Op == Random && p.Writes > 0 }

// Counted is by how much the counters of the mount have grown in all rounds; nil where there are none. The memory is
// the largest that was seen after a round.
func (r PhaseResult) Counted() Counters {
	var sum Counters
	for _, one := range r.Rounds {
		for name, v := range one.Counters {
			if sum == nil {
				sum = Counters{}
			}
			if gauge(name) {
				sum[name] = math.Max(sum[name], v)
			} else {
				sum[name] += v
			}
		}
	}
	return sum
}
