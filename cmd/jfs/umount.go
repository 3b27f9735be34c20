package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/fs/mount"
	"jfs/internal/mounts"
)

// endTime is how long umount waits for the process of the mount to end, which first writes out its files.
const endTime = time.Minute

func (a *app) addUmount(root *cobra.Command) error {
	return addCommand(a, root, command[umountOptions]{
		use:   "umount MOUNTPOINT",
		short: "unmount a volume",
		args:  1,
		flags: umountFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *umountOptions, args []string) error {
			return a.umount(ctx, opt, args[0])
		},
	})
}

func (a *app) umount(ctx context.Context, opt *umountOptions, point string) error {
	path, err := mounts.Path(point)
	if err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	m, ok, err := mounts.At(path)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("%s is not a mount point", path)
	case !m.Volume():
		return fmt.Errorf("what is mounted at %s is not a volume but %s (%s): use umount", path, m.Source, m.Type)
	}
	pid := mounts.Proc("").Server(m)
	if err := mount.Unmount(path, opt.force); err != nil {
		if errors.Is(err, mount.ErrBusy) {
			return busy(path)
		}
		return err
	}
	if pid == 0 {
		return nil
	}
	return awaitEnd(ctx, pid, path, opt.flush)
}

// busy names who is in the way.
func busy(path string) error {
	var users []string
	for _, p := range mounts.Proc("").Holders(path) {
		users = append(users, p.String())
	}
	if len(users) == 0 {
		return fmt.Errorf("%s is in use, by processes that cannot be seen from here: end them, or use --force", path)
	}
	return fmt.Errorf("%s is in use by process %s: end them, or use --force", path, strings.Join(users, ", "))
}

// awaitEnd waits for the process of a mount, which has to write out its files after the unmount.
func awaitEnd(ctx context.Context, pid int, path string, patient bool) error {
	wait, cancel := ctx, func() {}
	if !patient {
		wait, cancel = context.WithTimeout(ctx, endTime)
	}
	defer cancel()
	err := mounts.WaitExit(wait, pid)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s is unmounted; interrupted while its process %d was writing out data", path, pid)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s is unmounted, but its process %d has not ended after %s: it may still be writing out data, look into its log", path, pid, endTime)
	}
	return err
}
