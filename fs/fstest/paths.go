package fstest

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var pathCases = cases{
	{"errors", pathErrors}, {"exists", pathExists}, {"limits", pathLimits}, {"rights", pathRights}, {"fault", pathFault},
}

// call is a system call that takes a path.
type call struct {
	name    string
	kind    string // what is to be at the path: file, dir, symlink; none: nothing; any: nothing needs to
	makes   bool   // fails if something is there
	follows bool   // a symlink at the end
	writes  bool   // changes the directory
	// do gets the path and a directory in which a file "other" is, and "new" is not.
	do func(path, aside string) error
}

var calls = []call{
	{"open", "file", false, true, false, func(p, _ string) error { return openErr(p, unix.O_RDONLY) }},
	{"open-write", "file", false, true, false, func(p, _ string) error { return openErr(p, unix.O_RDWR) }},
	{"open-trunc", "file", false, true, false, func(p, _ string) error { return openErr(p, unix.O_WRONLY|unix.O_TRUNC) }},
	{"open-path", "file", false, true, false, func(p, _ string) error { return openErr(p, unix.O_PATH) }},
	{"opendir", "dir", false, true, false, func(p, _ string) error { return openErr(p, unix.O_RDONLY|unix.O_DIRECTORY) }},
	{"create", "none", true, false, true, func(p, _ string) error { return openErr(p, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL) }},
	{"mkdir", "none", true, false, true, func(p, _ string) error { return unix.Mkdir(p, 0755) }},
	{"mkfifo", "none", true, false, true, func(p, _ string) error { return unix.Mkfifo(p, 0644) }},
	{"mknod-file", "none", true, false, true, func(p, _ string) error { return unix.Mknod(p, unix.S_IFREG|0644, 0) }},
	{"mknod-socket", "none", true, false, true, func(p, _ string) error { return unix.Mknod(p, unix.S_IFSOCK|0644, 0) }},
	{"symlink", "none", true, false, true, func(p, _ string) error { return unix.Symlink("target", p) }},
	{"link-from", "file", false, false, false, func(p, aside string) error { return unix.Link(p, aside+"new") }},
	{"link-to", "none", true, false, true, func(p, aside string) error { return unix.Link(aside+"other", p) }},
	{"unlink", "file", false, false, true, func(p, _ string) error { return unix.Unlink(p) }},
	{"rmdir", "dir", false, false, true, func(p, _ string) error { return unix.Rmdir(p) }},
	{"rename-from", "file", false, false, true, func(p, aside string) error { return unix.Rename(p, aside+"new") }},
	{"rename-to", "any", false, false, true, func(p, aside string) error { return unix.Rename(aside+"other", p) }},
	{"rename-new", "none", true, false, true, func(p, aside string) error {
		return unix.Renameat2(unix.AT_FDCWD, aside+"other", unix.AT_FDCWD, p, unix.RENAME_NOREPLACE)
	}},
	{"exchange", "file", false, false, true, func(p, aside string) error {
		return unix.Renameat2(unix.AT_FDCWD, p, unix.AT_FDCWD, aside+"other", unix.RENAME_EXCHANGE)
	}},
	{"chmod", "file", false, true, false, func(p, _ string) error { return unix.Chmod(p, 0777) }},
	{"chown", "file", false, true, false, func(p, _ string) error { return unix.Chown(p, -1, -1) }},
	{"lchown", "file", false, false, false, func(p, _ string) error { return unix.Lchown(p, -1, -1) }},
	{"truncate", "file", false, true, false, func(p, _ string) error { return unix.Truncate(p, 10) }},
	{"utimens", "file", false, true, false, func(p, _ string) error { return unix.UtimesNanoAt(unix.AT_FDCWD, p, nil, 0) }},
	{"stat", "file", false, true, false, func(p, _ string) error { var st unix.Stat_t; return unix.Stat(p, &st) }},
	{"lstat", "file", false, false, false, func(p, _ string) error { var st unix.Stat_t; return unix.Lstat(p, &st) }},
	{"statfs", "file", false, true, false, func(p, _ string) error { var st unix.Statfs_t; return unix.Statfs(p, &st) }},
	{"access", "file", false, true, false, func(p, _ string) error { return unix.Access(p, unix.R_OK) }},
	{"readlink", "symlink", false, false, false, func(p, _ string) error { _, err := unix.Readlink(p, make([]byte, 100)); return err }},
	{"getxattr", "file", false, true, false, func(p, _ string) error { _, err := unix.Listxattr(p, nil); return err }},
}

