package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/maintain"
	"jfs/meta"
)

type destroyOptions struct {
	yes   bool
	force bool
}

func destroyFlags() table[destroyOptions] {
	return table[destroyOptions]{
		{name: "yes", short: "y", to: toBool(func(o *destroyOptions) *bool { return &o.yes }), help: "do not ask"},
		{name: "force", to: toBool(func(o *destroyOptions) *bool { return &o.force }), help: "destroy the volume although it is mounted, or although objects cannot be deleted"},
	}
}

func (a *app) addDestroy(root *cobra.Command) error {
	return addCommand(a, root, command[destroyOptions]{
		use:   "destroy META-URL UUID",
		short: "delete a volume with all its data",
		args:  2,
		flags: destroyFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *destroyOptions, args []string) error {
			return a.withTool(ctx, args[0], meta.Options{}, maintain.DefaultThreads, func(t *tool) error {
				return a.destroy(ctx, t, opt, args[1])
			})
		},
	})
}

func (a *app) destroy(ctx context.Context, t *tool, opt *destroyOptions, uuid string) error {
	if uuid != t.format.UUID {
		return fmt.Errorf("the UUID of volume %s is %s and not %s: nothing is destroyed", t.format.Name, t.format.UUID, uuid)
	}
	if !opt.force { // before anything is asked
		if err := notInUse(ctx, t.volume); err != nil {
			return err
		}
	}
	if !opt.yes {
		space, inodes, err := t.volume.Usage(ctx)
		if err != nil {
			return err
		}
		question := fmt.Sprintf("All data of volume %s in %s will be deleted for ever: %s in %s files and directories. Proceed? [y/N]: ",
			t.format.Name, t.store, tenths(space), grouped(inodes))
		if err := a.confirm(question); err != nil {
			return err
		}
	}
	told, m := a.progress()
	n, err := maintain.Destroy(ctx, t.volume, t.store, maintain.DestroyOptions{Force: opt.force, Progress: told, Log: a.log})
	m.end()
	if err != nil {
		return err
	}
	a.log.Info(fmt.Sprintf("volume %s is destroyed: %d objects with %d bytes are deleted", t.format.Name, n.N, n.Bytes))
	return nil
}

// notInUse refuses a volume that is mounted.
func notInUse(ctx context.Context, v *meta.Volume) error {
	sessions, err := v.Sessions(ctx)
	if err != nil {
		return err
	}
	var alive []string
	for _, rec := range sessions {
		if s := describeSession(rec); !s.Expire.Before(time.Now()) {
			alive = append(alive, s.HostName+":"+s.MountPoint)
		}
	}
	if len(alive) > 0 {
		return fmt.Errorf("the volume is in use at %s: unmount it there first, or give --force", strings.Join(alive, ", "))
	}
	return nil
}

// confirm asks a question that has to be answered with yes.
func (a *app) confirm(question string) error {
	if _, err := fmt.Fprint(a.err, question); err != nil {
		return err
	}
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errors.New("not confirmed, nothing was done: answer y, or give --yes")
}
