package main

import (
	_ "embed"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

//go:embed testdata/official-flags.txt
var officialFlags string

// TestOfficialFlags: every flag of the official client is there, with its short form and default.
func TestOfficialFlags(t *testing.T) {
	better := map[string]string{"mount max-fuse-io": "1M"} // defaults that are ours on purpose
	root, err := newApp(io.Discard, io.Discard, func(string) string { return "" }).root()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(officialFlags) {
		f := strings.Fields(line)
		if len(f) != 4 || f[0] == "#" {
			continue
		}
		n++
		set := root.PersistentFlags()
		if f[0] != "*" {
			cmd, _, err := root.Find(strings.Split(f[0], "/"))
			if err != nil {
				t.Fatal(err)
			}
			set = cmd.Flags()
		}
		for i := range f {
			f[i] = strings.TrimPrefix(f[i], "-")
		}
		p := set.Lookup(f[1])
		if p == nil {
			t.Errorf("%s has no --%s", f[0], f[1])
			continue
		}
		want := f[3]
		if b, ok := better[f[0]+" "+f[1]]; ok {
			want = b
		}
		if p.Shorthand != f[2] || p.DefValue != want {
			t.Errorf("%s --%s: short form %q and default %q, want %q and %q", f[0], f[1], p.Shorthand, p.DefValue, f[2], want)
		}
		if p.Usage == "" {
			t.Errorf("%s --%s: no help", f[0], f[1])
		}
	}
	if n != 202 {
		t.Errorf("%d flags in the list, want 202", n)
	}
}

func parseMount(t *testing.T, args ...string) (*pflag.FlagSet, *mountOptions, error) {
	t.Helper()
	set, opt := pflag.NewFlagSet("mount", pflag.ContinueOnError), &mountOptions{}
	if err := mountFlags().register(set, opt); err != nil {
		t.Fatal(err)
	}
	if err := set.Parse(args); err != nil {
		return set, opt, err
	}
	return set, opt, mountFlags().check(set)
}

func TestMountDefaults(t *testing.T) {
	_, opt, err := parseMount(t)
	if err != nil {
		t.Fatal(err)
	}
	want := mountOptions{
		logFile: "/var/log/juicefs.log", maxFuseIO: 1 << 20, heartbeat: 12 * time.Second, skipDirMtime: 100 * time.Millisecond,
		atimeMode: "noatime", backupMeta: time.Hour, attrCache: time.Second, entryCache: time.Second, dirEntryCache: time.Second, openLimit: 10000,
		getTimeout: time.Minute, putTimeout: time.Minute, retries: 10, maxUploads: 20, maxDownloads: 200, maxDeletes: 10,
		bufferSize: 300 << 20, prefetch: 1, memoryCache: 100 << 20, cacheDir: "/var/jfsCache", cacheMode: 0o600,
		cacheSize: 100 << 30, freeSpace: 0.1, checksum: "extend", eviction: "2-random", cacheScan: time.Hour, stageWriters: 1000,
		metrics: "127.0.0.1:9567", consul: "127.0.0.1:8500", passthrough: "off",
	}
	got := *opt
	if len(got.fuse) != 0 {
		t.Errorf("options for FUSE: %q", got.fuse)
	}
	got.fuse = nil
	if gotText, wantText := describe(got), describe(want); gotText != wantText {
		t.Errorf("got  %s\nwant %s", gotText, wantText)
	}
}

func TestMountUnits(t *testing.T) {
	set, opt, err := parseMount(t, "--cache-size", "512000", "--buffer-size=1G", "--max-fuse-io", "128K", "--attr-cache", "5",
		"--entry-cache=1m", "--upload-limit", "1G", "--download-limit=100", "--cache-mode", "640", "-o", "a,b", "-o", "c", "-d")
	if err != nil {
		t.Fatal(err)
	}
	want := mountOptions{
		cacheSize: 512000 << 20, bufferSize: 1 << 30, maxFuseIO: 128 << 10, attrCache: 5 * time.Second, entryCache: time.Minute,
		uploadLimit: 1000, downloadLimit: 100, cacheMode: 0o640, background: true,
	}
	got := mountOptions{
		cacheSize: opt.cacheSize, bufferSize: opt.bufferSize, maxFuseIO: opt.maxFuseIO, attrCache: opt.attrCache, entryCache: opt.entryCache,
		uploadLimit: opt.uploadLimit, downloadLimit: opt.downloadLimit, cacheMode: opt.cacheMode, background: opt.background,
	}
	if describe(got) != describe(want) {
		t.Errorf("got  %s\nwant %s", describe(got), describe(want))
	}
	if !slices.Equal(opt.fuse, []string{"a,b", "c"}) {
		t.Errorf("options for FUSE: %q", opt.fuse)
	}
	given := strings.Join(mountFlags().given(set, "o", "background"), " ")
	if want := "max-fuse-io=128K attr-cache=5s entry-cache=1m0s upload-limit=1000 download-limit=100 buffer-size=1G cache-mode=0640 cache-size=500G"; given != want {
		t.Errorf("given: %s\nwant   %s", given, want)
	}
}

// TestLeases: what the user gives a time for is not kept for longer.
func TestLeases(t *testing.T) {
	for args, want := range map[string][3]time.Duration{
		"":                    {watchedCache, watchedCache, watchedCache},
		"--attr-cache=1s":     {0, watchedCache, watchedCache},
		"--entry-cache=0":     {watchedCache, 0, watchedCache},
		"--dir-entry-cache=5": {watchedCache, watchedCache, 0},
	} {
		set, opt, err := parseMount(t, strings.Fields(args)...)
		if err != nil {
			t.Fatal(err)
		}
		opt.lease(set)
		m, err := opt.kernelOptions("/mnt", "test", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := [3]time.Duration{m.AttrLease, m.EntryLease, m.DirEntryLease}; got != want {
			t.Errorf("%q: leases %v, want %v", args, got, want)
		}
	}
}

func TestRefusedFlags(t *testing.T) {
	tests := []struct{ arg, err string }{
		{"--writeback", ""},
		{"--upload-hours=0,6", ""},
		{"--upload-hours=22,24", ""},
		{"--upload-hours=6", "not two hours"},
		{"--upload-hours=6,25", "not two hours"},
		{"--writeback-threshold-size=4M", ""},
		{"--upload-delay=1h", ""},
		{"--writeback=false", ""},
		{"--writeback=maybe", "neither true nor false"},
		{"--metrics=127.0.0.1:9567", ""},
		{"--consul=127.0.0.1:8500", ""},
		{"--no-usage-report", ""},
		{"--atime-mode=noatime", ""},
		{"--atime-mode=sometimes", "none of noatime, relatime, strictatime"},
		{"--backup-meta=often", "give seconds"},
		{"--root-squash=me:you", "give numbers as in 65534:65534"},
		{"--umask=8", "not a mode"},
		{"--max-stage-write=10", ""},
		{"--free-space-ratio=1", "not a share"},
		{"--free-space-ratio=x", "not a share"},
		{"--io-retries=-1", "not a whole number"},
		{"--cache-eviction=fifo", "none of 2-random, lru, none"},
		{"--cache-mode=999", "not a mode"},
		{"--upload-limit=fast", "not a bandwidth"},
		{"--heartbeat=never", "give seconds"},
		{"--buffer-size=1X", "give a number with K, M, G"},
	}
	for _, tt := range tests {
		_, _, err := parseMount(t, tt.arg)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", tt.arg, err, tt.err)
		}
	}
}

func TestBandwidth(t *testing.T) {
	for in, want := range map[string]int64{"100": 100, "100M": 100, "1G": 1000, "2.5G": 2500, "500K": 0, "2000k": 2, "1T": 1000000, "10Mbps": 10, "0": 0} {
		var got int64
		if err := (bandwidthValue{&got}).Set(in); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "M", "-1", "1X", "NaN", "1e300"} {
		got := int64(7)
		if err := (bandwidthValue{&got}).Set(in); err == nil || got != 7 {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
}

func TestFromEnv(t *testing.T) {
	env := map[string]string{envAccessKey: "ak", envSecretKey: "sk"}
	set, opt := pflag.NewFlagSet("format", pflag.ContinueOnError), &formatOptions{}
	flags := formatFlags()
	if err := flags.register(set, opt); err != nil {
		t.Fatal(err)
	}
	if err := set.Parse([]string{"--access-key", "mine"}); err != nil {
		t.Fatal(err)
	}
	if err := flags.fromEnv(set, func(name string) string { return env[name] }); err != nil {
		t.Fatal(err)
	}
	if opt.accessKey != "mine" || opt.secretKey != "sk" || opt.sessionToken != "" || set.Changed("session-token") {
		t.Errorf("got %q, %q, %q", opt.accessKey, opt.secretKey, opt.sessionToken)
	}
}
