package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/maintain"
	"jfs/meta"
)

type dumpOptions struct {
	subdir    string
	secrets   bool
	threads   int
	skipTrash bool
}

func dumpFlags() table[dumpOptions] {
	return table[dumpOptions]{
		{name: "subdir", to: toText(func(o *dumpOptions) *string { return &o.subdir }), help: "dump this directory, which becomes the root"},
		{name: "keep-secret-key", to: toBool(func(o *dumpOptions) *bool { return &o.secrets }), help: "keep the keys of the object store in the dump"},
		{name: "threads", def: "10", to: toCount(func(o *dumpOptions) *int { return &o.threads }), help: "inodes read at a time"},
		{name: "fast", boolean: true, state: holds, help: "load many records at a time, as is always done"},
		{name: "skip-trash", to: toBool(func(o *dumpOptions) *bool { return &o.skipTrash }), help: "leave out the trash"},
		{name: "binary", boolean: true, state: later, help: "dump in the binary form"},
	}
}

func (a *app) addDump(root *cobra.Command) error {
	return addCommand(a, root, command[dumpOptions]{
		use:   "dump META-URL [FILE]",
		short: "write the metadata to a file, compressed if its name ends in .gz or .zstd, or to the output",
		args:  1,
		most:  2,
		flags: dumpFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *dumpOptions, args []string) error {
			return a.withVolume(ctx, args[0], meta.Options{ReadOnly: true}, func(v *meta.Volume) error {
				if len(args) == 1 {
					return a.dump(ctx, v, opt, a.out)
				}
				return a.dumpFile(ctx, v, opt, args[1])
			})
		},
	})
}

func (a *app) dump(ctx context.Context, v *meta.Volume, opt *dumpOptions, w io.Writer) error {
	top, attr, err := v.FindPath(ctx, meta.Root, opt.subdir)
	if err == nil && attr.Type != meta.TypeDirectory {
		err = fmt.Errorf("--subdir %s is not a directory", opt.subdir)
	}
	if err != nil {
		return err
	}
	told, m := a.progress()
	defer m.end()
	return maintain.Dump(ctx, v, w, maintain.DumpOptions{
		Top: top, KeepSecrets: opt.secrets, SkipTrash: opt.skipTrash, Threads: opt.threads, Progress: told, Log: a.log,
	})
}

// dumpFile makes a file that appears when it is complete. Only its owner may read it: it shows all names, and perhaps
// secrets.
func (a *app) dumpFile(ctx context.Context, v *meta.Volume, opt *dumpOptions, name string) (err error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() { // a pipe, or /dev/null
		w, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(a.dumpCompressed(ctx, v, opt, name, w), w.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = a.dumpCompressed(ctx, v, opt, name, f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func (a *app) dumpCompressed(ctx context.Context, v *meta.Volume, opt *dumpOptions, name string, w io.Writer) error {
	buf := bufio.NewWriterSize(w, 1<<20)
	z, err := maintain.Compressed(name, buf)
	if err != nil {
		return err
	}
	err = errors.Join(a.dump(ctx, v, opt, z), z.Close())
	if err != nil {
		return err
	}
	return buf.Flush()
}
