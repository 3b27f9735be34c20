package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// helperArgs gives the arguments behind the program's name. When mount(8) has started the program, as mount.jfs or
// mount.juicefs or through mount.fuse, it turns mount(8)'s arguments into those of the command mount:
//
//	mount.jfs META-URL MOUNTPOINT [-sfnvrw] [-N namespace] [-t type] [-o options]
//
// fake says that nothing is to be done (mount -f).
func helperArgs(args []string) (words []string, fake bool, err error) {
	if len(args) == 0 {
		return nil, false, errors.New("the program was started without its name")
	}
	name, rest := filepath.Base(args[0]), args[1:]
	if !strings.HasPrefix(name, "mount.") && (len(rest) < 2 || !strings.Contains(rest[0], "://")) {
		return rest, false, nil
	}
	words = []string{"mount", "-d"}
	var places []string
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			places = append(places, arg)
			continue
		}
		if strings.HasPrefix(arg, "--") {
			return nil, false, fmt.Errorf("unknown option %s: options of the mount go into -o, without dashes", arg)
		}
		for letters := arg[1:]; letters != ""; {
			letter := letters[0]
			letters = letters[1:]
			switch letter {
			case 'f':
				fake = true
			case 'v':
				words = append(words, "--verbose")
			case 'r':
				words = append(words, "--read-only")
			case 'n', 's', 'w': // no /etc/mtab, tolerate unknown options, writable: nothing to do
			case 'o', 'N', 't':
				if letters == "" {
					if len(rest) == 0 {
						return nil, false, fmt.Errorf("option -%c needs a value", letter)
					}
					letters, rest = rest[0], rest[1:]
				}
				if letter == 'o' {
					words = append(words, "-o", letters)
				}
				letters = ""
			default:
				return nil, false, fmt.Errorf("unknown option -%c: usage is %s META-URL MOUNTPOINT [-sfnvrw] [-o options]", letter, name)
			}
		}
	}
	if len(places) != 2 {
		return nil, false, fmt.Errorf("%d arguments besides options: usage is %s META-URL MOUNTPOINT [-o options]", len(places), name)
	}
	return append(append(words, "--"), places...), fake, nil
}

// forMount8 are words that fstab has for mount(8) and systemd.
func forMount8(word string) bool {
	name, _, _ := strings.Cut(word, "=")
	if strings.HasPrefix(word, "x-") || strings.HasPrefix(word, "X-") || name == "comment" {
		return true
	}
	return slices.Contains([]string{
		"_netdev", "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "rw", "mand", "nomand",
		"loud", "silent", "iversion", "noiversion", "lazytime", "nolazytime", "norelatime",
	}, word)
}

// applyWords takes the flags of the command, which stand without dashes in -o, out of it. What FUSE is to be told
// stays.
func applyWords(set *pflag.FlagSet, flags mountTable, opt *mountOptions) error {
	lists := opt.fuse
	opt.fuse = nil
	for _, list := range lists {
		for word := range strings.SplitSeq(list, ",") {
			name, value, hasValue := strings.Cut(strings.TrimSpace(word), "=")
			switch {
			case name == "" || forMount8(word):
			case word == "ro":
				if err := set.Set("read-only", "true"); err != nil {
					return err
				}
			case name == "remount":
				return errors.New("a mount cannot be changed: unmount it and mount it again instead of -o remount")
			case name != "o" && flags.has(name), name == "no-agent":
				f := set.Lookup(name)
				if !hasValue {
					value = f.NoOptDefVal
				}
				if !hasValue && value == "" {
					return fmt.Errorf("option %s in -o needs a value: write %s=VALUE", name, name)
				}
				if err := set.Set(name, value); err != nil {
					return fmt.Errorf("option %s in -o: %w", name, err)
				}
			default:
				opt.fuse = append(opt.fuse, word)
			}
		}
	}
	return nil
}
