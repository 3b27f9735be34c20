package fstest

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var attributeCases = cases{
	{"none", attributeNone}, {"kinds", attributeKinds}, {"rights", attributeRights}, {"sizes", attributeSizes}, {"list", attributeList},
	{"flags", attributeFlags}, {"acl-class", attributeACL}, {"acl-chmod", attributeACLChmod}, {"acl-default", attributeACLDefault},
	{"acl-errors", attributeACLErrors}, {"immutable", attributeImmutable}, {"append-only", attributeAppendOnly},
	{"statfs", attributeStatfs},
}

func setxattr(path, name, value string, flags int) error {
	return unix.Lsetxattr(path, name, []byte(value), flags)
}

func getxattr(path, name string) (string, error) {
	buf := make([]byte, 70_000)
	n, err := unix.Lgetxattr(path, name, buf)
	return string(buf[:max(n, 0)]), err
}

// attributeNone: a file system without attributes says so.
func attributeNone(b bed) {
	if !b.opt.NoXattr {
		return
	}
	path := b.file("f", "", 0644)
	wantErr(b.T, "set", setxattr(path, "user.a", "x", 0), syscall.EOPNOTSUPP)
	_, err := getxattr(path, "user.a")
	wantErr(b.T, "get", err, syscall.EOPNOTSUPP)
	wantErr(b.T, "remove", unix.Lremovexattr(path, "user.a"), syscall.EOPNOTSUPP)
}

// attributeKinds: which types have which attributes.
func attributeKinds(b bed) {
	if b.opt.NoXattr {
		return
	}
	b.ofKinds(func(b bed, _ string, typ uint32, mk func(string) error) {
		must(b.T, mk(b.at("x")))
		err := setxattr(b.at("x"), "user.a", "value", 0)
		if typ == unix.S_IFREG || typ == unix.S_IFDIR {
			must(b.T, err)
			got, err := getxattr(b.at("x"), "user.a")
			must(b.T, err)
			equal(b.T, "value", got, "value")
			must(b.T, os.Rename(b.at("x"), b.at("y")))
			got, err = getxattr(b.at("y"), "user.a")
			must(b.T, err)
			equal(b.T, "value after a rename", got, "value")
			must(b.T, os.Rename(b.at("y"), b.at("x")))
		} else {
			wantErr(b.T, "attribute of users on a type that has none", err, syscall.EPERM)
		}
		if isRoot() {
			must(b.T, setxattr(b.at("x"), "trusted.t", "trust", 0))
			got, err := getxattr(b.at("x"), "trusted.t")
			must(b.T, err)
			equal(b.T, "trusted value", got, "trust")
			must(b.T, unix.Lremovexattr(b.at("x"), "trusted.t"))
			_, err = getxattr(b.at("x"), "trusted.t")
			wantErr(b.T, "after its removal", err, syscall.ENODATA)
		}
		must(b.T, os.Remove(b.at("x")))
		must(b.T, mk(b.at("x")))
		if typ == unix.S_IFREG {
			_, err = getxattr(b.at("x"), "user.a")
			wantErr(b.T, "of a new file of the name", err, syscall.ENODATA)
		}
	})
}

// attributeRights: attributes of users are read and written as the contents are; trusted ones are for root alone.
func attributeRights(b bed) {
	if b.opt.NoXattr || !isRoot() {
		return
	}
	for mode, name := range map[uint32]string{0: "closed", 4: "readable", 2: "writable", 6: "open"} {
		must(b.T, setxattr(b.file(name, "", 0600), "user.a", "x", 0))
		must(b.T, setxattr(b.at(name), "trusted.a", "x", 0))
		must(b.T, unix.Chmod(b.at(name), 0600|mode))
	}
	b.mkdir("sticky", 01777)
	b.as(alice, func() {
		for name, can := range map[string]string{"closed": "", "readable": "r", "writable": "w", "open": "rw"} {
			no := func(right string) syscall.Errno {
				if strings.Contains(can, right) {
					return 0
				}
				return syscall.EACCES
			}
			_, err := getxattr(name, "user.a")
			b.no("get of "+name, err, no("r"))
			b.no("set of "+name, setxattr(name, "user.a", "y", 0), no("w"))
			b.no("remove of "+name, unix.Lremovexattr(name, "user.a"), no("w"))
			_, err = getxattr(name, "trusted.a")
			b.no("get of a trusted one", err, syscall.ENODATA)
			b.no("set of a trusted one", setxattr(name, "trusted.a", "y", 0), syscall.EPERM)
		}
		b.no("set of another's sticky directory", setxattr("sticky", "user.a", "x", 0), syscall.EPERM)
	})
}