// pathErrors: every call with paths that lead nowhere.
func pathErrors(b bed) {
	b.file("file", "", 0644)
	b.file("other", "", 0644)
	b.mkdir("dir", 0755)
	must(b.T, os.Symlink("loop", b.at("loop")))
	must(b.T, os.Symlink("loop2", b.at("loop1")))
	must(b.T, os.Symlink("loop1/x", b.at("loop2")))
	must(b.T, os.Symlink("gone", b.at("dangling")))
	long := strings.Repeat("n", 256)
	type wrong struct {
		name, path string
		want       syscall.Errno
	}
	for _, c := range calls {
		all := []wrong{
			{"below-a-file", b.at("file/x"), syscall.ENOTDIR},
			{"below-a-file-above", b.at("file/../x"), syscall.ENOTDIR},
			{"below-nothing", b.at("none/x"), syscall.ENOENT},
			{"below-a-dangling-symlink", b.at("dangling/x"), syscall.ENOENT},
			{"below-a-loop", b.at("loop/x"), syscall.ELOOP},
			{"below-two-loops", b.at("loop1/x"), syscall.ELOOP},
			{"empty", "", syscall.ENOENT},
			{"name-too-long", b.at(long), syscall.ENAMETOOLONG},
			{"below-a-name-too-long", b.at(long + "/x"), syscall.ENAMETOOLONG},
			{"path-too-long", b.dir + strings.Repeat("/.", (4096-len(b.dir))/2) + "/x", syscall.ENAMETOOLONG},
		}
		if !c.makes && c.kind != "any" {
			all = append(all, wrong{"missing", b.at("none"), syscall.ENOENT})
		}
		if c.follows {
			all = append(all, wrong{"loop", b.at("loop"), syscall.ELOOP}, wrong{"dangling", b.at("dangling"), syscall.ENOENT})
		}
		if c.kind == "file" && c.name != "unlink" && !strings.Contains(c.name, "rename") {
			all = append(all, wrong{"file-with-slash", b.at("file/"), syscall.ENOTDIR})
		}
		for _, w := range all {
			b.Run(c.name+"/"+w.name, func(t *testing.T) {
				wantErr(t, c.name, again(func() error { return c.do(w.path, b.at("")) }), w.want)
			})
		}
	}
	equal(b.T, "names that are there", strings.Join(names(b.T, b.dir), " "), ". .. dangling dir file loop loop1 loop2 other")
}

// pathExists: what makes a name fails where anything has it.
func pathExists(b bed) {
	b.file("other", "", 0644)
	b.ofKinds(func(sub bed, kind string, typ uint32, mk func(string) error) {
		must(sub.T, mk(sub.at("x")))
		for _, c := range calls {
			if c.makes {
				wantErr(sub.T, c.name, again(func() error { return c.do(sub.at("x"), b.at("")) }), syscall.EEXIST)
			}
		}
		equal(sub.T, "type", lstat(sub.T, sub.at("x")).Mode&unix.S_IFMT, typ)
	})
}

// set makes what a call wants to find.
func (c *call) set(b bed, dir, name string) {
	b.Helper()
	switch c.kind {
	case "file":
		b.file(dir+name, "text", 0666)
	case "dir":
		b.mkdir(dir+name, 0777)
	case "symlink":
		must(b.T, os.Symlink("target", b.at(dir+name)))
	}
}

// pathLimits: every call with the longest name and with the longest path.
func pathLimits(b bed) {
	for _, c := range calls {
		b.sub(c.name, func(b bed) {
			b.file("other", "", 0644)
			longest := strings.Repeat("n", 255)
			c.set(b, "", longest)
			b.no("longest name", again(func() error { return c.do(b.at(longest), b.at("")) }), 0)
		})
		b.sub(c.name+"-path", func(b bed) {
			b.file("other", "", 0644)
			n := 4095 - len(b.dir) // without the zero at the end
			name := "x"
			if n%2 != 0 {
				name = "xy"
			}
			c.set(b, "", name)
			path := b.dir + strings.Repeat("/.", (n-1-len(name))/2) + "/" + name
			b.no(fmt.Sprintf("path of %d bytes", len(path)), again(func() error { return c.do(path, b.at("")) }), 0)
		})
	}
}

