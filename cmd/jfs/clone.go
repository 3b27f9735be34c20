package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"jfs/fs/control"
)

type cloneOptions struct {
	preserve bool
	threads  int
}

func cloneFlags() table[cloneOptions] {
	return table[cloneOptions]{
		{name: "preserve", short: "p", to: toBool(func(o *cloneOptions) *bool { return &o.preserve }), help: "keep owner, mode and times"},
		{name: "threads", def: "4", to: toCount(func(o *cloneOptions) *int { return &o.threads }), help: "directories cloned at a time, 255 at most"},
	}
}

func (a *app) addClone(root *cobra.Command) error {
	return addCommand(a, root, command[cloneOptions]{
		use:   "clone SRC DST",
		short: "copy a file or a tree in a mount without copying its data",
		args:  2,
		flags: cloneFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *cloneOptions, args []string) error {
			return a.clone(ctx, opt, args[0], args[1])
		},
	})
}

func (a *app) clone(ctx context.Context, opt *cloneOptions, from, to string) error {
	src, err := findTarget(from)
	if err != nil {
		return err
	}
	dst, name, err := newTarget(to, src.name)
	if err != nil {
		return err
	}
	if src.dev != dst.dev {
		return fmt.Errorf("%s and %s are not in the same mount", src.path, dst.path)
	}
	if parent, err := findTarget(src.dir); err == nil && parent.dev == src.dev && parent.ino.IsTrash() {
		return fmt.Errorf("%s is in the trash: use restore", src.path)
	}
	return withMount(dst.abs, func(c *control.Client) error {
		m := a.newMeter("entries cloned")
		defer m.end()
		err := c.Do(ctx, control.CloneRequest{
			Src: src.ino, SrcDir: src.ino, Dir: dst.ino, Name: name, Umask: umask(),
			Preserve: opt.preserve, Threads: uint8(min(opt.threads, math.MaxUint8)),
		}, func(n, _ uint64) { m.set(n) })
		if err != nil {
			return fmt.Errorf("clone %s to %s/%s: %w", src.path, dst.path, name, err)
		}
		return nil
	})
}

// newTarget gives the directory and the name of a path that does not exist yet. One that ends in a slash is a directory
// in which the name of the source is used.
func newTarget(path, source string) (dir target, name string, err error) {
	if strings.HasSuffix(path, "/") {
		path = filepath.Join(path, source)
	}
	abs, err := absolute(path)
	if err != nil {
		return dir, "", err
	}
	if _, err := os.Lstat(abs); err == nil {
		return dir, "", fmt.Errorf("%s exists already: give a new name", abs)
	}
	real, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return dir, "", err
	}
	dir, err = findTarget(real)
	return dir, filepath.Base(abs), err
}

// umask is that of this process, which can only be read by setting it. Nothing is made meanwhile.
func umask() uint16 {
	old := unix.Umask(0o077)
	unix.Umask(old)
	return uint16(old)
}