func attributeSizes(b bed) {
	if b.opt.NoXattr {
		return
	}
	path := b.file("f", "", 0644)
	most := b.opt.MaxXattr
	if most == 0 {
		most = 2000
	}
	for _, n := range []int{0, 1, 100, most - 1, most} {
		v := string(pattern(n, 1))
		must(b.T, setxattr(path, "user.v", v, 0))
		got, err := getxattr(path, "user.v")
		must(b.T, err)
		equal(b.T, fmt.Sprintf("value of %d bytes", n), got == v, true)
		size, err := unix.Lgetxattr(path, "user.v", nil)
		must(b.T, err)
		equal(b.T, "size", size, n)
		if n > 1 {
			_, err = unix.Lgetxattr(path, "user.v", make([]byte, n-1))
			wantErr(b.T, "a buffer that is a byte too small", err, syscall.ERANGE)
		}
	}
	wantErr(b.T, "a value of 65537 bytes", setxattr(path, "user.v", strings.Repeat("v", 65537), 0), syscall.E2BIG)
	unknown, noText := syscall.EOPNOTSUPP, syscall.Errno(0)
	if b.opt.AnyXattr {
		unknown = 0
	}
	if b.opt.TextNames {
		noText = syscall.EINVAL
	}
	for _, c := range []struct {
		name string
		want syscall.Errno
	}{
		{"user." + strings.Repeat("n", 250), 0}, {"user." + strings.Repeat("n", 251), syscall.ERANGE}, {"", syscall.ERANGE},
		{"unknown.n", unknown}, {"nodot", unknown}, {"user.with space", 0}, {"user.with space\xff", noText},
	} {
		b.no(fmt.Sprintf("name %.20q", c.name), setxattr(path, c.name, "x", 0), c.want)
	}
	wantErr(b.T, "unknown flags", setxattr(path, "user.new", "x", 4), syscall.EINVAL)
}

// attributeList: the list has each name once, whatever was set and removed.
func attributeList(b bed) {
	if b.opt.NoXattr {
		return
	}
	path := b.file("f", "", 0644)
	want := []string{}
	for i := range 30 {
		name := fmt.Sprintf("user.name-%d", i)
		must(b.T, setxattr(path, name, "x", unix.XATTR_CREATE))
		must(b.T, setxattr(path, name, fmt.Sprint(i), unix.XATTR_REPLACE))
		if i%3 == 0 {
			must(b.T, unix.Lremovexattr(path, name))
		} else {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	size, err := unix.Llistxattr(path, nil)
	must(b.T, err)
	buf := make([]byte, size)
	n, err := unix.Llistxattr(path, buf)
	must(b.T, err)
	got := slices.DeleteFunc(strings.Split(string(buf[:n]), "\x00"), func(s string) bool { return !strings.HasPrefix(s, "user.") })
	slices.Sort(got)
	equal(b.T, "names", strings.Join(got, " "), strings.Join(want, " "))
	_, err = unix.Llistxattr(path, buf[:size-1])
	wantErr(b.T, "a buffer that is a byte too small", err, syscall.ERANGE)
}

// attributeFlags: a change of attributes is no change of the contents.
func attributeFlags(b bed) {
	if b.opt.NoXattr {
		return
	}
	b.file("f", "", 0644)
	want := "c"
	if b.opt.QuietAttr {
		want = ""
	}
	b.touches("setxattr", map[string]string{"f": want, ".": ""}, func() error { return setxattr(b.at("f"), "user.a", "x", 0) })
	b.touches("getxattr", map[string]string{"f": ""}, func() error { _, err := getxattr(b.at("f"), "user.a"); return err })
	b.touches("removexattr", map[string]string{"f": want, ".": ""}, func() error { return unix.Lremovexattr(b.at("f"), "user.a") })
}

// An access control list as Linux stores it.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
	anybody    = 1<<32 - 1
)

type ace struct {
	tag, perm uint16
	id        uint32
}

func acl(entries ...ace) string {
	out := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint16(out, e.tag)
		out = binary.LittleEndian.AppendUint16(out, e.perm)
		out = binary.LittleEndian.AppendUint32(out, e.id)
	}
	return string(out)
}

