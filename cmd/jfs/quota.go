package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/internal/posix"
	"jfs/meta"
)

func (a *app) addQuota(root *cobra.Command) error {
	quota := &cobra.Command{Use: "quota", Short: "limit what directories, users and groups may use", RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("unknown command %q of quota: give set, get, delete, list or check", args[0])
		}
		return cmd.Help()
	}}
	for _, c := range []struct {
		name, short string
		run         func(context.Context, *meta.Volume, *pflag.FlagSet, *quotaOptions) error
	}{
		{"set", "set the limits of a directory, a user or a group", a.quotaSet},
		{"get", "show a quota", a.quotaGet},
		{"delete", "take a quota away", a.quotaDelete},
		{"list", "show all quotas", a.quotaList},
		{"check", "compare what quotas are charged with against what is there", a.quotaCheck},
	} {
		err := addCommand(a, quota, command[quotaOptions]{
			use: c.name + " META-URL", short: c.short, args: 1, flags: quotaFlags(),
			run: func(ctx context.Context, set *pflag.FlagSet, opt *quotaOptions, args []string) error {
				return a.withVolume(ctx, args[0], meta.Options{}, func(v *meta.Volume) error { return c.run(ctx, v, set, opt) })
			},
		})
		if err != nil {
			return err
		}
	}
	root.AddCommand(quota)
	return nil
}

type quotaOptions struct {
	path     string
	create   bool
	capacity uint64 // bytes
	inodes   uint64
	repair   bool
	strict   bool
	uid, gid uint64
}

func quotaFlags() table[quotaOptions] {
	return table[quotaOptions]{
		{name: "path", to: toText(func(o *quotaOptions) *string { return &o.path }), help: "directory of the quota, from the root of the volume"},
		{name: "create", to: toBool(func(o *quotaOptions) *bool { return &o.create }), help: "set: make the directory if it is not there"},
		{name: "capacity", to: func(o *quotaOptions) pflag.Value { return unsignedSize{&o.capacity, 1 << 30} }, help: "set: most data, in GiB unless a unit is given; 0 for no limit"},
		{name: "inodes", def: "0", to: toCount(func(o *quotaOptions) *uint64 { return &o.inodes }), help: "set: most files and directories; 0 for no limit"},
		{name: "repair", to: toBool(func(o *quotaOptions) *bool { return &o.repair }), help: "check: correct what is charged"},
		{name: "strict", to: toBool(func(o *quotaOptions) *bool { return &o.strict }), help: "check: count the files instead of relying on the statistics of directories"},
		{name: "uid", def: "0", to: toCount(func(o *quotaOptions) *uint64 { return &o.uid }), help: "user of the quota"},
		{name: "gid", def: "0", to: toCount(func(o *quotaOptions) *uint64 { return &o.gid }), help: "group of the quota"},
	}
}

// limits are those that were given.
func (o *quotaOptions) limits(set *pflag.FlagSet) (meta.Limits, error) {
	l := meta.Limits{Space: -1, Inodes: -1}
	if set.Changed("capacity") {
		l.Space = int64(o.capacity)
	}
	if set.Changed("inodes") {
		l.Inodes = int64(o.inodes)
	}
	if l.Space < 0 && l.Inodes < 0 {
		return l, errors.New("no limit is given: give --capacity, --inodes or both")
	}
	return l, nil
}

// target gives the quota that the flags name. Without one of them, ok is false.
func (o *quotaOptions) target(ctx context.Context, v *meta.Volume, set *pflag.FlagSet) (key meta.QuotaKey, ok bool, err error) {
	named := 0
	for _, name := range []string{"path", "uid", "gid"} {
		if set.Changed(name) {
			named++
		}
	}
	switch {
	case named > 1:
		return key, false, errors.New("a quota is that of a directory, a user or a group: give one of --path, --uid and --gid")
	case set.Changed("uid"):
		return meta.QuotaKey{Kind: meta.QuotaUser, ID: o.uid}, true, nil
	case set.Changed("gid"):
		return meta.QuotaKey{Kind: meta.QuotaGroup, ID: o.gid}, true, nil
	case named == 0:
		return key, false, nil
	}
	var ino meta.Ino
	if o.create {
		ino, err = v.MakePath(ctx, meta.Root, o.path)
	} else {
		ino, _, err = v.FindPath(ctx, meta.Root, o.path)
	}
	return meta.QuotaKey{Kind: meta.QuotaDir, ID: uint64(ino)}, true, err
}

// named is target for commands that need one.
func (o *quotaOptions) named(ctx context.Context, v *meta.Volume, set *pflag.FlagSet) (meta.QuotaKey, error) {
	key, ok, err := o.target(ctx, v, set)
	if err == nil && !ok {
		err = errors.New("no quota is named: give --path, --uid or --gid")
	}
	return key, err
}

