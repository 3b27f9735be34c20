package profiles

import "strings"

// Rooms of what is not a room of this program.
const (
	roomGC        = "(garbage collection)"
	roomScheduler = "(scheduler)"
	roomFUSE      = "(go-fuse)"
	roomRuntime   = "(runtime)"
)

// module is the name of this program's module, whose packages are its rooms.
const module = "jfs/"

// packageOf gives the path of the package that a function is in.
func packageOf(function string) string {
	if i := strings.IndexByte(function, '['); i >= 0 { // type parameters may hold paths
		function = function[:i]
	}
	slash := strings.LastIndexByte(function, '/') + 1
	if dot := strings.IndexByte(function[slash:], '.'); dot >= 0 {
		return function[:slash+dot]
	}
	return function
}

// room gives the room of a function: a package of this program without its module, "" for anything else.
func room(function string) string {
	path := packageOf(function)
	if path == "main" {
		return "cmd/jfs"
	}
	rest, ok := strings.CutPrefix(path, module)
	if !ok {
		return ""
	}
	return rest
}

// owner says which room a stack belongs to, and which function of it: the innermost function of this program, because
// that one has chosen to call what lies below. The stack begins with its leaf.
func owner(stack []string) (in, function string) {
	for _, name := range stack {
		if strings.HasPrefix(name, "runtime.gcAssist") || strings.HasPrefix(name, "runtime.gcBgMark") || strings.HasPrefix(name, "runtime.bgsweep") ||
			strings.HasPrefix(name, "runtime.bgscavenge") {
			return roomGC, name
		}
		if in := room(name); in != "" {
			return in, name
		}
	}
	for _, name := range stack {
		switch {
		case name == "runtime.schedule" || name == "runtime.findRunnable" || name == "runtime.mcall" || name == "runtime.mstart":
			return roomScheduler, stack[0]
		case strings.HasPrefix(name, "github.com/hanwen/go-fuse/"):
			return roomFUSE, name
		}
	}
	if len(stack) == 0 {
		return roomRuntime, ""
	}
	if path := packageOf(stack[0]); !standard(path) {
		return "(" + path + ")", stack[0]
	}
	for _, name := range stack {
		if path := packageOf(name); !standard(path) {
			return "(" + path + ")", name
		}
	}
	return roomRuntime, stack[0]
}

// standard says whether a package is of the standard library, whose paths have no domain.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// short makes the name of a function fit: without its path, and without numbers of type parameters.
func short(function string) string {
	head, _, generic := strings.Cut(function, "[")
	if generic {
		if i := strings.LastIndexByte(function, ']'); i >= 0 {
			head += "[…]" + function[i+1:]
		}
	}
	if i := strings.LastIndexByte(head, '/'); i >= 0 {
		head = head[i+1:]
	}
	return head
}