// list is a list with a named user, a named group and a mask.
func list(owner, user, group, named, mask, other uint16) string {
	return acl(ace{1, owner, anybody}, ace{2, user, uint32(alice.uid)}, ace{4, group, anybody}, ace{8, named, 7001},
		ace{16, mask, anybody}, ace{32, other, anybody})
}

// attributeACL: what named users and groups may, within the mask.
func attributeACL(b bed) {
	if b.opt.NoACL || !isRoot() {
		return
	}
	path := b.file("f", "text", 0600)
	member, groups := user{bob.uid, bob.gid, []uint32{7001}}, user{60000, 60000, []uint32{4444}}
	must(b.T, unix.Chown(path, 1, 4444))
	for _, c := range []struct {
		list                       string
		mode                       uint32
		alice, member, own, others string
	}{
		{list(6, 6, 4, 2, 7, 0), 0670, "rw", "w", "r", ""},
		{list(6, 6, 4, 2, 4, 6), 0646, "r", "", "r", "rw"},
		{list(6, 0, 6, 6, 6, 6), 0666, "", "rw", "rw", "rw"},
		{list(0, 7, 0, 0, 6, 0), 0060, "rw", "", "", ""},
	} {
		must(b.T, setxattr(path, aclAccess, c.list, 0))
		equal(b.T, "mode", b.mode("f"), c.mode)
		got, err := getxattr(path, aclAccess)
		must(b.T, err)
		equal(b.T, "list", fmt.Sprintf("%x", got), fmt.Sprintf("%x", c.list))
		for who, can := range map[*user]string{&alice: c.alice, &member: c.member, &groups: c.own, &bob: c.others} {
			b.as(*who, func() {
				for right, flags := range map[string]int{"r": unix.O_RDONLY, "w": unix.O_WRONLY} {
					want := syscall.EACCES
					if strings.Contains(can, right) {
						want = 0
					}
					b.no(fmt.Sprintf("user %d, right %s, mode %o", who.uid, right, c.mode), openErr("f", flags), want)
				}
			})
		}
	}
	must(b.T, unix.Lremovexattr(path, aclAccess))
	_, err := getxattr(path, aclAccess)
	wantErr(b.T, "list after its removal", err, syscall.ENODATA)
}

// attributeACLChmod: with a list the group bits of the mode are the mask.
func attributeACLChmod(b bed) {
	if b.opt.NoACL || !isRoot() {
		return
	}
	path := b.file("f", "", 0600)
	must(b.T, setxattr(path, aclAccess, list(7, 6, 5, 4, 7, 0), 0))
	must(b.T, unix.Chmod(path, 0714))
	got, err := getxattr(path, aclAccess)
	must(b.T, err)
	equal(b.T, "list", got == list(7, 6, 5, 4, 1, 4), true)
	// A list that says no more than a mode is one.
	must(b.T, setxattr(path, aclAccess, acl(ace{1, 6, anybody}, ace{4, 4, anybody}, ace{32, 1, anybody}), 0))
	equal(b.T, "mode", b.mode("f"), 0641)
	_, err = getxattr(path, aclAccess)
	wantErr(b.T, "list that is a mode", err, syscall.ENODATA)
}

