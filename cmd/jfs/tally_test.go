package main

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"jfs/object"
)

func TestTally(t *testing.T) {
	c := newTally()
	c.request("lookup", 20*time.Millisecond, 0)
	c.request("lookup", 30*time.Millisecond, syscall.ENOENT)
	c.Observe(object.OpPut, 1000, 500*time.Millisecond, nil)
	c.Observe(object.OpPut, 200, 0, errors.New("refused"))
	c.Observe(object.OpDelete, 0, time.Second, nil)
	c.Operation("Lookup", 2*time.Second)
	c.Operation("Lookup", time.Second)
	c.Operation("Read", time.Second)
	c.Transaction(5*time.Second, 2)
	f := figures{}
	c.add(f)
	f.addProcess()
	for name, want := range map[string]float64{
		"fuse_ops_total_lookup": 2, "fuse_ops_durations_seconds_lookup": 0.05, "fuse_ops_io_errors_ENOENT": 1,
		"meta_ops_total_Lookup": 2, "meta_ops_duration_seconds_Lookup": 3, "meta_ops_durations_histogram_seconds_total": 3,
		"meta_ops_durations_histogram_seconds_sum": 4, "transaction_durations_histogram_seconds_total": 1,
		"transaction_durations_histogram_seconds_sum": 5, "fuse_ops_durations_histogram_seconds_total": 2,
		"object_request_durations_histogram_seconds_PUT_total": 2, "object_request_durations_histogram_seconds_PUT_sum": 0.5,
		"object_request_data_bytes_PUT": 1200, "object_request_data_bytes_GET": 0, "object_request_errors": 1,
		"object_request_durations_histogram_seconds_DELETE_total": 1,
	} {
		if got, ok := f[name]; !ok || got != want {
			t.Errorf("%s: %v, %v, want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"uptime", "cpu_usage", "memory"} {
		if f[name] <= 0 {
			t.Errorf("%s: %v", name, f[name])
		}
	}
	text := string(figures{"b": 1.5, "a": 1 << 40}.lines())
	if want := "juicefs_a 1099511627776\njuicefs_b 1.5\n"; text != want {
		t.Errorf("%q, want %q", text, want)
	}
}
