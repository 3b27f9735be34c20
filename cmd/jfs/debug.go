package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"jfs/bench"
	"jfs/internal/redact"
	"jfs/internal/units"
	"jfs/profiles"
)

type debugOptions struct {
	outDir  string
	limit   int
	stats   time.Duration
	trace   time.Duration
	profile time.Duration
}

func debugFlags() table[debugOptions] {
	span := func(field func(*debugOptions) *time.Duration) func(*debugOptions) pflag.Value {
		return func(o *debugOptions) pflag.Value { return units.NewDuration(field(o)) }
	}
	return table[debugOptions]{
		{name: "out-dir", def: "debug", to: toText(func(o *debugOptions) *string { return &o.outDir }), help: "directory that the archive is written to"},
		{name: "limit", def: "5000", to: toCount(func(o *debugOptions) *int { return &o.limit }), help: "lines of the log that are taken, the last ones; 0 for all"},
		{name: "stats-sec", def: "5", to: span(func(o *debugOptions) *time.Duration { return &o.stats }), help: "time between two looks at the statistics"},
		{name: "trace-sec", def: "5", to: span(func(o *debugOptions) *time.Duration { return &o.trace }), help: "time of an execution trace; 0 for none"},
		{name: "profile-sec", def: "30", to: span(func(o *debugOptions) *time.Duration { return &o.profile }), help: "time of a CPU profile; 0 for none"},
	}
}

func (a *app) addDebug(root *cobra.Command) error {
	return addCommand(a, root, command[debugOptions]{
		use:   "debug MOUNTPOINT",
		short: "gather what a report of a problem needs into one archive, without secrets",
		args:  1,
		flags: debugFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *debugOptions, args []string) error {
			return a.debug(ctx, opt, args[0])
		},
	})
}

// mountFacts is what a mount says of itself in .config, as far as it matters here.
type mountFacts struct {
	Pid     int
	LogFile string
	Port    mountPorts
	Chunk   struct{ CacheDir string }
}