// pathRights: each class of users by the right that a call needs in the directory, and the classes that are not the
// user's do not count.
func pathRights(b bed) {
	if !isRoot() {
		return // there is no other user to be
	}
	who := user{54321, 54321, []uint32{7001, 7002}}
	for _, class := range []struct {
		name     string
		uid, gid int
		shift    int
	}{{"owner", 54321, 54321, 6}, {"group", 1, 54321, 3}, {"supplementary", 1, 7002, 3}, {"other", 1, 1, 0}} {
		for _, given := range []bool{true, false} {
			b.sub(fmt.Sprintf("%s-%v", class.name, given), func(b bed) {
				b.mkdir("aside", 0777)
				for i, c := range calls {
					need := uint32(1)
					if c.writes {
						need = 3
					}
					mode := need << class.shift
					if !given {
						mode = 0777 &^ mode
					}
					dir := fmt.Sprint("d", i)
					b.mkdir(dir, 0700)
					c.set(b, dir+"/", "x")
					if c.kind != "none" && c.kind != "any" {
						must(b.T, unix.Lchown(b.at(dir+"/x"), who.uid, who.gid))
					}
					must(b.T, unix.Chown(b.at(dir), class.uid, class.gid))
					must(b.T, unix.Chmod(b.at(dir), mode))
					b.file(fmt.Sprint("aside/", i, "other"), "", 0666)
					must(b.T, unix.Chown(b.at(fmt.Sprint("aside/", i, "other")), who.uid, who.gid))
				}
				b.as(who, func() {
					for i, c := range calls {
						err := c.do(fmt.Sprint("d", i, "/x"), fmt.Sprint("aside/", i))
						want := syscall.Errno(0)
						if !given {
							want = syscall.EACCES
						}
						b.no(c.name, err, want)
					}
				})
			})
		}
	}
}

// pathFault: a path that is no address.
func pathFault(b bed) {
	at, bad := unix.AT_FDCWD, uintptr(1)
	for name, args := range map[string][5]uintptr{
		"open":     {unix.SYS_OPENAT, uintptr(at), bad, 0, 0},
		"mkdir":    {unix.SYS_MKDIRAT, uintptr(at), bad, 0755, 0},
		"mknod":    {unix.SYS_MKNODAT, uintptr(at), bad, unix.S_IFIFO | 0644, 0},
		"unlink":   {unix.SYS_UNLINKAT, uintptr(at), bad, 0, 0},
		"rmdir":    {unix.SYS_UNLINKAT, uintptr(at), bad, unix.AT_REMOVEDIR, 0},
		"rename":   {unix.SYS_RENAMEAT2, uintptr(at), bad, uintptr(at), bad},
		"link":     {unix.SYS_LINKAT, uintptr(at), bad, uintptr(at), bad},
		"symlink":  {unix.SYS_SYMLINKAT, bad, uintptr(at), bad, 0},
		"chmod":    {unix.SYS_FCHMODAT, uintptr(at), bad, 0755, 0},
		"chown":    {unix.SYS_FCHOWNAT, uintptr(at), bad, 0, 0},
		"truncate": {unix.SYS_TRUNCATE, bad, 0, 0, 0},
		"readlink": {unix.SYS_READLINKAT, uintptr(at), bad, bad, 100},
		"statfs":   {unix.SYS_STATFS, bad, bad, 0, 0},
	} {
		_, _, no := unix.Syscall6(args[0], args[1], args[2], args[3], args[4], 0, 0)
		equal(b.T, name, no, syscall.EFAULT)
	}
	f := open(b.T, b.at("f"), os.O_RDWR|os.O_CREATE)
	writeAt(b.T, f, 0, make([]byte, 100))
	for _, nr := range []uintptr{unix.SYS_PREAD64, unix.SYS_PWRITE64} {
		_, _, no := unix.Syscall6(nr, f.Fd(), bad, 100, 0, 0, 0)
		equal(b.T, "read or write", no, syscall.EFAULT)
	}
	_, _, no := unix.Syscall(unix.SYS_GETDENTS64, open(b.T, b.dir, os.O_RDONLY).Fd(), bad, 4096)
	equal(b.T, "getdents", no, syscall.EFAULT)
}
