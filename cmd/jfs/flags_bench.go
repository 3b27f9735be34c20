package main

import (
	"fmt"
	"strconv"
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
	beside          []string
	name            string
}

type benchOptions struct {
	workOptions
	outputOptions
	pprof  string
	inject distances
}

func benchFlags() table[benchOptions] {
	t := append(workFlags(func(o *benchOptions) *workOptions { return &o.workOptions }, "3"),
		outputFlags(func(o *benchOptions) *outputOptions { return &o.outputOptions })...)
	t = append(t, flag[benchOptions]{
		name: "inject", hidden: true, to: func(o *benchOptions) pflag.Value { return injectValue{&o.inject} }, help: "only for mount and for bench compare",
	})
	return append(t, flag[benchOptions]{
		name: "pprof", to: toText(func(o *benchOptions) *string { return &o.pprof }),
		help: "take profiles of the mount meanwhile, and keep them in this directory: of CPU, memory, locks and goroutines, and an execution trace of each phase",
	})
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
		{name: "beside", to: func(t *T) pflag.Value { return wordsValue{&in(t).beside} }, help: "result in a file, of the store, the metadata or another disk, that the report shows beside these; may be given several times"},
		{name: "prices", to: text(func(o *outputOptions) *string { return &o.prices }), help: "YAML file with the prices of requests to the store, such as \"put: 0.005\" (for 1000); instead of those of S3 Standard"},
		{name: "name", to: text(func(o *outputOptions) *string { return &o.name }), help: "what to call these figures in reports and comparisons"},
	}
}

type compareOptions struct {
	workOptions
	outputOptions
	configs    []string
	file       string
	scratch    string
	inject     distances
	regression float64 // share, from 0 to 1; less than 0: not asked for
}

func compareFlags() table[compareOptions] {
	t := table[compareOptions]{
		{name: "config", short: "c", to: func(o *compareOptions) pflag.Value { return wordsValue{&o.configs} }, help: "configuration as NAME=FLAGS, such as 'fast=--writeback --buffer-size 1G'; the first one is the base. Flags of format make a volume of its own"},
		{name: "configs", to: toText(func(o *compareOptions) *string { return &o.file }), help: "YAML file with configurations: a list of name, flags and, if wanted, meta (the META-URL)"},
		{name: "scratch", to: toText(func(o *compareOptions) *string { return &o.scratch }), help: "directory for caches, and for the volumes that are made where no META-URL is given; default: that of temporary files"},
		{name: "inject", to: func(o *compareOptions) pflag.Value { return injectValue{&o.inject} }, help: "make the store or the database distant in all configurations, as in \"store:delay=20ms,bandwidth=100M,errors=1%;meta:delay=2ms\""},
		{name: "max-regression", to: func(o *compareOptions) pflag.Value { return &percentValue{to: &o.regression} }, help: "end with exit code 2 if anything is significantly slower than the base by more than this, such as 5%"},
	}
	t = append(t, workFlags(func(o *compareOptions) *workOptions { return &o.workOptions }, "0")...)
	for i := range t {
		if t[i].name == "rounds" {
			t[i].help = "how often each configuration is measured; 0 for as often as a verdict needs"
		}
	}
	for _, f := range outputFlags(func(o *compareOptions) *outputOptions { return &o.outputOptions }) {
		if f.name != "name" {
			t = append(t, f)
		}
	}
	return t
}

// wordsValue is a flag that may be given several times, and whose values may hold commas.
type wordsValue struct{ to *[]string }

func (v wordsValue) Set(s string) error { *v.to = append(*v.to, s); return nil }
func (v wordsValue) String() string     { return strings.Join(*v.to, "; ") }
func (v wordsValue) Type() string       { return "string" }

// percentValue is a share as a percentage, with or without the sign.
type percentValue struct {
	to  *float64
	set bool
}

func (v *percentValue) Set(s string) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(s), "%"), 64)
	if err != nil || !(n >= 0 && n < 100) {
		return fmt.Errorf("%q is not a percentage from 0 to 100, such as 5%%", s)
	}
	*v.to, v.set = n/100, true
	return nil
}

func (v *percentValue) String() string {
	if !v.set {
		return ""
	}
	return fmt.Sprintf("%g%%", 100**v.to)
}

func (v *percentValue) Type() string { return "percent" }

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
