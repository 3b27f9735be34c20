package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/internal/posix"
	"jfs/meta"
)

func (a *app) addStatus(root *cobra.Command) error {
	return addCommand(a, root, command[statusOptions]{
		use:   "status META-URL",
		short: "show the settings of a volume, its clients and how much it holds",
		args:  1,
		flags: statusFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *statusOptions, args []string) error {
			return a.status(ctx, opt, args[0])
		},
	})
}

// The JSON of status, with the names of the official client.
type (
	statusReport struct {
		Setting  meta.Format
		Sessions []sessionReport
		Stat     statReport
	}
	sessionReport struct {
		Sid    uint64
		Expire time.Time
		meta.SessionInfo
		Sustained []meta.Ino       `json:",omitempty"`
		Flocks    []meta.HeldFlock `json:",omitempty"`
		Plocks    []meta.HeldPlock `json:",omitempty"`
		Staging   *stagingReport   `json:",omitempty"` // of mounts on this machine with a stage
	}
	statReport struct {
		UsedSpace       uint64
		AvailableSpace  uint64
		UsedInodes      uint64
		AvailableInodes uint64
		*wasteReport    // with --more
	}
	wasteReport struct {
		TrashFileCount, TrashFileSize                     int64
		PendingDeletedFileCount, PendingDeletedFileSize   int64
		TrashSliceCount, TrashSliceSize                   int64
		PendingDeletedSliceCount, PendingDeletedSliceSize int64
	}
)

func (a *app) status(ctx context.Context, opt *statusOptions, url string) error {
	engine, err := a.openMeta(ctx, url)
	if err != nil {
		return err
	}
	defer engine.Close() //nolint:errcheck // nothing was written
	format, err := a.loadFormat(ctx, engine, url)
	if err != nil && !errors.Is(err, meta.ErrSecretRemoved) {
		return err
	}
	if opt.session != 0 {
		s, err := oneSession(ctx, engine, opt.session)
		if err != nil {
			return err
		}
		one := []sessionReport{s}
		addStaging(one)
		return a.printJSON(one[0])
	}
	report := statusReport{Setting: format.WithoutSecrets(), Sessions: []sessionReport{}}
	err = engine.View(ctx, meta.Want{}, func(r meta.Reader) error {
		records, err := r.Sessions()
		if err != nil {
			return err
		}
		report.Sessions = report.Sessions[:0]
		for _, rec := range records {
			report.Sessions = append(report.Sessions, describeSession(rec))
		}
		space, inodes, err := r.Usage()
		s := format.Space(space, inodes)
		report.Stat = statReport{
			UsedSpace: s.TotalBytes - s.FreeBytes, AvailableSpace: s.FreeBytes,
			UsedInodes: s.TotalInodes - s.FreeInodes, AvailableInodes: s.FreeInodes,
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	if opt.more {
		if report.Stat.wasteReport, err = a.countWaste(ctx, engine); err != nil {
			return err
		}
	}
	addStaging(report.Sessions)
	slices.SortFunc(report.Sessions, func(a, b sessionReport) int { return int(int64(a.Sid) - int64(b.Sid)) })
	return a.printJSON(report)
}

// countWaste counts what is in the trash and what waits to be freed.
func (a *app) countWaste(ctx context.Context, engine meta.Engine) (w *wasteReport, err error) {
	v, err := meta.Open(ctx, engine, meta.Options{Log: a.log, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		err = errors.Join(err, v.Close(end))
	}()
	trash, err := v.Summary(ctx, meta.TrashIno, true)
	if err != nil && !errors.Is(err, posix.ENOENT) { // a volume may never have had one
		return nil, fmt.Errorf("count the trash: %w", err)
	}
	err = engine.View(ctx, meta.Want{}, func(r meta.Reader) error {
		w = &wasteReport{TrashFileCount: trash.Files, TrashFileSize: trash.Length}
		files, err := r.DelFiles(math.MaxInt64, math.MaxInt32)
		for _, f := range files {
			w.PendingDeletedFileCount++
			w.PendingDeletedFileSize += int64(f.Length)
		}
		if err != nil {
			return err
		}
		delayed, err := r.DelayedSlices(math.MaxInt64, math.MaxInt32)
		for _, d := range delayed {
			for _, s := range d.Slices {
				w.TrashSliceCount++
				w.TrashSliceSize += int64(s.Size)
			}
		}
		if err != nil {
			return err
		}
		dead, err := r.DeadSlices(math.MaxInt32)
		for _, s := range dead {
			w.PendingDeletedSliceCount++
			w.PendingDeletedSliceSize += int64(s.Size)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count what waits to be freed: %w", err)
	}
	return w, nil
}

func oneSession(ctx context.Context, engine meta.Engine, sid uint64) (s sessionReport, err error) {
	found := false
	err = engine.View(ctx, meta.Want{}, func(r meta.Reader) error {
		rec, ok, err := r.Session(sid)
		if found = ok; err != nil || !ok {
			return err
		}
		s = describeSession(rec)
		if s.Sustained, err = r.Sustained(sid); err != nil {
			return err
		}
		s.Flocks, s.Plocks, err = meta.LocksOf(r, sid)
		return err
	})
	switch {
	case err != nil:
		return s, fmt.Errorf("read session %d: %w", sid, err)
	case !found:
		return s, fmt.Errorf("there is no session %d: run status without --session for the list", sid)
	}
	return s, nil
}

// describeSession reads a record. One that cannot be read, of a client to come, shows at least its number.
func describeSession(rec meta.SessionRecord) sessionReport {
	s := sessionReport{Sid: rec.Sid, Expire: time.Unix(rec.Expire, 0)}
	if err := json.Unmarshal(rec.Info, &s.SessionInfo); err != nil {
		s.Version = "unreadable session record"
	}
	return s
}

// loadFormat reads the settings of the volume in a database, which may be of a newer version.
func (a *app) loadFormat(ctx context.Context, engine meta.Engine, url string) (meta.Format, error) {
	f, err := meta.Load(ctx, engine)
	return f, explainUnformatted(err, url)
}

func (a *app) printJSON(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", b)
	return err
}
