package fstest

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// cleared is what a change of data by a user leaves of a mode: never set-user-ID, and set-group-ID only where it
// means nothing, because the group cannot execute the file.
func cleared(mode uint32) uint32 {
	mode &^= unix.S_ISUID
	if mode&unix.S_IXGRP != 0 {
		mode &^= unix.S_ISGID
	}
	return mode
}

// rightsSetID: data that a user changes costs a program its set-ID bits; root keeps them.
func rightsSetID(b bed) {
	if !isRoot() {
		return
	}
	write := func(flags int, do func(fd int) error) func(name string) error {
		return func(name string) error {
			fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd) //nolint:errcheck // the call before tells enough
			return again(func() error { return do(fd) })
		}
	}
	ops := []struct {
		name string
		do   func(name string) error
	}{
		{"write", write(unix.O_WRONLY, func(fd int) error { _, err := unix.Write(fd, []byte("x")); return err })},
		{"pwrite", write(unix.O_WRONLY, func(fd int) error { _, err := unix.Pwrite(fd, []byte("x"), 100); return err })},
		{"append", write(unix.O_WRONLY|unix.O_APPEND, func(fd int) error { _, err := unix.Write(fd, []byte("x")); return err })},
		{"sync-write", write(unix.O_WRONLY|unix.O_SYNC, func(fd int) error { _, err := unix.Write(fd, []byte("x")); return err })},
		{"truncate", func(name string) error { return unix.Truncate(name, 2) }},
		{"ftruncate", write(unix.O_RDWR, func(fd int) error { return unix.Ftruncate(fd, 50) })},
		{"open-trunc", write(unix.O_RDWR|unix.O_TRUNC, func(int) error { return nil })},
		{"create-trunc", write(unix.O_RDWR|unix.O_TRUNC|unix.O_CREAT, func(int) error { return nil })},
		{"fallocate", write(unix.O_RDWR, func(fd int) error { return unix.Fallocate(fd, 0, 0, 10_000) })},
		{"punch", write(unix.O_RDWR, func(fd int) error {
			return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 3)
		})},
		{"copy", write(unix.O_RDWR, func(fd int) error {
			in, out := int64(0), int64(1000)
			_, err := unix.CopyFileRange(fd, &in, fd, &out, 4, 0)
			return err
		})},
	}
	users := []struct {
		name string
		who  user
	}{{"owner", alice}, {"group", user{bob.uid, bob.gid, []uint32{uint32(alice.gid)}}}, {"other", bob}}
	for _, op := range ops {
		b.sub(op.name, func(b bed) {
			for _, mode := range []uint32{06777, 04777, 02777, 06767, 0777} {
				name := fmt.Sprintf("root-%o", mode)
				b.file(name, "text", mode)
				must(b.T, op.do(b.at(name)))
				equal(b.T, "mode after "+op.name+" by root", b.mode(name), mode)
				for _, u := range users {
					if mode == 06767 && u.name == "other" && !b.opt.KernelKeeps {
						continue // newer kernels than others drop the bit here
					}
					name := fmt.Sprintf("%s-%o", u.name, mode)
					b.file(name, "text", 0)
					must(b.T, unix.Chown(b.at(name), alice.uid, alice.gid))
					must(b.T, unix.Chmod(b.at(name), mode))
					b.as(u.who, func() { b.no(op.name, op.do(name), 0) })
					equal(b.T, "mode after "+op.name+" by "+u.name, b.mode(name), cleared(mode))
				}
			}
		})
	}
}

// rightsSetIDChown: a change of owner costs a program its set-ID bits whoever makes it, and a directory nothing.
func rightsSetIDChown(b bed) {
	if !isRoot() {
		return
	}
	member := user{alice.uid, alice.gid, []uint32{7001}}
	for _, mode := range []uint32{06777, 04755, 02755, 06711, 0755, 01777} {
		name := fmt.Sprintf("%o", mode)
		for who, change := range map[string]func(name string) error{
			"root":       func(name string) error { return unix.Chown(b.at(name), 77, 88) },
			"root-uid":   func(name string) error { return unix.Chown(b.at(name), 77, -1) },
			"root-group": func(name string) error { return unix.Chown(b.at(name), -1, 88) },
			"owner": func(name string) (err error) {
				b.as(member, func() { err = unix.Chown(name, -1, 7001) })
				return err
			},
		} {
			name := name + who
			b.file(name, "text", 0)
			must(b.T, unix.Chown(b.at(name), alice.uid, alice.gid))
			must(b.T, unix.Chmod(b.at(name), mode))
			must(b.T, change(name))
			equal(b.T, "mode of a file after chown by "+who, b.mode(name), cleared(mode))
		}
	}
	b.file("kept", "", 0)
	must(b.T, unix.Chmod(b.at("kept"), 06644))
	must(b.T, unix.Chown(b.at("kept"), 77, 88))
	equal(b.T, "mode after chown by root: set-group-ID without execution", b.mode("kept"), 02644)
	b.mkdir("dir", 0)
	must(b.T, unix.Chmod(b.at("dir"), 06777))
	must(b.T, unix.Chown(b.at("dir"), alice.uid, 7001))
	equal(b.T, "mode of a directory after chown by root", b.mode("dir"), 06777)
	b.as(member, func() { b.no("chown of a directory", unix.Chown("dir", -1, alice.gid), 0) })
	equal(b.T, "mode of a directory after chown by its owner", b.mode("dir"), 06777)
}

// rightsSetGIDDir: what is made in a set-group-ID directory gets its group, and directories get the bit.
func rightsSetGIDDir(b bed) {
	if !isRoot() {
		return
	}
	b.mkdir("dir", 0777)
	must(b.T, unix.Chown(b.at("dir"), 1, 4444))
	must(b.T, unix.Chmod(b.at("dir"), 02777))
	stranger, member := alice, user{bob.uid, bob.gid, []uint32{4444}}
	for _, who := range []user{stranger, member} {
		name := fmt.Sprintf("dir/%d-", who.uid)
		b.as(who, func() {
			for _, k := range kinds[:5] {
				b.no(k.name, k.make(name+k.name), 0)
			}
			fd, err := unix.Open(name+"sgid", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 02775)
			b.no("create", err, 0)
			_ = unix.Close(fd)
			b.no("mkdir below", unix.Mkdir(name+"dir/below", 0755), 0)
		})
		for _, k := range kinds[:5] {
			st := lstat(b.T, b.at(name+k.name))
			equal(b.T, "owner of a "+k.name, [2]uint32{st.Uid, st.Gid}, [2]uint32{uint32(who.uid), 4444})
		}
		equal(b.T, "mode of a directory", b.mode(name+"dir"), 02755)
		equal(b.T, "mode of a directory below", b.mode(name+"dir/below"), 02755)
		equal(b.T, "group of a directory below", lstat(b.T, b.at(name+"dir/below")).Gid, 4444)
		equal(b.T, "mode of a file", b.mode(name+"file"), 0644)
		want := uint32(02775)
		if who.uid == stranger.uid {
			want = 0775
		}
		equal(b.T, "mode of a program", b.mode(name+"sgid"), want)
	}
	must(b.T, os.Mkdir(b.at("dir/by-root"), 0700))
	equal(b.T, "mode of a directory of root", b.mode("dir/by-root"), 02700)
	b.mkdir("plain", 0777)
	must(b.T, unix.Chown(b.at("plain"), 1, 4444))
	b.as(alice, func() { b.no("mkdir", unix.Mkdir("plain/d", 0755), 0) })
	equal(b.T, "group in a plain directory", lstat(b.T, b.at("plain/d")).Gid, uint32(alice.gid))
}
