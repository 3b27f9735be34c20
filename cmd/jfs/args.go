package main

import "strings"

// flagKinds says of the long names of flags whether they need a value; "o" and other short names are in it too.
type flagKinds map[string]bool

// rewriteArgs turns long options that were given with one dash (-cache-dir X, -cache-size=1G), as people are
// used to, into those with two. The values of flags, and everything behind "--", stay as they are.
func rewriteArgs(args []string, known flagKinds) []string {
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...)
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		takes, isFlag := known[name]
		if len(arg) > 2 && arg[0] == '-' && arg[1] != '-' && len(name) > 1 && isFlag {
			arg = "-" + arg
		}
		out = append(out, arg)
		if arg[:min(1, len(arg))] == "-" && isFlag && takes && !hasValue && i+1 < len(args) {
			i++
			out = append(out, args[i])
		}
	}
	return out
}