// attributeACLDefault: what is made below takes the directory's default list, and no umask.
func attributeACLDefault(b bed) {
	if b.opt.NoACL || !isRoot() {
		return
	}
	b.mkdir("d", 0755)
	def := list(7, 6, 5, 4, 7, 1)
	must(b.T, setxattr(b.at("d"), aclDefault, def, 0))
	equal(b.T, "mode of the directory", b.mode("d"), 0755)
	inDir(b, b.at("d"), func() {
		unix.Umask(077)
		fd, err := unix.Open("f", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0640)
		b.no("create", err, 0)
		_ = unix.Close(fd)
		b.no("mkdir", unix.Mkdir("sub", 0777), 0)
		b.no("mkfifo", unix.Mkfifo("fifo", 0666), 0)
		b.no("symlink", unix.Symlink("x", "s"), 0)
	})
	for name, want := range map[string]string{"f": list(6, 6, 5, 4, 4, 0), "fifo": list(6, 6, 5, 4, 6, 0), "sub": def} {
		got, err := getxattr(b.at("d/"+name), aclAccess)
		must(b.T, err)
		equal(b.T, "list of "+name, fmt.Sprintf("%x", got), fmt.Sprintf("%x", want))
	}
	equal(b.T, "mode of a file", b.mode("d/f"), 0640)
	equal(b.T, "mode of a FIFO", b.mode("d/fifo"), 0660)
	equal(b.T, "mode of a directory", b.mode("d/sub"), 0771)
	got, err := getxattr(b.at("d/sub"), aclDefault)
	must(b.T, err)
	equal(b.T, "default list of a directory below", got == def, true)
	_, err = getxattr(b.at("d/f"), aclDefault)
	wantErr(b.T, "default list of a file", err, syscall.ENODATA)
	must(b.T, unix.Lremovexattr(b.at("d"), aclDefault))
	inDir(b, b.at("d"), func() {
		unix.Umask(027)
		b.no("mkdir", unix.Mkdir("plain", 0777), 0)
	})
	equal(b.T, "mode with a umask again", b.mode("d/plain"), 0750)
}

func attributeACLErrors(b bed) {
	if b.opt.NoACL || !isRoot() {
		return
	}
	path := b.file("f", "", 0644)
	good := list(7, 6, 5, 4, 7, 0)
	for name, value := range map[string]string{
		"no mask":     acl(ace{1, 7, anybody}, ace{2, 6, 5}, ace{4, 5, anybody}, ace{32, 0, anybody}),
		"no owner":    acl(ace{4, 5, anybody}, ace{32, 0, anybody}),
		"two owners":  acl(ace{1, 7, anybody}, ace{1, 7, anybody}, ace{4, 5, anybody}, ace{32, 0, anybody}),
		"unknown tag": acl(ace{1, 7, anybody}, ace{4, 5, anybody}, ace{32, 0, anybody}, ace{64, 0, anybody}),
		"cut off":     good[:len(good)-3],
	} {
		wantErr(b.T, name, setxattr(path, aclAccess, value, 0), syscall.EINVAL)
	}
	err := setxattr(path, aclDefault, good, 0)
	wantErr(b.T, "default list of a file", err, syscall.EACCES)
	must(b.T, os.Symlink("f", b.at("s")))
	wantErr(b.T, "list of a symlink", setxattr(b.at("s"), aclAccess, good, 0), syscall.EOPNOTSUPP)
	b.as(alice, func() { b.no("list of a foreign file", setxattr("f", aclAccess, good, 0), syscall.EPERM) })
	equal(b.T, "mode", b.mode("f"), 0644)
}

// setFlags sets attribute flags as chattr does.
func setFlags(b bed, name string, flags int) {
	b.Helper()
	f := open(b.T, b.at(name), os.O_RDONLY|unix.O_NONBLOCK)
	must(b.T, again(func() error { return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags) }))
	must(b.T, f.Close())
}

const (
	flagImmutable  = 0x10
	flagAppendOnly = 0x20
)

func (b bed) flagged(name string, flag int, fn func()) {
	b.Helper()
	f := open(b.T, b.at(name), os.O_RDONLY)
	old := 0
	must(b.T, again(func() (err error) { old, err = unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS); return err }))
	setFlags(b, name, old|flag)
	defer setFlags(b, name, old)
	fn()
}

