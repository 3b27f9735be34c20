package bench

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"jfs/bench/stats"
)

// Format is the version of the file that a Result is kept in. A change that readers must know of makes it higher.
const Format = 1

// ErrFormat means that a file holds no result that this program can read.
var ErrFormat = errors.New("not a result of a benchmark")

// Save writes the result as JSON, with the raw histograms and the environment.
func (r *Result) Save(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// Load reads a file that Save has written.
func Load(file string) (*Result, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var head struct {
		Format *int            `json:"format"`
		Kind   string          `json:"kind"`
		Phases json.RawMessage `json:"phases"`
	}
	if err := json.Unmarshal(b, &head); err != nil || head.Kind == "" || head.Phases == nil {
		return nil, fmt.Errorf("%s: %w: give a file that --json has written", file, ErrFormat)
	}
	if head.Format == nil || *head.Format != Format {
		was := 0
		if head.Format != nil {
			was = *head.Format
		}
		return nil, fmt.Errorf("%s: %w: its format is %d and this version reads %d: run the benchmark again", file, ErrFormat, was, Format)
	}
	r := new(Result)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", file, ErrFormat, err)
	}
	for _, p := range r.Phases {
		for _, h := range p.Latency {
			if h == nil {
				return nil, fmt.Errorf("%s: %w: a histogram is missing", file, ErrFormat)
			}
		}
	}
	return r, nil
}

// CSV writes a line for each phase and round, for spreadsheets. Times are in milliseconds; those of calls are of all
// rounds of the phase.
func (r *Result) CSV(w io.Writer, prices Prices) error {
	out := csv.NewWriter(w)
	head := []string{
		"name", "phase", "round", "threads", "items", "bytes", "elapsed_ms", "drain_ms", "per_second", "per_second_stored", "unit",
		"call", "p50_ms", "p90_ms", "p99_ms", "p99.9_ms", "max_ms",
		"db_trips", "puts", "put_bytes", "gets", "get_bytes", "heads", "lists", "deletes", "db_retries", "store_retries", "price",
		"memory_hit", "disk_hit", "read_amplification", "write_amplification", "ahead_used_bytes", "ahead_wasted_bytes",
		"cpu_s", "memory_bytes", "state", "error",
	}
	if err := out.Write(head); err != nil {
		return err
	}
	number := func(v float64) string {
		if math.IsNaN(v) {
			return ""
		}
		return strconv.FormatFloat(v, 'g', 10, 64)
	}
	for _, p := range r.Phases {
		for i, one := range p.Rounds {
			this := p
			this.Rounds = p.Rounds[i : i+1]
			stored := ""
			if p.Phase.writes() && one.Failed == "" {
				stored = number(this.Drained()[0])
			}
			line := []string{
				r.Name, p.Phase.Name, strconv.Itoa(i + 1), strconv.Itoa(p.Threads), strconv.FormatInt(one.Files, 10), strconv.FormatInt(one.Bytes, 10),
				number(stats.Millis(one.Elapsed)), number(stats.Millis(one.Drain)), number(this.PerSecond()), stored, p.unit(), p.Call(),
			}
			for _, q := range quantiles {
				line = append(line, number(stats.Millis(p.Quantile(q))))
			}
			var of []float64
			if c, ok := r.Cost(this, prices); ok {
				of = []float64{c.Trips, c.Puts, c.PutBytes, c.Gets, c.GetBytes, c.Heads, c.Lists, c.Deletes, c.Restarts, c.Retries, c.Price,
					c.Memory, c.Disk, c.ReadAmp, c.WriteAmp, c.Ahead, c.Wasted, c.CPU, c.Resident}
			} else {
				of = slices.Repeat([]float64{math.NaN()}, 19)
			}
			for _, v := range of {
				line = append(line, number(v))
			}
			if err := out.Write(append(line, one.State, one.Failed)); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

// quantiles are those that are shown; 1 is the longest.
var quantiles = []float64{0.5, 0.9, 0.99, 0.999, 1}

// Quantile gives one of the times that describe the phase best.
func (r PhaseResult) Quantile(q float64) time.Duration {
	h := r.Latency[r.Call()]
	if h == nil {
		return 0
	}
	return h.Quantile(q)
}

func (r PhaseResult) unit() string {
	if r.Phase.Measure == Throughput {
		return "bytes"
	}
	return r.Phase.unit() + "s"
}

// unit is what an item of the phase is called.
func (p Phase) unit() string {
	switch {
	case p.Unit != "":
		return p.Unit
	case p.Op == Random:
		return "call"
	case p.Op == Mkdir || p.Op == Rmdir || p.Op == Readdir:
		return "dir"
	}
	return "file"
}
