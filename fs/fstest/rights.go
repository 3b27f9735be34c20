package fstest

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// rightsCases need root: they make files of several owners and act as users.
var rightsCases = cases{
	{"file-modes", rightsFile}, {"dir-modes", rightsDir}, {"chmod", rightsChmod}, {"chown", rightsChown},
	{"sticky", rightsSticky}, {"set-id-cleared", rightsSetID}, {"set-id-chown", rightsSetIDChown},
	{"set-gid-dir", rightsSetGIDDir}, {"times", rightsTimes}, {"devices", rightsDevices}, {"created", rightsCreated},
	{"parent-rename", rightsParentRename},
}

// rightsFile: opening for reading, writing and execution by each class with each mode; the first class that fits
// decides.
func rightsFile(b bed) {
	if !isRoot() {
		return
	}
	who := user{54321, 54321, []uint32{7002}}
	for _, class := range []struct {
		name     string
		uid, gid int
		shift    int
	}{{"owner", 54321, 1, 6}, {"group", 1, 54321, 3}, {"supplementary", 1, 7002, 3}, {"other", 1, 1, 0}} {
		b.sub(class.name, func(b bed) {
			for bits := range uint32(8) {
				name := fmt.Sprint(bits)
				b.file(name, "text", 0)
				must(b.T, unix.Chown(b.at(name), class.uid, class.gid))
				must(b.T, unix.Chmod(b.at(name), 0777&^(7<<class.shift)|bits<<class.shift))
			}
			b.as(who, func() {
				for bits := range uint32(8) {
					name := fmt.Sprint(bits)
					for _, try := range []struct {
						what string
						need uint32
						do   func() error
					}{
						{"read", 4, func() error { return openErr(name, unix.O_RDONLY) }},
						{"write", 2, func() error { return openErr(name, unix.O_WRONLY) }},
						{"append", 2, func() error { return openErr(name, unix.O_WRONLY|unix.O_APPEND) }},
						{"both", 6, func() error { return openErr(name, unix.O_RDWR) }},
						{"create", 2, func() error { return openErr(name, unix.O_CREAT|unix.O_WRONLY) }},
						{"open truncating", 2, func() error { return openErr(name, unix.O_WRONLY|unix.O_TRUNC) }},
						{"read truncating", 6, func() error { return openErr(name, unix.O_RDONLY|unix.O_TRUNC) }},
						{"truncate", 2, func() error { return unix.Truncate(name, 2) }},
						{"access r", 4, func() error { return unix.Access(name, unix.R_OK) }},
						{"access w", 2, func() error { return unix.Access(name, unix.W_OK) }},
						{"access x", 1, func() error { return unix.Access(name, unix.X_OK) }},
						{"access rwx", 7, func() error { return unix.Access(name, 7) }},
					} {
						want := syscall.Errno(0)
						if bits&try.need != try.need {
							want = syscall.EACCES
						}
						b.no(fmt.Sprintf("%s with bits %o", try.what, bits), try.do(), want)
					}
				}
			})
			for bits := range uint32(8) { // root may all but execute what nobody may
				must(b.T, openErr(b.at(fmt.Sprint(bits)), unix.O_RDWR))
			}
		})
	}
	b.file("plain", "", 0666)
	wantErr(b.T, "root executes what nobody may", unix.Access(b.at("plain"), unix.X_OK), syscall.EACCES)
}

