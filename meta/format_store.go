package meta

import (
	"context"
	"errors"
	"fmt"
)

// Load reads the format of the volume in a database; ErrNotFormatted if it holds none.
func Load(ctx context.Context, engine Engine) (Format, error) {
	var b []byte
	err := engine.View(ctx, Want{}, func(r Reader) (err error) {
		b, err = r.Setting()
		return err
	})
	switch {
	case err != nil:
		return Format{}, fmt.Errorf("load volume setting: %w", err)
	case b == nil:
		return Format{}, ErrNotFormatted
	}
	return DecodeFormat(b)
}

// Create stores a new volume: its format, the root and the trash. It refuses a database that holds one, unless
// the two have the same UUID.
func Create(ctx context.Context, engine Engine, f Format, now Time) error {
	if err := engine.Init(ctx); err != nil {
		return fmt.Errorf("prepare database: %w", err)
	}
	return store(ctx, engine, f, now, true)
}

// Store replaces the format of an existing volume, and makes the trash if it is used from now on.
func Store(ctx context.Context, engine Engine, f Format, now Time) error {
	return store(ctx, engine, f, now, false)
}

// Edit changes the format of an existing volume: edit gets it as it is stored, and an error if a secret in it is missing
// (ErrSecretRemoved), and may be called again. Nothing that another client changes meanwhile is lost.
func Edit(ctx context.Context, engine Engine, now Time, edit func(f *Format, missing error) error) (Format, error) {
	var f Format
	now.Nsec = 0 // as the format has it for the root and the trash
	err := engine.Update(ctx, Want{Attrs: []Ino{TrashIno}}, func(tx Tx) error {
		b, err := tx.Setting()
		switch {
		case err != nil:
			return err
		case b == nil:
			return ErrNotFormatted
		}
		f, err = DecodeFormat(b)
		if err != nil && !errors.Is(err, ErrSecretRemoved) {
			return err
		}
		if err := edit(&f, err); err != nil {
			return err
		}
		return setFormat(tx, &f, now)
	})
	return f, err
}

func store(ctx context.Context, engine Engine, f Format, now Time, create bool) error {
	now.Nsec = 0 // as the format has it for the root and the trash
	return engine.Update(ctx, Want{Attrs: []Ino{RootIno, TrashIno}}, func(tx Tx) error {
		old, err := tx.Setting()
		if err != nil {
			return err
		}
		if create && old != nil {
			return errors.New("the database holds a volume already")
		}
		if create {
			if err := addIfAbsent(tx, RootIno, topDir(0777, now)); err != nil {
				return err
			}
			if f.DirStats {
				// Without it, the first who has something to add counts the entries, and with them those that other
				// clients add again.
				tx.SetDirStat(RootIno, DirStat{})
			}
		}
		return setFormat(tx, &f, now)
	})
}

// setFormat writes the format, and makes the trash if it is used from now on.
func setFormat(tx Tx, f *Format, now Time) error {
	b, err := f.Encode()
	if err != nil {
		return err
	}
	tx.SetSetting(b)
	if f.TrashDays > 0 {
		return addIfAbsent(tx, TrashIno, topDir(0555, now))
	}
	return nil
}

// topDir is the attribute of the root and of the trash in a new volume.
func topDir(mode uint16, now Time) Attr {
	return Attr{Type: TypeDirectory, Mode: mode, Atime: now, Mtime: now, Ctime: now, Nlink: 2, Length: 4096, Parent: RootIno}
}

func addIfAbsent(tx Tx, ino Ino, a Attr) error {
	_, ok, err := tx.Attr(ino)
	if err == nil && !ok {
		tx.SetAttr(ino, &a)
	}
	return err
}