// attributeImmutable: nothing of an immutable inode can be changed, by root neither.
func attributeImmutable(b bed) {
	if b.opt.NoFlags || !isRoot() {
		return
	}
	b.file("f", "text", 0644)
	b.file("other", "", 0644)
	b.flagged("f", flagImmutable, func() {
		for what, err := range map[string]error{
			"write": openErr(b.at("f"), unix.O_WRONLY), "append": openErr(b.at("f"), unix.O_WRONLY|unix.O_APPEND),
			"truncate": unix.Truncate(b.at("f"), 0), "unlink": unix.Unlink(b.at("f")), "link": unix.Link(b.at("f"), b.at("l")),
			"rename": unix.Rename(b.at("f"), b.at("g")), "replace": unix.Rename(b.at("other"), b.at("f")),
			"chmod": unix.Chmod(b.at("f"), 0600), "chown": unix.Chown(b.at("f"), 5, 5),
			"utimens": unix.UtimesNanoAt(unix.AT_FDCWD, b.at("f"), []unix.Timespec{{Sec: 5}, {Sec: 5}}, 0),
		} {
			wantErr(b.T, what, err, syscall.EPERM)
		}
		holds(b.T, b.at("f"), "text")
	})
	must(b.T, openErr(b.at("f"), unix.O_WRONLY))
	b.mkdir("d", 0755)
	b.file("d/x", "", 0644)
	b.flagged("d", flagImmutable, func() {
		for what, err := range map[string]error{
			"create": openErr(b.at("d/new"), unix.O_CREAT|unix.O_WRONLY), "mkdir": unix.Mkdir(b.at("d/new"), 0755),
			"unlink": unix.Unlink(b.at("d/x")), "rename": unix.Rename(b.at("d/x"), b.at("d/y")),
			"move in": unix.Rename(b.at("other"), b.at("d/y")), "link in": unix.Link(b.at("other"), b.at("d/y")),
			"rmdir": unix.Rmdir(b.at("d")), "symlink": unix.Symlink("t", b.at("d/new")),
		} {
			wantErr(b.T, what, err, syscall.EPERM)
		}
		must(b.T, os.WriteFile(b.at("d/x"), []byte("the file below is not immutable"), 0644))
	})
	must(b.T, os.RemoveAll(b.at("d")))
}

// attributeAppendOnly: an append-only file grows, and a directory gets entries that stay.
func attributeAppendOnly(b bed) {
	if b.opt.NoFlags || !isRoot() {
		return
	}
	b.file("f", "text", 0644)
	b.flagged("f", flagAppendOnly, func() {
		f := open(b.T, b.at("f"), os.O_WRONLY|os.O_APPEND)
		_, err := f.WriteString(" more")
		must(b.T, err)
		must(b.T, f.Close())
		for what, err := range map[string]error{
			"write": openErr(b.at("f"), unix.O_WRONLY), "open with O_TRUNC": openErr(b.at("f"), unix.O_WRONLY|unix.O_APPEND|unix.O_TRUNC),
			"truncate": unix.Truncate(b.at("f"), 0), "unlink": unix.Unlink(b.at("f")), "link": unix.Link(b.at("f"), b.at("l")),
			"rename": unix.Rename(b.at("f"), b.at("g")),
		} {
			wantErr(b.T, what, err, syscall.EPERM)
		}
		holds(b.T, b.at("f"), "text more")
	})
	b.mkdir("d", 0755)
	b.flagged("d", flagAppendOnly, func() {
		b.file("d/x", "", 0644)
		must(b.T, unix.Mkdir(b.at("d/sub"), 0755))
		wantErr(b.T, "unlink", unix.Unlink(b.at("d/x")), syscall.EPERM)
		wantErr(b.T, "rename", unix.Rename(b.at("d/x"), b.at("d/y")), syscall.EPERM)
		wantErr(b.T, "rmdir", unix.Rmdir(b.at("d/sub")), syscall.EPERM)
	})
	must(b.T, os.RemoveAll(b.at("d")))
}

// attributeStatfs: what the file system tells of itself is the same from everywhere in it.
func attributeStatfs(b bed) {
	b.file("f", "", 0644)
	var dir, file, open unix.Statfs_t
	must(b.T, again(func() error { return unix.Statfs(b.dir, &dir) }))
	must(b.T, again(func() error { return unix.Statfs(b.at("f"), &file) }))
	f, err := os.Open(b.at("f"))
	must(b.T, err)
	defer f.Close() //nolint:errcheck // only read
	must(b.T, again(func() error { return unix.Fstatfs(int(f.Fd()), &open) }))
	for _, s := range []unix.Statfs_t{file, open} {
		equal(b.T, "type, size of blocks, longest name", [3]int64{s.Type, s.Bsize, s.Namelen}, [3]int64{dir.Type, dir.Bsize, 255})
		equal(b.T, "blocks", s.Blocks, dir.Blocks)
	}
	equal(b.T, "a fragment is no more than a block", dir.Frsize <= dir.Bsize && dir.Frsize > 0, true)
	equal(b.T, "same device", lstat(b.T, b.at("f")).Dev, lstat(b.T, b.dir).Dev)
}