// rightsDir: reading, searching and writing of a directory are rights of their own.
func rightsDir(b bed) {
	if !isRoot() {
		return
	}
	for bits := range uint32(8) {
		dir := fmt.Sprint(bits)
		b.mkdir(dir, 0777)
		b.file(dir+"/f", "text", 0666)
		b.file(dir+"/victim", "text", 0666)
		must(b.T, unix.Chown(b.at(dir), alice.uid, alice.gid))
		must(b.T, unix.Chmod(b.at(dir), bits<<6))
	}
	b.as(alice, func() {
		for bits := range uint32(8) {
			dir := fmt.Sprint(bits)
			for _, try := range []struct {
				what string
				need uint32
				do   func() error
			}{
				{"list", 4, func() error { return openErr(dir, unix.O_RDONLY|unix.O_DIRECTORY) }},
				{"search", 1, func() error { var st unix.Stat_t; return unix.Stat(dir+"/f", &st) }},
				{"enter", 1, func() error {
					err := unix.Chdir(dir)
					if err == nil {
						err = unix.Chdir("..")
					}
					return err
				}},
				{"make", 3, func() error { return openErr(dir+"/new", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY) }},
				{"remove", 3, func() error { return unix.Unlink(dir + "/victim") }},
				{"open-path", 0, func() error { return openErr(dir, unix.O_PATH) }},
			} {
				want := syscall.Errno(0)
				if bits&try.need != try.need {
					want = syscall.EACCES
				}
				b.no(fmt.Sprintf("%s with bits %o", try.what, bits), try.do(), want)
			}
		}
	})
}

// rightsChmod: who may change a mode, and whose set-group-ID bit is dropped.
func rightsChmod(b bed) {
	if !isRoot() {
		return
	}
	b.ofKinds(func(b bed, name string, typ uint32, mk func(string) error) {
		if typ == unix.S_IFLNK {
			return // has no mode to change
		}
		for _, f := range []string{"own", "foreign"} {
			must(b.T, mk(b.at(f)))
			must(b.T, unix.Chmod(b.at(f), 0644))
		}
		must(b.T, unix.Chown(b.at("own"), alice.uid, 4444))
		b.as(alice, func() {
			b.no("of a foreign one", unix.Chmod("foreign", 0600), syscall.EPERM)
			b.no("of a foreign one, to the same", unix.Chmod("foreign", 0644), syscall.EPERM)
			b.no("of one's own", unix.Chmod("own", 06711), 0)
		})
		equal(b.T, "mode: set-group-ID for a stranger to the group", b.mode("own"), 04711)
		b.as(user{alice.uid, alice.gid, []uint32{4444}}, func() { b.no("by a member of the group", unix.Chmod("own", 02755), 0) })
		equal(b.T, "mode: set-group-ID for a member of the group", b.mode("own"), 02755)
		must(b.T, unix.Chmod(b.at("own"), 07777))
		equal(b.T, "mode by root", b.mode("own"), 07777)
		b.as(alice, func() { b.no("sticky", unix.Chmod("own", 01644), 0) })
		equal(b.T, "sticky mode", b.mode("own"), 01644)
	})
}

// rightsChown: users give groups that they are in, and nothing else.
func rightsChown(b bed) {
	if !isRoot() {
		return
	}
	who := user{54321, 54321, []uint32{7001, 7002}}
	b.ofKinds(func(b bed, name string, typ uint32, mk func(string) error) {
		for _, f := range []string{"own", "foreign"} {
			must(b.T, mk(b.at(f)))
		}
		must(b.T, unix.Lchown(b.at("own"), who.uid, who.gid))
		must(b.T, unix.Lchown(b.at("foreign"), bob.uid, 7001))
		b.as(who, func() {
			b.no("to a supplementary group", unix.Lchown("own", -1, 7001), 0)
			b.no("to another supplementary group, naming oneself", unix.Lchown("own", who.uid, 7002), 0)
			b.no("to nobody", unix.Lchown("own", -1, -1), 0)
			b.no("to a foreign group", unix.Lchown("own", -1, 4444), syscall.EPERM)
			b.no("to another user", unix.Lchown("own", bob.uid, -1), syscall.EPERM)
			b.no("to root", unix.Lchown("own", 0, 0), syscall.EPERM)
			b.no("of a foreign one to oneself", unix.Lchown("foreign", who.uid, -1), syscall.EPERM)
			b.no("of a foreign one to another group of one's own", unix.Lchown("foreign", -1, 7002), syscall.EPERM)
			b.no("of a foreign one to its own owner", unix.Lchown("foreign", bob.uid, -1), syscall.EPERM)
		})
		st := lstat(b.T, b.at("own"))
		equal(b.T, "owner and group", [2]uint32{st.Uid, st.Gid}, [2]uint32{54321, 7002})
		large, kept := [2]int{1 << 31, 1<<32 - 2}, [2]uint32{1 << 31, 1<<32 - 2}
		if b.opt.SignedIDs {
			b.no("to large numbers", unix.Lchown(b.at("own"), large[0], large[1]), syscall.EINVAL)
			large, kept = [2]int{1<<31 - 1, 1<<31 - 2}, [2]uint32{1<<31 - 1, 1<<31 - 2}
		}
		must(b.T, unix.Lchown(b.at("own"), large[0], large[1]))
		st = lstat(b.T, b.at("own"))
		equal(b.T, "large numbers", [2]uint32{st.Uid, st.Gid}, kept)
	})
}

