// Package stats is the arithmetic of measurements: distributions of times, intervals of confidence, and whether two
// samples differ by more than chance. It knows nothing of files, and its functions are pure.
package stats

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range of a Histogram: what lies outside is counted at its end. An hour for one call means that nothing works.
const (
	shortest = time.Nanosecond
	longest  = time.Hour
	digits   = 3 // a value is exact to 0.1 %
)

// Histogram is a distribution of times with a high dynamic range. One goroutine at a time may use it; merge those of
// several when they are done.
type Histogram struct{ h *hdrhistogram.Histogram }

// NewHistogram makes an empty one. It takes some 300 KiB.
func NewHistogram() *Histogram {
	return &Histogram{hdrhistogram.New(int64(shortest), int64(longest), digits)}
}

// Record counts a time.
func (h *Histogram) Record(d time.Duration) {
	_ = h.h.RecordValue(int64(min(max(d, shortest), longest))) // in range, so it does not fail
}

// Merge adds what another has counted.
func (h *Histogram) Merge(other *Histogram) { h.h.Merge(other.h) }

// Count returns how many times were recorded.
func (h *Histogram) Count() int64 { return h.h.TotalCount() }

// Quantile returns the time below which the share q of all lies, from 0 to 1; 0 of an empty one.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.h.ValueAtQuantile(100 * q))
}

// Mean returns the mean time.
func (h *Histogram) Mean() time.Duration { return time.Duration(h.h.Mean()) }

// Max returns the longest time.
func (h *Histogram) Max() time.Duration { return time.Duration(h.h.Max()) }

// Bar is a piece of a distribution.
type Bar struct {
	To    time.Duration // its upper end
	Count int64
}

// Bars returns the pieces that are not empty, shortest first.
func (h *Histogram) Bars() []Bar {
	var bars []Bar
	for _, b := range h.h.Distribution() {
		if b.Count > 0 {
			bars = append(bars, Bar{time.Duration(b.To), b.Count})
		}
	}
	return bars
}

// shape is a histogram in JSON: figures for people, and the whole in the compressed form (V2, base64) of
// hdrhistogram.org, which its tools read.
type shape struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99.9_ms"`
	Max   float64 `json:"max_ms"`
	Raw   string  `json:"hdr_ns"`
}

// MarshalJSON writes the figures and the raw histogram.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	raw, err := h.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("encode histogram: %w", err)
	}
	return json.Marshal(shape{
		Count: h.Count(), Mean: Millis(h.Mean()), P50: Millis(h.Quantile(0.5)), P90: Millis(h.Quantile(0.9)),
		P99: Millis(h.Quantile(0.99)), P999: Millis(h.Quantile(0.999)), Max: Millis(h.Max()), Raw: string(raw),
	})
}

// UnmarshalJSON reads the raw histogram.
func (h *Histogram) UnmarshalJSON(b []byte) error {
	var s shape
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	raw, err := hdrhistogram.Decode([]byte(s.Raw))
	if err != nil {
		return fmt.Errorf("decode histogram: %w", err)
	}
	h.h = raw
	return nil
}

// Millis gives a time in milliseconds.
func Millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
