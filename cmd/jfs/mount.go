package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"jfs/fs/mount"
	"jfs/internal/logging"
	"jfs/internal/mounts"
	"jfs/internal/units"
	"jfs/meta"
)

// exitLost is the exit code of a mount whose volume is gone: removed, formatted anew, or of a newer version. Those
// who start mounts again after a failure know by it that this is of no use.
const exitLost = 11

// shutdownTime is what a mount gets to write out its files when it ends. Its memory holds no more than a few
// hundred MiB, and service managers wait 90 s.
const shutdownTime = time.Minute

// minBuffer lets some blocks of the usual size be under way at a time.
const minBuffer = 32 * units.MiB

func (a *app) addMount(root *cobra.Command) error {
	return addCommand(a, root, command[mountOptions]{
		use:   "mount META-URL MOUNTPOINT",
		short: "mount a volume",
		args:  2,
		flags: mountFlags(),
		run: func(ctx context.Context, set *pflag.FlagSet, opt *mountOptions, args []string) error {
			return a.mount(ctx, set, opt, args[0], args[1])
		},
	})
}

func (a *app) mount(ctx context.Context, set *pflag.FlagSet, opt *mountOptions, url, point string) error {
	flags := mountFlags()
	if err := applyWords(set, flags, opt); err != nil {
		return err
	}
	if err := flags.check(set); err != nil { // what stood in -o
		return err
	}
	if err := opt.complete(set); err != nil {
		return err
	}
	opt.lease(set)
	point, err := absolute(point)
	if err != nil {
		return fmt.Errorf("mount point: %w", err)
	}
	url = withScheme(url)
	again := relaunch{global: a.globalArgs(), flags: flags.given(set, "o", "background", "update-fstab"), fuse: opt.fuse, url: url, point: point}

	ready := func(string) error { return nil }
	parent := readyPipe(a.getenv)
	switch {
	case parent != nil:
		a.tell = parent.failed
		ready = parent.ready
		opt.inBackground = true
		signal.Ignore(syscall.SIGHUP)
		a.logToSyslog(opt)
	case opt.background:
		return a.mountInBackground(ctx, opt, again)
	case opt.fstab:
		return errors.New("--update-fstab works with -d only")
	default:
		if err := again.hidePassword(); err != nil {
			return err
		}
	}
	if opt.noHugePage {
		if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
			a.log.Warn("transparent huge pages stay in use", "err", err)
		}
	}
	if err := a.prepareMountPoint(point, opt.force); err != nil {
		return err
	}
	return a.serveMount(ctx, opt, url, point, ready)
}

// complete fills in what depends on who mounts, and refuses what cannot work.
func (o *mountOptions) complete(set *pflag.FlagSet) (err error) {
	if !set.Changed("cache-dir") {
		if o.cacheDir, err = ownPlace(defaultCacheDir, ".jfs/cache"); err != nil {
			return err
		}
	}
	if !set.Changed("log") {
		if o.logFile, err = ownPlace(defaultLogFile, ".juicefs/juicefs.log"); err != nil {
			return err
		}
	}
	if o.cacheDir == memoryOnly && !set.Changed("cache-size") {
		o.cacheSize = memoryOnlySize
	}
	o.retries = max(o.retries, 1)
	switch {
	case o.bufferSize < minBuffer:
		return fmt.Errorf("--buffer-size of %d bytes is too small: give 32M or more", o.bufferSize)
	case o.maxUploads == 0:
		return errors.New("--max-uploads 0: at least 1 is needed")
	case o.maxDownloads == 0:
		return errors.New("--max-downloads 0: at least 1 is needed")
	}
	o.metricsGiven, o.consulGiven = set.Changed("metrics"), set.Changed("consul")
	_, err = parseLabels(o.labels)
	return err
}

// prepareMountPoint makes the directory if it is missing, and takes away what a mount has left there whose process
// is dead. With force, what answers there is mounted over.
func (a *app) prepareMountPoint(point string, force bool) error {
	_, err := statBounded(point)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(point, 0o755); err != nil {
			return fmt.Errorf("make the mount point: %w", err)
		}
	case errors.Is(err, syscall.ENOTCONN):
		path, err := mounts.Path(point)
		if err != nil {
			return fmt.Errorf("mount point %s: %w", point, err)
		}
		if m, ok, err := mounts.At(path); err != nil || !ok || !m.Volume() {
			return errors.Join(fmt.Errorf("mount point %s: %w", point, syscall.ENOTCONN), err)
		}
		a.log.Warn("the mount point is left over from a mount whose process is gone, it is unmounted", "path", path)
		return mount.Unmount(path, true)
	case err != nil && force:
		return fmt.Errorf("mount point: %w", err)
	}
	return nil // the mount itself finds everything else
}