func (a *app) debug(ctx context.Context, opt *debugOptions, path string) (err error) {
	root, err := bench.MountRoot(path)
	if err != nil {
		return err
	}
	config := bench.Look(root).Mount
	if config == nil {
		return fmt.Errorf("%s is not in a mount of a volume: give a mount point", path)
	}
	var facts mountFacts
	if err := json.Unmarshal(config, &facts); err != nil {
		return fmt.Errorf("what the mount of %s says of itself: %w", path, err)
	}
	if err := os.MkdirAll(opt.outDir, 0o755); err != nil {
		return fmt.Errorf("--out-dir: %w", err)
	}
	now := time.Now()
	name := strings.Trim(strings.ReplaceAll(root, "/", "-"), "-") + now.Format("-20060102150405")
	f, err := os.CreateTemp(opt.outDir, "."+name+"-*")
	if err != nil {
		return fmt.Errorf("--out-dir: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // it has another name when all went well
	b := &bundle{zip: zip.NewWriter(f), dir: name, now: now, masker: redact.NewMasker()}
	if err := b.collect(ctx, opt, root, facts, config); err != nil {
		return errors.Join(err, f.Close())
	}
	for _, line := range b.missing {
		a.log.Warn("missing in the archive: " + line)
	}
	final := filepath.Join(opt.outDir, name+".zip")
	if err := errors.Join(b.zip.Close(), f.Chmod(0o600), f.Close()); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	if err := os.Rename(f.Name(), final); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	_, err = fmt.Fprintln(a.out, final)
	return err
}

// bundle is an archive that is being made. What cannot be had is noted in it.
type bundle struct {
	zip     *zip.Writer
	dir     string
	now     time.Time
	masker  *redact.Masker
	missing []string
}

// add adds a file.
func (b *bundle) add(name string, data []byte) error {
	w, err := b.zip.CreateHeader(&zip.FileHeader{Name: b.dir + "/" + name, Method: zip.Deflate, Modified: b.now})
	if err == nil {
		_, err = w.Write(data)
	}
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}

// text adds a file without its secrets, or notes why there is none.
func (b *bundle) text(name string, data []byte, err error) error {
	if err != nil {
		b.missing = append(b.missing, fmt.Sprintf("%s: %s", name, err))
		return nil
	}
	return b.add(name, b.masker.Text(data))
}

func (b *bundle) collect(ctx context.Context, opt *debugOptions, root string, facts mountFacts, config []byte) error {
	tail, err := tailOf(facts.LogFile, opt.limit)
	words, werr := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", facts.Pid))
	files := []struct {
		name string
		data []byte
		err  error
	}{
		{"config.json", config, nil},
		{"system.txt", systemFacts(root, facts), nil},
		{"log.txt", tail, err},
		{"command.txt", append(bytes.ReplaceAll(bytes.TrimRight(words, "\x00"), []byte{0}, []byte("\n")), '\n'), werr},
	}
	for _, one := range files {
		if err := b.text(one.name, one.data, one.err); err != nil {
			return err
		}
	}
	if err := b.stats(ctx, opt, root); err != nil {
		return err
	}
	if err := b.profiles(ctx, opt, facts); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(b.missing) == 0 {
		return nil
	}
	return b.add("missing.txt", b.masker.Text([]byte(strings.Join(b.missing, "\n")+"\n")))
}

// stats adds the statistics of now and of a little later.
func (b *bundle) stats(ctx context.Context, opt *debugOptions, root string) error {
	for i, name := range []string{"stats.txt", "stats-later.txt"} {
		if i > 0 && !pause(ctx, opt.stats) {
			return ctx.Err()
		}
		f, err := openSpecial(root, "stats")
		var data []byte
		if err == nil {
			data, err = io.ReadAll(f)
			_ = f.Close() // only read
		}
		if err := b.text(name, data, err); err != nil {
			return err
		}
	}
	return nil
}

// profiles adds what the runtime of the mount tells. Those that take their time are taken at once.
func (b *bundle) profiles(ctx context.Context, opt *debugOptions, facts mountFacts) error {
	address := facts.Port.DebugAgent
	if address == "" {
		return b.text("pprof", nil, errors.New("the mount serves none: it runs with --no-agent"))
	}
	agent, err := profiles.Dial(ctx, address)
	if err != nil {
		return b.text("pprof", nil, err)
	}
	type part struct {
		name, file string
		took       time.Duration
		data       []byte
		err        error
	}
	parts := []part{{name: "profile", file: "cpu.pprof", took: opt.profile}, {name: "trace", file: "trace.out", took: opt.trace}}
	parts = slices.DeleteFunc(parts, func(p part) bool { return p.took <= 0 })
	for _, name := range []string{"heap", "allocs", "goroutine", "mutex", "block", "threadcreate"} {
		parts = append(parts, part{name: name, file: name + ".pprof"})
	}
	var group errgroup.Group
	for i := range parts {
		p := &parts[i]
		group.Go(func() error {
			p.data, p.err = agent.Raw(ctx, p.name, p.took)
			return nil
		})
	}
	_ = group.Wait() // each tells of its own failure
	for _, p := range parts {
		if p.err != nil {
			b.missing = append(b.missing, fmt.Sprintf("pprof/%s: %s", p.file, p.err))
			continue
		}
		if err := b.add("pprof/"+p.file, p.data); err != nil {
			return err
		}
	}
	stacks, err := agent.Text(ctx, "goroutine", 2)
	return b.text("pprof/goroutine.txt", stacks, err)
}

// tailOf reads the last lines of a file.
func tailOf(name string, lines int) ([]byte, error) {
	if name == "" {
		return nil, errors.New("the mount runs in the foreground and has no log file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()       //nolint:errcheck // only read
	const most = 64 << 20 // bytes; a log may have grown for years
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil || lines <= 0 {
		return data, err
	}
	at := len(data)
	for n := 0; n <= lines && at >= 0; n++ { // the last line has an end of its own
		at = bytes.LastIndexByte(data[:max(at, 0)], '\n')
	}
	return data[at+1:], nil
}

// systemFacts says what the machine is.
func systemFacts(root string, facts mountFacts) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "jfs %s, built with %s, on %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	e := bench.Look(root)
	e.Mount = nil // is in a file of its own
	if text, err := json.MarshalIndent(e, "", " "); err == nil {
		fmt.Fprintf(&b, "%s\n", text)
	}
	for place := range strings.SplitSeq(facts.Chunk.CacheDir, string(os.PathListSeparator)) {
		if free, err := bench.Free(place); err == nil {
			fmt.Fprintf(&b, "free at %s: %s\n", place, units.FormatShort(uint64(free)))
		}
	}
	process := fmt.Sprintf("/proc/%d/", facts.Pid)
	for _, name := range []string{
		"/etc/os-release", "/proc/version", "/proc/meminfo", "/proc/loadavg", "/proc/uptime", "/proc/self/mounts",
		process + "status", process + "limits", process + "io",
	} {
		text, err := os.ReadFile(name)
		if err != nil {
			fmt.Fprintf(&b, "\n%s: %s\n", name, err)
			continue
		}
		fmt.Fprintf(&b, "\n%s:\n%s", name, text)
	}
	if links, err := os.ReadDir(process + "fd"); err == nil {
		fmt.Fprintf(&b, "\nopen files of the process: %d\n", len(links))
	}
	return b.Bytes()
}
