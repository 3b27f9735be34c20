package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"jfs/fs"
	"jfs/internal/units"
	"jfs/meta"
	"jfs/upload/stage"
)

// openStage opens the stage of --writeback. A mount without it opens one too, if an earlier mount has left something
// there, and only brings that in.
func (d *dataPlane) openStage(f meta.Format, o *mountOptions, log *slog.Logger, parts *closer) error {
	if o.cacheDir == memoryOnly {
		if o.writeback {
			return errors.New("--writeback needs a cache on disk: give a directory with --cache-dir")
		}
		return nil
	}
	if o.readOnly {
		return nil
	}
	dirs, err := cacheDirs(o.cacheDir, f.UUID)
	if err != nil {
		return err
	}
	if !o.writeback && !stage.HasData(dirs) {
		return nil
	}
	d.back = fs.Back{Through: !o.writeback, Threshold: o.stageMost, Delay: o.uploadDelay, Hours: o.uploadBetween.open()}
	// The cache keeps its share of the disk free, so the stage must be content with less, or it would find no room on a
	// disk that the cache has filled.
	d.back.Stage, d.back.Left, err = stage.Open(dirs, stage.Options{
		BlockSize: f.BlockBytes(), FreeRatio: o.freeSpace / 2, Writers: o.stageWriters, Mode: o.cacheMode, Log: log,
	})
	if err != nil {
		if !o.writeback {
			log.Error("what an earlier mount has left in the stage cannot be brought in", "err", err)
			d.back = fs.Back{}
			return nil
		}
		return fmt.Errorf("--writeback: %w", err)
	}
	parts.add("stage", plain(d.back.Stage.Close))
	if n := len(d.back.Left.Commits); n > 0 {
		st := d.back.Stage.Stats()
		log.Info(fmt.Sprintf("An earlier mount has left %d flushes with %s in the stage, they are being stored", n, units.FormatBytes(uint64(st.Bytes))))
	}
	return nil
}

// hours is a part of the day, from one hour to another; the zero value is all of it.
type hours struct{ from, to int }

func (h *hours) Set(s string) error {
	from, to, ok := strings.Cut(s, ",")
	a, errA := strconv.Atoi(strings.TrimSpace(from))
	b, errB := strconv.Atoi(strings.TrimSpace(to))
	if !ok || errA != nil || errB != nil || a < 0 || a > 23 || b < 0 || b > 24 {
		return fmt.Errorf("%q is not two hours of the day separated by a comma, such as 0,6", s)
	}
	*h = hours{a, b % 24}
	return nil
}

func (h *hours) String() string {
	if *h == (hours{}) {
		return ""
	}
	return fmt.Sprintf("%d,%d", h.from, h.to)
}

func (h *hours) Type() string { return "hours" }

// open says when data is stored; nil for always.
func (h *hours) open() func(time.Time) bool {
	from, to := h.from, h.to
	switch {
	case from == to:
		return nil
	case from < to:
		return func(t time.Time) bool { return t.Hour() >= from && t.Hour() < to }
	default: // over midnight
		return func(t time.Time) bool { return t.Hour() >= from || t.Hour() < to }
	}
}

// addStage adds what waits in the stage.
func (f figures) addStage(s stage.Stats) {
	f["staging_blocks"], f["staging_block_bytes"] = float64(s.Blocks), float64(s.Bytes)
	f["staging_write_bytes"], f["staging_writing_blocks"] = float64(s.Written), float64(s.Writing)
	f["staging_block_delay_seconds"], f["staging_block_errors"] = s.Delayed.Seconds(), float64(s.Errors)
	f["staging_oldest_seconds"] = s.Oldest.Seconds()
}

// drainStall is how long a mount that ends waits while nothing of its stage can be stored. What stays is brought in by
// the next mount.
const drainStall = time.Minute

// drain brings in what is staged when the mount has ended. It gives up when a signal says so, which is the second one if
// a signal has ended the mount, and when nothing has moved for a while.
func (a *app) drain(c *client) {
	if c.stage == nil {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, giveUp := context.WithCancel(ctx)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		if err := c.fs.Drain(ctx); err != nil {
			a.log.Error("write out files", "err", err)
		}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last, moved := stage.Stats{}, time.Now()
	for {
		select {
		case <-drained:
			giveUp()
			return
		case <-tick.C:
		}
		now := c.stage.Stats()
		if now.Bytes != last.Bytes || now.Commits != last.Commits {
			last, moved = now, time.Now()
			a.log.Info("staged data is being stored before the mount ends", "flushes", now.Commits, "bytes", now.Bytes)
		} else if time.Since(moved) > drainStall {
			giveUp()
		}
		if err := c.stage.Announce(); err != nil {
			a.log.Debug("tell how much is left", "err", err)
		}
	}
}