// statTime is how long a mount may take to answer before it is taken to hang.
const statTime = 30 * time.Second

// statBounded is os.Stat for a path that may be a mount whose process is gone or never answers.
func statBounded(path string) (os.FileInfo, error) {
	type answer struct {
		info os.FileInfo
		err  error
	}
	answers := make(chan answer, 1)
	go func() { // outlives this call only if the kernel holds it for ever
		info, err := os.Stat(path)
		if err == nil { // which the kernel may have answered from memory
			err = unix.Statfs(path, new(unix.Statfs_t))
		}
		answers <- answer{info, err}
	}()
	timer := time.NewTimer(statTime)
	defer timer.Stop()
	select {
	case got := <-answers:
		return got.info, got.err
	case <-timer.C:
		return nil, fmt.Errorf("%s does not answer for %s: unmount what is there with jfs umount --force", path, statTime)
	}
}

// logToSyslog adds syslog to the log of a mount in the background, where the machine has it.
func (a *app) logToSyslog(opt *mountOptions) {
	if opt.noSyslog {
		return
	}
	w, err := logging.DialSyslog("jfs")
	if err != nil {
		a.log.Debug("there is no syslog", "err", err)
		return
	}
	a.log = slog.New(slog.NewMultiHandler(a.log.Handler(), logging.NewSyslog(w, a.logOptions())))
}

// serveMount mounts the volume and serves it until it is unmounted, ctx ends, or the volume is lost. ready is told
// the volume's name when the mount answers.
func (a *app) serveMount(ctx context.Context, opt *mountOptions, url, point string, ready func(name string) error) (err error) {
	ctx, give := context.WithCancelCause(ctx)
	defer give(nil)
	var parts closer
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		err = errors.Join(err, parts.close(end, a.log))
	}()
	if !a.global.noAgent {
		agent := startAgent(a.log)
		opt.ports.DebugAgent = agent.address
		parts.add("agent", agent.close)
	}
	metrics := a.listenMetrics(opt)
	if metrics != nil {
		parts.add("metrics", metrics.close)
	}
	lost := func(err error) { give(exitError{exitLost, fmt.Errorf("the volume is lost: %w", err)}) }
	c, err := a.openClient(ctx, url, point, opt, lost, &parts)
	if err != nil {
		return err
	}
	served := make(chan struct{})
	go func() { // ends with the mount, which every way out of here ends
		defer close(served)
		c.server.Serve()
	}()
	err = c.server.WaitMounted(ctx)
	if err == nil && metrics != nil {
		err = metrics.serve(ctx, c, point, opt)
	}
	if err == nil {
		err = ready(c.format.Name)
	}
	if err != nil {
		err = errors.Join(err, c.server.Unmount(true))
		<-served
		return err
	}
	a.log.Info(fmt.Sprintf("OK, %s is ready at %s", c.format.Name, c.server.MountPoint()))
	select {
	case <-served:
		a.log.Info("the volume was unmounted", "path", point)
		a.drain(c)
		return nil
	case <-ctx.Done():
	}
	err = a.unmountOwn(ctx, c)
	<-served
	a.drain(c)
	var exit exitError
	if cause := context.Cause(ctx); errors.As(cause, &exit) {
		return exit
	}
	return err
}

// unmountOwn ends this process's mount, also when it is in use: whoever asks a mount process to end has no use for a
// refusal. Files are written out before, as long as their users can still be told of a failure.
func (a *app) unmountOwn(ctx context.Context, c *client) error {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	a.log.Info("the mount is asked to end", "path", c.server.MountPoint())
	if err := c.fs.FlushAll(end); err != nil {
		a.log.Error("write out files", "err", err)
	}
	err := c.server.Unmount(false)
	if errors.Is(err, mount.ErrBusy) {
		a.log.Warn("the mount is in use and goes nevertheless", "path", c.server.MountPoint(),
			"users", fmt.Sprint(mounts.Proc("").Holders(c.server.MountPoint())))
		err = c.server.Unmount(true)
	}
	return err
}

// rootIno is the inode that the root of every mount shows.
const rootIno = uint64(meta.RootIno)
