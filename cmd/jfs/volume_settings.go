package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"jfs/internal/units"
	"jfs/meta"
)

// change is a setting of a volume that gets another value.
type change struct{ name, from, to string }

func (c change) String() string { return c.name + ": " + c.from + " -> " + c.to }

// applySettings puts the flags that were given into the format, and tells what that changes.
func applySettings(f *meta.Format, set *pflag.FlagSet, o *volumeOptions) ([]change, error) {
	var changes []change
	text := func(name string, field *string, value string) {
		if set.Changed(name) && *field != value {
			changes = append(changes, change{name, orNone(*field), orNone(value)})
			*field = value
		}
	}
	secret := func(name string, field *string, value string) {
		if set.Changed(name) && *field != value {
			changes = append(changes, change{name, hidden(*field), hidden(value)})
			*field = value
		}
	}
	before := f.Storage
	text("storage", &f.Storage, strings.ToLower(o.storage))
	if set.Changed("bucket") || f.Storage != before {
		bucket, err := bucketOf(f.Storage, o.bucket, set.Changed("bucket"))
		if err != nil {
			return nil, err
		}
		if bucket != f.Bucket {
			changes = append(changes, change{"bucket", f.Bucket, bucket})
			f.Bucket = bucket
		}
	}
	text("access-key", &f.AccessKey, o.accessKey)
	secret("secret-key", &f.SecretKey, o.secretKey)
	secret("session-token", &f.SessionToken, o.sessionToken)
	if set.Changed("storage-class") && f.StorageClass != o.storageClass {
		text("storage-class", &f.StorageClass, o.storageClass)
		setFirstTier(f)
	}
	if set.Changed("capacity") && f.Capacity != o.capacity {
		changes = append(changes, change{"capacity", limitText(f.Capacity), limitText(o.capacity)})
		f.Capacity = o.capacity
	}
	if set.Changed("inodes") && f.Inodes != o.inodes {
		changes = append(changes, change{"inodes", fmt.Sprint(f.Inodes), fmt.Sprint(o.inodes)})
		f.Inodes = o.inodes
	}
	if set.Changed("trash-days") && f.TrashDays != o.trashDays {
		changes = append(changes, change{"trash-days", fmt.Sprint(f.TrashDays), fmt.Sprint(o.trashDays)})
		f.TrashDays = o.trashDays
	}
	switch {
	case o.enableACL && !f.EnableACL:
		version := f.MinClientVersion
		f.TurnOnACL()
		changes = append(changes, change{"enable-acl", "false", "true"})
		if f.MinClientVersion != version {
			changes = append(changes, change{"min-client-version", orNone(version), f.MinClientVersion})
		}
	case set.Changed("enable-acl") && !o.enableACL && f.EnableACL:
		return nil, errors.New("--enable-acl=false: access control lists cannot be turned off")
	}
	return changes, nil
}

// notNewer refuses to change settings whose meaning this version cannot know.
func notNewer(f *meta.Format) error {
	if own := meta.NewFormat("", "").MetaVersion; f.MetaVersion > own {
		return fmt.Errorf("volume %s has metadata version %d, this client supports up to %d: upgrade the client", f.Name, f.MetaVersion, own)
	}
	return nil
}

// setFirstTier keeps tier 0, from which newer official clients take the storage class, the same as the old field.
func setFirstTier(f *meta.Format) {
	tiers := map[string]meta.Tier{}
	for id, t := range f.Tiers {
		tiers[id] = t
	}
	first := tiers["0"]
	first.StorageClass = f.StorageClass
	tiers["0"] = first
	f.Tiers = tiers
}

// touchesStore says whether a change is one of how the objects are reached.
func touchesStore(changes []change) bool {
	for _, c := range changes {
		switch c.name {
		case "storage", "bucket", "access-key", "secret-key", "session-token", "storage-class":
			return true
		}
	}
	return false
}

// bucketOf gives the bucket as it is stored. That of a local directory is absolute and ends in a slash.
func bucketOf(storage, bucket string, given bool) (string, error) {
	if storage != "file" {
		if !given || bucket == "" {
			return "", fmt.Errorf("storage %s needs a bucket: give its address with --bucket", storage)
		}
		return bucket, nil
	}
	if !given {
		place, err := ownPlace(defaultBucket, ".juicefs/local")
		if err != nil {
			return "", err
		}
		bucket = place
	}
	dir, err := absolute(bucket)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(dir, "/") + "/", nil
}

// absolute resolves a path that people give: relative, or with ~ where no shell has replaced it.
func absolute(path string) (string, error) {
	if path == "" {
		return "", errors.New("the path of a directory is empty")
	}
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/') {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("resolve %s: %w", path, err)
		}
		path = filepath.Join(home, rest)
	}
	return filepath.Abs(path)
}

// ownPlace is a default place: that of the superuser, or one below the home directory of others.
func ownPlace(root, own string) (string, error) {
	if os.Geteuid() == 0 {
		return root, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the home directory: %w", err)
	}
	return filepath.Join(home, own), nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func hidden(s string) string {
	if s == "" {
		return "none"
	}
	return "****"
}

func limitText(n uint64) string {
	if n == 0 {
		return "no limit"
	}
	return units.FormatShort(n)
}
