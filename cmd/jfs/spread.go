package main

import (
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// spread counts values by size, for the histograms of the metrics. Its bounds are those of the official client, because
// dashboards compute quantiles from them. The zero value counts nothing.
type spread struct {
	bounds []float64      // upper ones, rising
	counts []atomic.Int64 // one more than bounds: of what lies above all
}

func newSpread(bounds []float64) spread {
	return spread{bounds, make([]atomic.Int64, len(bounds)+1)}
}

func (s *spread) add(v float64) {
	if len(s.counts) == 0 {
		return
	}
	i, _ := slices.BinarySearch(s.bounds, v)
	s.counts[i].Add(1)
}

// metric gives the histogram of what was counted, whose values add up to sum.
func (s *spread) metric(desc *prometheus.Desc, sum float64, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(s.bounds))
	var n uint64
	for i := range s.counts {
		n += uint64(s.counts[i].Load())
		if i < len(s.bounds) {
			buckets[s.bounds[i]] = n
		}
	}
	return prometheus.MustNewConstHistogram(desc, n, sum, buckets, labels...)
}

// operationBounds are those of requests of the kernel, and of operations and transactions of the metadata, in seconds.
func operationBounds() []float64 { return prometheus.ExponentialBuckets(0.0001, 1.5, 30) }

// requestBounds are those of requests to the store, in seconds.
func requestBounds() []float64 { return prometheus.ExponentialBuckets(0.01, 1.5, 25) }

// cacheBounds are those of reads and writes of the cache on disk, in seconds.
func cacheBounds() []float64 { return prometheus.ExponentialBuckets(0.00001, 2, 20) }

// compactBounds are those of compactions, in bytes.
func compactBounds() []float64 { return prometheus.ExponentialBuckets(1024, 2, 16) }

// sizeBounds are those of reads and writes, in bytes.
func sizeBounds() []float64 { return prometheus.LinearBuckets(4096, 4096, 32) }