func (a *app) quotaSet(ctx context.Context, v *meta.Volume, set *pflag.FlagSet, o *quotaOptions) error {
	l, err := o.limits(set)
	if err != nil {
		return err
	}
	key, err := o.named(ctx, v, set)
	if err != nil {
		return err
	}
	q, err := v.SetQuota(ctx, key, l)
	if err != nil {
		return err
	}
	return a.printQuotas(ctx, v, map[meta.QuotaKey]meta.Quota{key: q})
}

func (a *app) quotaGet(ctx context.Context, v *meta.Volume, set *pflag.FlagSet, o *quotaOptions) error {
	o.create = false
	key, err := o.named(ctx, v, set)
	if err != nil {
		return err
	}
	all, err := v.Quotas(ctx)
	if err != nil {
		return err
	}
	q, ok := all[key]
	if !ok {
		return fmt.Errorf("%s: %w", key, meta.ErrNoQuota)
	}
	return a.printQuotas(ctx, v, map[meta.QuotaKey]meta.Quota{key: q})
}

func (a *app) quotaDelete(ctx context.Context, v *meta.Volume, set *pflag.FlagSet, o *quotaOptions) error {
	o.create = false
	key, err := o.named(ctx, v, set)
	if err != nil {
		return err
	}
	return v.DeleteQuota(ctx, key)
}

func (a *app) quotaList(ctx context.Context, v *meta.Volume, _ *pflag.FlagSet, _ *quotaOptions) error {
	all, err := v.Quotas(ctx)
	if err != nil {
		return err
	}
	return a.printQuotas(ctx, v, all)
}

func (a *app) quotaCheck(ctx context.Context, v *meta.Volume, set *pflag.FlagSet, o *quotaOptions) error {
	o.create = false
	key, ok, err := o.target(ctx, v, set)
	if err != nil {
		return err
	}
	var keys []meta.QuotaKey
	if ok {
		keys = []meta.QuotaKey{key}
	}
	checks, err := v.CheckQuotas(ctx, keys, o.repair, o.strict)
	wrong := 0
	for _, c := range checks {
		name, nerr := quotaName(ctx, v, c.Key)
		if nerr != nil {
			return nerr
		}
		switch {
		case c.OK():
			a.log.Info(fmt.Sprintf("quota of %s is consistent", name))
			continue
		case !c.Repaired:
			wrong++
		}
		a.log.Warn(fmt.Sprintf("quota of %s is charged with %d bytes and %d inodes, but there are %d and %d",
			name, c.Stored.UsedSpace, c.Stored.UsedInodes, c.Space, c.Inodes), "repaired", c.Repaired)
	}
	if err == nil && wrong > 0 {
		err = fmt.Errorf("%d of %d quotas are charged wrongly: run the check with --repair", wrong, len(checks))
	}
	return err
}

// quotaName is what a quota is called in tables: the path of its directory, or uid:N or gid:N.
func quotaName(ctx context.Context, v *meta.Volume, key meta.QuotaKey) (string, error) {
	switch key.Kind {
	case meta.QuotaUser:
		return fmt.Sprintf("uid:%d", key.ID), nil
	case meta.QuotaGroup:
		return fmt.Sprintf("gid:%d", key.ID), nil
	}
	paths, err := v.Paths(ctx, meta.Ino(key.ID))
	if err != nil && !errors.Is(err, posix.ENOENT) {
		return "", err
	}
	if len(paths) == 0 {
		return fmt.Sprintf("inode:%d", key.ID), nil
	}
	return paths[0], nil
}

func (a *app) printQuotas(ctx context.Context, v *meta.Volume, all map[meta.QuotaKey]meta.Quota) error {
	g := grid{head: []string{"Path/ID", "Size", "Used", "Use%", "Inodes", "IUsed", "IUse%"}, left: []int{0}}
	for key, q := range all {
		if key.Kind != meta.QuotaDir && q.MaxSpace <= 0 && q.MaxInodes <= 0 && len(all) > 1 {
			continue // usage is counted for every user and group, whether it is limited or not
		}
		name, err := quotaName(ctx, v, key)
		if err != nil {
			return err
		}
		size, used := limitCells(q.MaxSpace, q.UsedSpace, tenths)
		inodes, iused := limitCells(q.MaxInodes, q.UsedInodes, grouped)
		g.add(name, size, tenths(q.UsedSpace), used, inodes, grouped(q.UsedInodes), iused)
	}
	slices.SortFunc(g.rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return g.print(a.out)
}

// limitCells prints a limit, and the used share of it.
func limitCells(most, used int64, form func(int64) string) (limit, share string) {
	if most <= 0 {
		return "unlimited", ""
	}
	return form(most), fmt.Sprintf("%.0f%%", float64(used)/float64(most)*100)
}
