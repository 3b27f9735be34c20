package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/bench"
	"jfs/internal/accesslog"
	"jfs/internal/units"
)

type profileOptions struct {
	uids, gids, pids string
	interval         time.Duration
}

func profileFlags() table[profileOptions] {
	ids := func(field func(*profileOptions) *string) func(*profileOptions) pflag.Value {
		return toText(field)
	}
	return table[profileOptions]{
		{name: "uid", short: "u", to: ids(func(o *profileOptions) *string { return &o.uids }), help: "count only requests of these users: numbers, with commas between them"},
		{name: "gid", short: "g", to: ids(func(o *profileOptions) *string { return &o.gids }), help: "count only requests of these groups"},
		{name: "pid", short: "p", to: ids(func(o *profileOptions) *string { return &o.pids }), help: "count only requests of these processes"},
		{name: "interval", def: "2", to: func(o *profileOptions) pflag.Value { return units.NewDuration(&o.interval) }, help: "time that a table is about; 0 for one table of all of a file"},
	}
}

func (a *app) addProfile(root *cobra.Command) error {
	return addCommand(a, root, command[profileOptions]{
		use:   "profile MOUNTPOINT/LOGFILE",
		short: "show which operations of a mount take how long, as they come, or those of a saved access log",
		args:  1,
		flags: profileFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *profileOptions, args []string) error {
			return a.profile(ctx, opt, args[0])
		},
	})
}

func (a *app) profile(ctx context.Context, opt *profileOptions, path string) error {
	var filter accesslog.Filter
	for _, one := range []struct {
		flag, text string
		to         *[]uint64
	}{{"uid", opt.uids, &filter.UIDs}, {"gid", opt.gids, &filter.GIDs}, {"pid", opt.pids, &filter.PIDs}} {
		for word := range strings.SplitSeq(one.text, ",") {
			if word = strings.TrimSpace(word); word == "" {
				continue
			}
			id, err := strconv.ParseUint(word, 10, 32)
			if err != nil {
				return fmt.Errorf("--%s %q: give numbers with commas between them", one.flag, one.text)
			}
			*one.to = append(*one.to, id)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	p := profiler{app: a, filter: filter, interval: opt.interval, screen: terminal(a.out)}
	if !info.IsDir() {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(p.replay(ctx, f), f.Close())
	}
	if opt.interval <= 0 {
		return errors.New("--interval 0 is for a saved log: give a time such as 2s")
	}
	f, err := openSpecial(path, "accesslog")
	if err != nil {
		return err
	}
	return p.live(ctx, f)
}

// openSpecial opens one of the files that a mount has in its root.
func openSpecial(path, name string) (*os.File, error) {
	root, err := bench.MountRoot(path)
	if err != nil {
		return nil, err
	}
	for _, prefix := range []string{".", ".jfs."} {
		f, err := os.Open(filepath.Join(root, prefix+name))
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("%s is not in a mount of a volume: it has no .%s", path, name)
}

// profiler adds up requests and shows them.
type profiler struct {
	app      *app
	filter   accesslog.Filter
	interval time.Duration
	screen   bool // each table takes the place of the one before
}

// longLine bounds a line: names have at most 255 bytes, and targets of links 4096.
const longLine = 64 << 10

// live shows what a mount does until ctx ends.
func (p *profiler) live(ctx context.Context, log io.ReadCloser) error {
	var mu sync.Mutex // guards now
	var now accesslog.Profile
	ended := make(chan error, 1)
	go func() { // ends with the log, which gives something every second at least
		lines := bufio.NewScanner(log)
		lines.Buffer(nil, longLine)
		for lines.Scan() && ctx.Err() == nil {
			if e, ok := accesslog.Parse(lines.Text()); ok && p.filter.Counts(e) {
				mu.Lock()
				now.Add(e)
				mu.Unlock()
			}
		}
		ended <- errors.Join(lines.Err(), log.Close())
	}()
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	for {
		select {
		case at := <-tick.C:
			mu.Lock()
			shown := now
			now = accesslog.Profile{}
			mu.Unlock()
			if err := p.show(at, "", shown); err != nil {
				return err
			}
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("the access log has ended, is the mount gone? %w", err)
		case <-ctx.Done():
			<-ended
			return nil
		}
	}
}

// replay shows a saved log, in the time that it took if somebody watches.
func (p *profiler) replay(ctx context.Context, log io.Reader) error {
	var window, all accesslog.Profile
	var until time.Time
	windows, unread := 0, 0
	flush := func(at time.Time) error {
		if window.Count() == 0 {
			return nil
		}
		windows++
		all.Merge(window)
		shown := window
		window = accesslog.Profile{}
		return p.show(at, "", shown)
	}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, longLine)
	for lines.Scan() {
		if err := ctx.Err(); err != nil {
			return nil
		}
		e, ok := accesslog.Parse(lines.Text())
		if !ok {
			if !strings.HasPrefix(lines.Text(), "#") {
				unread++
			}
			continue
		}
		if p.interval > 0 {
			if until.IsZero() {
				until = e.End.Add(p.interval)
			}
			if !e.End.Before(until) {
				if err := flush(until); err != nil {
					return err
				}
				skip := e.End.Sub(until) / p.interval * p.interval
				until = until.Add(skip + p.interval)
				if p.screen && !pause(ctx, p.interval) {
					return nil
				}
			}
		}
		if p.filter.Counts(e) {
			window.Add(e)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the access log: %w", err)
	}
	if err := flush(until); err != nil {
		return err
	}
	switch {
	case unread > 0 && all.Count() == 0:
		return errors.New("this is no access log: give what was read from .accesslog of a mount")
	case unread > 0:
		p.app.log.Warn("lines were passed over that are not of an access log", "lines", unread)
	}
	if windows == 1 && p.interval == 0 {
		return nil // all was shown
	}
	return p.show(time.Time{}, "Total", all)
}

// pause waits, and says whether the time has passed.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *profiler) show(at time.Time, title string, of accesslog.Profile) error {
	var b strings.Builder
	if p.screen && title == "" {
		b.WriteString("\x1b[H\x1b[2J")
	}
	if title == "" {
		title = "Refresh: " + p.interval.String()
		if !at.IsZero() {
			title += "            Current: " + at.Format("2006-01-02T15:04:05")
		}
	}
	fmt.Fprintf(&b, "> Operations            %s\n\n", title)
	if err := of.Print(&b); err != nil {
		return err
	}
	fmt.Fprintln(&b)
	_, err := io.WriteString(p.app.out, b.String())
	return err
}
