package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/meta"
)

// release is the number of this version.
const release = "0.1.0"

// version names the commit that was built; the linker sets it where the build does not know by itself.
var version string

func (a *app) addVersion(root *cobra.Command) error {
	return addCommand(a, root, command[struct{}]{
		use:   "version",
		short: "print the version",
		run: func(context.Context, *pflag.FlagSet, *struct{}, []string) error {
			return a.printVersion()
		},
	})
}

func (a *app) printVersion() error {
	info, _ := debug.ReadBuildInfo()
	_, err := fmt.Fprintf(a.out, "jfs version %s\n", versionText(info, version))
	return err
}

// versionText gives "0.1.0+2026-11-23.abc1234", as far as day and commit are known.
func versionText(info *debug.BuildInfo, linked string) string {
	var day, commit string
	if info != nil {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				commit = s.Value[:min(7, len(s.Value))]
			case "vcs.time":
				day, _, _ = strings.Cut(s.Value, "T")
			}
		}
	}
	if commit == "" {
		commit = strings.TrimPrefix(linked, "v")
	}
	build := strings.Trim(day+"."+commit, ".")
	if build == "" {
		return release
	}
	return release + "+" + build
}

// sessionVersion is the version in this client's sessions. Official clients compare it with the limits of the
// volume, so it begins with the version whose rules are followed here.
func sessionVersion() string { return meta.CompatVersion + "+jfs-" + release }