// rightsSticky: in a sticky directory only the owner of an entry or of the directory removes, renames or replaces it.
func rightsSticky(b bed) {
	if !isRoot() {
		return
	}
	for _, owns := range []string{"entry", "dir", "both", "none"} {
		dirUID, entryUID, want := bob.uid, bob.uid, syscall.Errno(0)
		switch owns {
		case "entry":
			entryUID = alice.uid
		case "dir":
			dirUID = alice.uid
		case "both":
			dirUID, entryUID = alice.uid, alice.uid
		case "none":
			want = syscall.EPERM
		}
		b.sub(owns, func(b bed) {
			b.ofKinds(func(b bed, kind string, typ uint32, mk func(string) error) {
				b.mkdir("sticky", 0777)
				b.mkdir("plain", 0777)
				for _, name := range []string{"remove", "rename", "move", "replaced", "swapped"} {
					must(b.T, mk(b.at("sticky/"+name)))
					must(b.T, unix.Lchown(b.at("sticky/"+name), entryUID, entryUID))
				}
				for _, name := range []string{"over", "swap"} {
					must(b.T, mk(b.at("plain/"+name)))
					must(b.T, unix.Lchown(b.at("plain/"+name), alice.uid, alice.gid))
				}
				must(b.T, unix.Chown(b.at("sticky"), dirUID, dirUID))
				must(b.T, unix.Chmod(b.at("sticky"), 01777))
				b.as(alice, func() {
					remove := unix.Unlink
					move := want
					if typ == unix.S_IFDIR {
						remove = unix.Rmdir
						if want == 0 && entryUID != alice.uid {
							move = syscall.EACCES // its ".." would have to be written
						}
					}
					b.no("remove", remove("sticky/remove"), want)
					b.no("rename", unix.Rename("sticky/rename", "sticky/renamed"), want)
					b.no("move out", unix.Rename("sticky/move", "plain/moved"), move)
					b.no("replace", unix.Rename("plain/over", "sticky/replaced"), want)
					b.no("exchange", unix.Renameat2(unix.AT_FDCWD, "plain/swap", unix.AT_FDCWD, "sticky/swapped", unix.RENAME_EXCHANGE), move)
					b.no("make", unix.Mkdir("sticky/new", 0755), 0)
				})
			})
		})
	}
}

