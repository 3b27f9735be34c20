package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/internal/units"
	"jfs/meta"
	"jfs/object"
)

func (a *app) addFormat(root *cobra.Command) error {
	return addCommand(a, root, command[formatOptions]{
		use:   "format META-URL NAME",
		short: "make a volume, or change the settings of one",
		args:  2,
		flags: formatFlags(),
		run: func(ctx context.Context, set *pflag.FlagSet, opt *formatOptions, args []string) error {
			return a.format(ctx, set, opt, args[0], args[1])
		},
	})
}

func (a *app) format(ctx context.Context, set *pflag.FlagSet, opt *formatOptions, url, name string) error {
	engine, err := a.openMeta(ctx, url)
	if err != nil {
		return err
	}
	defer func() {
		if err := engine.Close(); err != nil {
			a.log.Warn("close database", "err", err)
		}
	}()
	f, err := meta.Load(ctx, engine)
	if err != nil || set.Changed("storage") || set.Changed("bucket") { // keys of the environment are for a new store
		if err := formatFlags().fromEnv(set, a.getenv); err != nil {
			return err
		}
	}
	switch {
	case errors.Is(err, meta.ErrNotFormatted):
		f, err = a.formatNew(ctx, engine, set, opt, name)
	case err == nil && opt.noUpdate:
		a.log.Info("the volume exists and is left as it is", "name", f.Name)
	case err == nil:
		f, err = a.formatAgain(ctx, engine, f, set, opt, name)
	}
	if err != nil {
		return err
	}
	b, err := json.Marshal(f.WithoutSecrets())
	if err != nil {
		return err
	}
	a.log.Info("Volume is formatted as " + string(b))
	return nil
}

// formatNew makes a volume: first the mark in the store, then the metadata.
func (a *app) formatNew(ctx context.Context, engine meta.Engine, set *pflag.FlagSet, opt *formatOptions, name string) (f meta.Format, err error) {
	f = meta.NewFormat(name, uuid.NewString())
	if err := layoutOf(&f, set, opt, true); err != nil {
		return f, err
	}
	if err := encryption(&f, opt); err != nil {
		return f, err
	}
	if _, err := applySettings(&f, set, &opt.volumeOptions); err != nil {
		return f, err
	}
	if f.Bucket, err = bucketOf(f.Storage, opt.bucket, set.Changed("bucket")); err != nil {
		return f, err
	}
	if err := f.Check(); err != nil {
		return f, err
	}
	store, err := a.setupStore(ctx, f)
	if err != nil {
		return f, err
	}
	if a.getenv(envNoCheck) == "" {
		if err := checkStore(ctx, store); err != nil {
			return f, err
		}
	}
	err = checkEmpty(ctx, store)
	if isMissing(err) { // where the check was left out, or has not met the one of several buckets
		if err = store.Create(ctx); err == nil {
			err = checkEmpty(ctx, store)
		}
	}
	if err != nil {
		return f, err
	}
	if err := put(ctx, store, uuidObject, []byte(f.UUID)); err != nil {
		return f, fmt.Errorf("mark the store %s as used: %w", store, err)
	}
	if err := meta.Create(ctx, engine, f, meta.TimeOf(time.Now())); err != nil {
		// The mark of a volume that is not there would keep the next attempt from the store. ctx may be the cause.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if undo := store.Delete(clean, uuidObject); undo != nil {
			a.log.Warn("remove the mark from the store", "object", uuidObject, "err", undo)
		}
		return f, fmt.Errorf("create the volume: %w", err)
	}
	return f, nil
}

// setupStore opens the store of a volume for a command that somebody waits for.
func (a *app) setupStore(ctx context.Context, f meta.Format) (object.Store, error) {
	store, err := a.openStore(ctx, f, storeOptions{retry: object.RetryOptions{Attempts: setupTries}})
	if err != nil {
		return nil, err
	}
	a.log.Info("Data use " + store.String())
	return store, nil
}

