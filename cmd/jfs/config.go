package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/maintain"
	"jfs/meta"
)

func (a *app) addConfig(root *cobra.Command) error {
	return addCommand(a, root, command[configOptions]{
		use:   "config META-URL",
		short: "show the settings of a volume, or change them",
		args:  1,
		flags: configFlags(),
		run: func(ctx context.Context, set *pflag.FlagSet, opt *configOptions, args []string) error {
			return a.config(ctx, set, opt, args[0])
		},
	})
}

func (a *app) config(ctx context.Context, set *pflag.FlagSet, opt *configOptions, url string) error {
	engine, err := a.openMeta(ctx, url)
	if err != nil {
		return err
	}
	defer func() {
		if err := engine.Close(); err != nil {
			a.log.Warn("close database", "err", err)
		}
	}()
	f, err := a.loadFormat(ctx, engine, url)
	removed := err // secrets that a dump has left out can be set here
	if err != nil && !errors.Is(err, meta.ErrSecretRemoved) {
		return err
	}
	if len(configFlags().given(set, "yes", "force")) == 0 {
		return a.printJSON(f.WithoutSecrets())
	}
	if set.Changed("storage") || set.Changed("bucket") { // keys of the environment are for another store only
		if err := configFlags().fromEnv(set, a.getenv); err != nil {
			return err
		}
	}
	changes, err := configure(&f, removed, set, opt)
	if err != nil {
		return err
	}
	if touchesStore(changes) && !opt.force {
		store, err := a.setupStore(ctx, f)
		if err != nil {
			return err
		}
		if err := checkStore(ctx, store); err != nil {
			return fmt.Errorf("%w; use --force to change the settings nevertheless", err)
		}
	}
	if len(changes) > 0 {
		// What somebody else has changed meanwhile stays.
		f, err = meta.Edit(ctx, engine, meta.TimeOf(time.Now()), func(f *meta.Format, removed error) (err error) {
			changes, err = configure(f, removed, set, opt)
			return err
		})
		if err != nil {
			return fmt.Errorf("store the settings: %w", err)
		}
	}
	on, err := a.turnOn(ctx, engine, f, opt)
	if err != nil {
		return err
	}
	changes = append(changes, on...)
	if len(changes) == 0 {
		a.log.Warn("nothing changed")
		return nil
	}
	for _, c := range changes {
		if _, err := fmt.Fprintln(a.out, c); err != nil {
			return err
		}
	}
	return nil
}

// configure puts the flags that were given into the format, and tells what that changes.
func configure(f *meta.Format, removed error, set *pflag.FlagSet, opt *configOptions) ([]change, error) {
	if err := notNewer(f); err != nil {
		return nil, err
	}
	changes, err := applySettings(f, set, &opt.volumeOptions)
	if err != nil {
		return nil, err
	}
	more, err := applyConfig(f, set, opt)
	if err != nil {
		return nil, err
	}
	if err := f.Check(); err != nil {
		return nil, err
	}
	if removed != nil && !set.Changed("secret-key") && !set.Changed("session-token") {
		return nil, fmt.Errorf("%w: give --secret-key or --session-token", removed)
	}
	return append(changes, more...), nil
}

// turnOn turns on what has to be counted first.
func (a *app) turnOn(ctx context.Context, engine meta.Engine, f meta.Format, o *configOptions) (changes []change, err error) {
	owners := o.ownerQuota && !f.UserGroupQuota
	stats := o.dirStats && !f.DirStats
	if !owners && !stats {
		return nil, nil
	}
	if stats {
		_, err := meta.Edit(ctx, engine, meta.TimeOf(time.Now()), func(f *meta.Format, removed error) error {
			f.DirStats = true
			return removed
		})
		if err != nil {
			return nil, fmt.Errorf("store the settings: %w", err)
		}
	}
	v, err := meta.Open(ctx, engine, meta.Options{Log: a.log, SkipDirMtime: -1})
	if err != nil {
		return nil, err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		err = errors.Join(err, v.Close(end))
	}()
	if stats {
		// What the database holds of an earlier time is not true any more.
		told, m := a.progress()
		_, err := maintain.CheckTree(ctx, v, meta.RootIno, maintain.TreeOptions{Recursive: true, Repair: true, SyncDirStat: true, Progress: told, Log: a.log})
		m.end()
		if err != nil {
			return nil, fmt.Errorf("count what directories hold: %w; run \"jfs fsck --path / --recursive --repair --sync-dir-stat\"", err)
		}
		changes = append(changes, change{"dir-stats", "false", "true"})
	}
	if owners {
		if err := v.EnableOwnerQuotas(ctx); err != nil {
			return changes, fmt.Errorf("count what users and groups own: %w", err)
		}
		changes = append(changes, change{"user-group-quota", "false", "true"})
	}
	return changes, nil
}

// versionForm is that of the limits: major[.minor[.patch]][-pre].
func versionForm() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,2}(-[0-9A-Za-z.]+)?$`)
}

// applyConfig puts those flags into the format that only config has.
func applyConfig(f *meta.Format, set *pflag.FlagSet, o *configOptions) ([]change, error) {
	var changes []change
	number := func(name string, field *int64, value int64) {
		if set.Changed(name) && *field != value {
			changes = append(changes, change{name, fmt.Sprintf("%d Mbps", *field), fmt.Sprintf("%d Mbps", value)})
			*field = value
		}
	}
	number("upload-limit", &f.UploadLimit, o.uploadLimit)
	number("download-limit", &f.DownloadLimit, o.downloadLimit)
	for _, v := range []struct {
		name  string
		field *string
		value string
	}{
		{"min-client-version", &f.MinClientVersion, o.minVersion},
		{"max-client-version", &f.MaxClientVersion, o.maxVersion},
	} {
		if !set.Changed(v.name) || *v.field == v.value {
			continue
		}
		if v.value != "" && !versionForm().MatchString(v.value) {
			return nil, fmt.Errorf("--%s %q is not a version such as 1.2.0", v.name, v.value)
		}
		changes = append(changes, change{v.name, orNone(*v.field), orNone(v.value)})
		*v.field = v.value
	}
	for _, v := range []struct {
		name  string
		field *bool
		value bool
	}{
		{"dir-stats", &f.DirStats, o.dirStats},
		{"changelog", &f.ChangeLog, o.changeLog},
		{"user-group-quota", &f.UserGroupQuota, o.ownerQuota},
	} {
		if !set.Changed(v.name) || *v.field == v.value {
			continue
		}
		if v.value && v.name != "changelog" {
			continue // see turnOn
		}
		if v.value {
			return nil, errors.New("--" + v.name + " cannot be turned on by this version yet, only off")
		}
		changes = append(changes, change{v.name, "true", "false"})
		*v.field = false
	}
	return changes, nil
}
