package main

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"jfs/fs/mount"
)

// nobody is the user and the group that have no rights of their own.
const nobody = 65534

// identityValue is a user with a group as numbers, UID:GID. What is left out of it is nobody.
type identityValue struct{ to **mount.Identity }

func (v identityValue) Set(s string) error {
	id := mount.Identity{UID: nobody, GID: nobody}
	uid, gid, _ := strings.Cut(strings.TrimSpace(s), ":")
	for _, part := range []struct {
		text string
		to   *uint32
	}{{uid, &id.UID}, {gid, &id.GID}} {
		if part.text == "" {
			continue
		}
		n, err := strconv.ParseUint(part.text, 10, 32)
		if err != nil {
			return fmt.Errorf("%q is not a user and group: give numbers as in 65534:65534", s)
		}
		*part.to = uint32(n)
	}
	*v.to = &id
	return nil
}

func (v identityValue) String() string {
	if *v.to == nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", (*v.to).UID, (*v.to).GID)
}
func (v identityValue) Type() string { return "UID:GID" }

// umaskValue is a mask of permission bits in octal that may be missing.
type umaskValue struct{ to **uint16 }

func (v umaskValue) Set(s string) error {
	var m fs.FileMode
	if err := (modeValue{&m}).Set(s); err != nil {
		return err
	}
	n := uint16(m)
	*v.to = &n
	return nil
}

func (v umaskValue) String() string {
	if *v.to == nil {
		return ""
	}
	return fmt.Sprintf("%#o", **v.to)
}
func (v umaskValue) Type() string { return "mask" }

var (
	_ pflag.Value = identityValue{}
	_ pflag.Value = umaskValue{}
)