// rightsTimes: anybody who may write sets the times to now; other times only the owner.
func rightsTimes(b bed) {
	if !isRoot() {
		return
	}
	b.file("own", "", 0400)
	must(b.T, os.Chown(b.at("own"), alice.uid, alice.gid))
	b.file("writable", "", 0666)
	b.file("closed", "", 0644)
	now := unix.Timespec{Nsec: unix.UTIME_NOW}
	omit := unix.Timespec{Nsec: unix.UTIME_OMIT}
	given := unix.Timespec{Sec: 1000}
	set := func(path string, a, m unix.Timespec) error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{a, m}, 0)
	}
	b.as(alice, func() {
		for _, c := range []struct {
			path string
			a, m unix.Timespec
			want syscall.Errno
		}{
			{"own", now, now, 0},
			{"own", given, given, 0},
			{"own", omit, now, 0},
			{"writable", now, now, 0},
			{"writable", omit, omit, 0},
			{"writable", given, given, syscall.EPERM},
			{"writable", now, omit, syscall.EPERM},
			{"writable", omit, now, syscall.EPERM},
			{"writable", given, now, syscall.EPERM},
			{"closed", now, now, syscall.EACCES},
			{"closed", omit, omit, 0},
			{"closed", given, given, syscall.EPERM},
			{"closed", omit, now, syscall.EPERM},
		} {
			b.no(fmt.Sprintf("%s: %v, %v", c.path, c.a, c.m), set(c.path, c.a, c.m), c.want)
		}
		b.no("nil for now", unix.UtimesNanoAt(unix.AT_FDCWD, "writable", nil, 0), 0)
		b.no("nil for now", unix.UtimesNanoAt(unix.AT_FDCWD, "closed", nil, 0), syscall.EACCES)
	})
}

// rightsDevices: users make FIFOs and sockets, but no devices.
func rightsDevices(b bed) {
	if !isRoot() {
		return
	}
	b.as(alice, func() {
		for _, k := range kinds {
			want := syscall.Errno(0)
			if k.typ == unix.S_IFCHR || k.typ == unix.S_IFBLK {
				want = syscall.EPERM
			}
			b.no(k.name, k.make(k.name), want)
		}
	})
	for _, k := range kinds[:5] {
		st := lstat(b.T, b.at(k.name))
		equal(b.T, "owner of a "+k.name, [2]int{int(st.Uid), int(st.Gid)}, [2]int{alice.uid, alice.gid})
	}
}

// rightsCreated: whatever the mode of a new file, its creator has it open as asked for; not so the next one.
func rightsCreated(b bed) {
	if !isRoot() {
		return
	}
	b.as(alice, func() {
		for _, mode := range []uint32{0, 0200, 0400, 0444} {
			name := fmt.Sprintf("f%o", mode)
			fd, err := unix.Open(name, unix.O_CREAT|unix.O_RDWR|unix.O_EXCL|unix.O_CLOEXEC, mode)
			if err != nil {
				b.Errorf("create with mode %o: %v", mode, err)
				continue
			}
			_, err = unix.Write(fd, []byte("text"))
			b.no("write", err, 0)
			_, err = unix.Pread(fd, make([]byte, 4), 0)
			b.no("read", err, 0)
			b.no("ftruncate", unix.Ftruncate(fd, 2), 0)
			b.no("fchmod", unix.Fchmod(fd, mode), 0)
			b.no("close", unix.Close(fd), 0)
			b.no("open again", openErr(name, unix.O_RDWR), syscall.EACCES)
		}
	})
}

// rightsParentRename: a directory of somebody else cannot be moved to another parent, for its ".." changes; a rename
// within its parent is no change of it.
func rightsParentRename(b bed) {
	if !isRoot() {
		return
	}
	for _, name := range []string{"a", "b"} {
		b.mkdir(name, 0777)
	}
	b.mkdir("a/foreign", 0755)
	b.mkdir("a/own", 0555)
	must(b.T, os.Chown(b.at("a/own"), alice.uid, alice.gid))
	b.as(alice, func() {
		b.no("within the parent", unix.Rename("a/foreign", "a/foreign2"), 0)
		b.no("to another parent", unix.Rename("a/foreign2", "b/foreign"), syscall.EACCES)
		b.no("of one's own without write permission", unix.Rename("a/own", "b/own"), syscall.EACCES)
		b.no("chmod", unix.Chmod("a/own", 0755), 0)
		b.no("of one's own", unix.Rename("a/own", "b/own"), 0)
	})
}