// formatAgain changes the settings of a volume that exists.
func (a *app) formatAgain(ctx context.Context, engine meta.Engine, old meta.Format, set *pflag.FlagSet, opt *formatOptions, name string) (meta.Format, error) {
	f := old
	changes, err := reformat(&f, set, opt, name)
	if err != nil {
		return old, err
	}
	if touchesStore(changes) {
		store, err := a.setupStore(ctx, f)
		if err != nil {
			return old, err
		}
		if a.getenv(envNoCheck) == "" {
			if err := checkStore(ctx, store); err != nil {
				return old, err
			}
		}
	}
	f, err = meta.Edit(ctx, engine, meta.TimeOf(time.Now()), func(f *meta.Format, removed error) (err error) {
		changes, err = reformat(f, set, opt, name)
		return errors.Join(removed, err)
	})
	if err != nil {
		return old, fmt.Errorf("store the settings: %w", err)
	}
	for _, c := range changes {
		a.log.Info("change " + c.String())
	}
	return f, nil
}

// reformat puts the flags that were given into the format of a volume that exists, and tells what that changes.
func reformat(f *meta.Format, set *pflag.FlagSet, opt *formatOptions, name string) ([]change, error) {
	old := *f
	if err := notNewer(&old); err != nil {
		return nil, err
	}
	if name != old.Name {
		if !opt.force {
			return nil, fmt.Errorf("the database holds volume %s already: give that name, or use another database", old.Name)
		}
		f.Name = name
	}
	if err := layoutOf(f, set, opt, false); err != nil {
		return nil, err
	}
	if !opt.force {
		if err := sameLayout(&old, f); err != nil {
			return nil, err
		}
	}
	changes, err := applySettings(f, set, &opt.volumeOptions)
	if err != nil {
		return nil, err
	}
	return changes, f.Check()
}

// layoutOf puts the flags that decide how data is laid out into the format: all of them into a new one, else
// those that were given.
func layoutOf(f *meta.Format, set *pflag.FlagSet, opt *formatOptions, all bool) error {
	if all || set.Changed("block-size") {
		if opt.blockSize%units.KiB != 0 {
			return fmt.Errorf("invalid block size %d bytes: it must be a whole number of KiB", opt.blockSize)
		}
		f.BlockSize = int(opt.blockSize / units.KiB)
	}
	if all || set.Changed("compress") {
		f.Compression = opt.compress
	}
	if all || set.Changed("shards") {
		f.Shards = opt.shards
	}
	if all || set.Changed("hash-prefix") {
		f.HashPrefix = opt.hashPrefix
	}
	return nil
}

// encryption takes the key with which a new volume's data is to be encrypted.
func encryption(f *meta.Format, opt *formatOptions) error {
	f.EncryptAlgo = opt.encryptAlgo
	if opt.encryptKey == "" {
		return nil
	}
	key, err := os.ReadFile(opt.encryptKey)
	if err != nil {
		return fmt.Errorf("private key for encryption: %w", err)
	}
	f.EncryptKey = string(key)
	return nil
}

// sameLayout refuses changes after which the objects of a volume would not be found.
func sameLayout(old, f *meta.Format) error {
	for _, c := range []change{
		{"block-size", fmt.Sprintf("%d KiB", old.BlockSize), fmt.Sprintf("%d KiB", f.BlockSize)},
		{"compress", orNone(old.Compression), orNone(f.Compression)},
		{"shards", fmt.Sprint(max(old.Shards, 1)), fmt.Sprint(max(f.Shards, 1))},
		{"hash-prefix", fmt.Sprint(old.HashPrefix), fmt.Sprint(f.HashPrefix)},
	} {
		if c.from != c.to {
			return fmt.Errorf("--%s of volume %s cannot change from %s to %s: its data would not be found any more", c.name, old.Name, c.from, c.to)
		}
	}
	return nil
}
