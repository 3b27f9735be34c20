package main

import (
	"strings"
	"testing"
	"time"

	"jfs/bench"
)

func TestStatsView(t *testing.T) {
	v, err := newStatsView("ufmco", 0)
	if err != nil {
		t.Fatal(err)
	}
	const head = "------usage------ ----------fuse--------- ----meta--- -blockcache ---object--\n" +
		"  cpu   mem   buf|  ops   lat  read write|  ops   lat| read write|  get   put\n"
	if got := v.head(); got != head {
		t.Errorf("%s\nwant\n%s", got, head)
	}
	was := bench.Counters{"cpu_usage": 1, "fuse_ops_durations_histogram_seconds_total": 100, "fuse_ops_durations_histogram_seconds_sum": 1, "object_request_data_bytes_PUT": 5}
	now := bench.Counters{
		"cpu_usage": 3.5, "memory": 300 << 20, "used_buffer_size_bytes": 1023, "fuse_ops_durations_histogram_seconds_total": 20_100, "fuse_ops_durations_histogram_seconds_sum": 2.4,
		"fuse_read_size_bytes_sum": 3 << 29, "blockcache_hit_bytes": 2048, "meta_ops_durations_histogram_seconds_total": 4, "meta_ops_durations_histogram_seconds_sum": 1,
		"object_request_data_bytes_PUT": 4 << 20,
	}
	const line = " 125%  300M  1023|  10K  0.07  768M     0|    2   250| 1.0K     0|    0  2.0M\n"
	if got := v.line(was, now, 2*time.Second); got != line {
		t.Errorf("%q\nwant\n%q", got, line)
	}
	for schema, width := range map[string]int{"u": 23, "o": 47, "fg": 35, "m": 29} {
		v, err := newStatsView(schema, 1)
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.Lines(v.head() + v.line(nil, nil, time.Second)) {
			if len(text) != width+1 {
				t.Errorf("%s: %d letters in %q, want %d", schema, len(text)-1, text, width)
			}
		}
	}
	for _, schema := range []string{"", "x", "ux"} {
		if _, err := newStatsView(schema, 0); err == nil {
			t.Errorf("%q is taken", schema)
		}
	}
}

func TestCells(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 9999: "9999", 10_000: "10K", 1_234_000: "1.2M", 999_600: "1.0M", 5e15: "5.0P"} {
		if got := countCell(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 1023: "1023", 1024: "1.0K", 1 << 20: "1.0M", 1<<20 - 1: "1.0M", 300 << 20: "300M"} {
		if got := bytesCell(v); got != want {
			t.Errorf("%v bytes: %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0.0%", 0.034: "3.4%", 0.5: "50%", 3.02: "302%"} {
		if got := percentCell(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 0.07: "0.07", 12.34: "12.3", 250: "250"} {
		if got := millisCell(v); got != want {
			t.Errorf("%v ms: %q, want %q", v, got, want)
		}
	}
}
