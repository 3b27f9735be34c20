package main

import (
	"strings"
	"time"

	"github.com/spf13/pflag"

	"jfs/bench"
	"jfs/internal/units"
)

// workOptions say what is measured.
type workOptions struct {
	blockSize int64
	bigSize   int64
	smallSize int64
	smalls    int
	threads   int
	workload  string
	caches    string
	rounds    int
	limit     time.Duration
	noWarmUp  bool
}

// outputOptions say where the figures go, besides the table.
type outputOptions struct {
	json, csv, html string
	prices          string
	name            string
}

type benchOptions struct {
	workOptions
	outputOptions
}

func benchFlags() table[benchOptions] {
	return append(workFlags(func(o *benchOptions) *workOptions { return &o.workOptions }, "3"),
		outputFlags(func(o *benchOptions) *outputOptions { return &o.outputOptions })...)
}

func workFlags[T any](in func(*T) *workOptions, rounds string) table[T] {
	size := func(unit int64, field func(*workOptions) *int64) func(*T) pflag.Value {
		return func(t *T) pflag.Value { return units.NewSize(field(in(t)), unit) }
	}
	return table[T]{
		{name: "block-size", def: "1M", to: size(units.MiB, func(o *workOptions) *int64 { return &o.blockSize }), help: "what one call reads or writes, in MiB unless a unit is given"},
		{name: "big-file-size", def: "1G", to: size(units.MiB, func(o *workOptions) *int64 { return &o.bigSize }), help: "size of a big file, in MiB unless a unit is given; 0 leaves big files out"},
		{name: "small-file-size", def: "128K", to: size(units.KiB, func(o *workOptions) *int64 { return &o.smallSize }), help: "size of a small file, in KiB unless a unit is given; 0 leaves small files out"},
		{name: "small-file-count", def: "100", to: toCount(func(t *T) *int { return &in(t).smalls }), help: "small files of each thread"},
		{name: "threads", short: "p", def: "1", to: toCount(func(t *T) *int { return &in(t).threads }), help: "threads, each with files of its own"},
		{name: "workload", to: toText(func(t *T) *string { return &in(t).workload }), help: "another workload: " + strings.Join(bench.Workloads(), ", ") + ", or a YAML file with a list of phases"},
		{name: "caches", def: "", to: choice(func(t *T) *string { return &in(t).caches }, "", "dropped", "cold", "ssd-warm", "memory-warm", "kernel-warm"), help: "state of the caches before each phase that reads: dropped (the kernel's only), cold, ssd-warm, memory-warm or kernel-warm"},
		{name: "rounds", def: rounds, to: toCount(func(t *T) *int { return &in(t).rounds }), help: "how often everything is measured"},
		{name: "time-limit", def: "90s", to: func(t *T) pflag.Value { return units.NewDuration(&in(t).limit) }, help: "begin no further round that would likely end later than this; 0 for no limit"},
		{name: "no-warm-up", to: toBool(func(t *T) *bool { return &in(t).noWarmUp }), help: "do not begin with a small round that does not count"},
	}
}

func outputFlags[T any](in func(*T) *outputOptions) table[T] {
	text := func(field func(*outputOptions) *string) func(*T) pflag.Value {
		return toText(func(t *T) *string { return field(in(t)) })
	}
	return table[T]{
		{name: "json", to: text(func(o *outputOptions) *string { return &o.json }), help: "write all figures, the raw histograms and the environment to this file"},
		{name: "csv", to: text(func(o *outputOptions) *string { return &o.csv }), help: "write a line for each phase and round to this file"},
		{name: "html", to: text(func(o *outputOptions) *string { return &o.html }), help: "write a report with charts to this file"},
		{name: "prices", to: text(func(o *outputOptions) *string { return &o.prices }), help: "YAML file with the prices of requests to the store, such as \"put: 0.005\" (for 1000); instead of those of S3 Standard"},
		{name: "name", to: text(func(o *outputOptions) *string { return &o.name }), help: "what to call these figures in reports and comparisons"},
	}
}

// config gives the workload that the flags describe.
func (o *workOptions) config() (c bench.Config, err error) {
	c = bench.Config{
		BlockSize: o.blockSize, BigFileSize: o.bigSize, SmallFileSize: o.smallSize,
		SmallFileCount: o.smalls, Threads: o.threads,
		SkipBig:   o.bigSize == 0,
		SkipSmall: o.smallSize == 0 || o.smalls == 0,
		Caches:    bench.State(o.caches),
		Rounds:    o.rounds, TimeLimit: o.limit, WarmUp: !o.noWarmUp,
	}
	if o.workload != "" {
		c.Phases, err = bench.ReadWorkload(o.workload)
	}
	return c, err
}
