package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// stressors are those of stress-ng's class "filesystem" that reach a mount. They run side by side, which is the harder
// test, each checking what it did. Not among them:
//
//   - bind-mount, binderfs, eventfd, ioprio, procfs do nothing in the directory that they are given;
//   - fiemap and verity need ioctls that the kernel answers itself for FUSE, with a refusal;
//   - chdir, link and symlink make 8,192 names before they look at the clock, see slowStressors.
var stressors = strings.Fields(`access chattr chmod chown copy-file dentry dir dirdeep dirmany dnotify dup fallocate fanotify fcntl
	file-ioctl filename flock fpunch fsize fstat getdent handle hdd inode-flags inotify io iomix lease locka lockf lockofd mknod
	open rename sync-file touch utime xattr`)

// slowStressors and stressSizes hold what a stressor writes to what a test has time for.
var (
	slowStressors = []string{"--chdir", "1", "--chdir-dirs", "256", "--link", "1", "--symlink", "1"}
	stressSizes   = []string{"--copy-file-bytes", "128M", "--dentries", "128", "--dir-dirs", "256", "--dirdeep-inodes", "1000",
		"--fallocate-bytes", "16M", "--hdd-bytes", "16M", "--iomix-bytes", "16M", "--sync-file-bytes", "16M"}
)

// onlyMount runs a program, in a mount namespace of its own, without the FUSE mounts other than $1.
const onlyMount = `keep=$1; shift
while read -r _ point type _; do
	case $type in fuse.*) [ "$point" = "$keep" ] || umount -cil "$point" ;; esac
done < /proc/self/mounts
exec "$@"`

func (s *stressed) stress(dir string, seconds int, args ...string) {
	s.t.Helper()
	must(s.t, os.MkdirAll(s.path(dir), 0o777))
	all := append([]string{"--verify", "--no-rand-seed", "--timeout", fmt.Sprint(seconds), "--temp-path", "$/" + dir}, args...)
	// Some stressors (fanotify, handle, io) open all mounts that they see, also those of other tests, which are busy then.
	all = append([]string{"--mount", "--propagation", "private", "sh", "-c", onlyMount, "sh", s.path(strings.Split(dir, "/")[0]), s.program("stress-ng")}, all...)
	out := s.exec("unshare", all...)
	for _, bad := range []string{"fail:", "skipp", "error:"} {
		if strings.Contains(out, bad) {
			s.t.Errorf("stress-ng: %s\n%s", out, s.complaints())
			return
		}
	}
	if left := names(s.t, s.path(dir)); len(left) != 0 {
		s.t.Errorf("stress-ng left %q", left)
	}
}

// fioJobs write patterns with checksums and read them back.
const fioJobs = `[global]
directory=${DIR}
verify=crc32c
verify_fatal=1
do_verify=1
randrepeat=1
ioengine=psync
group_reporting
[sequential]
rw=write
bs=256k
size=16m
[random]
rw=randwrite
bs=4k-32k
size=8m
[synced]
rw=randwrite
bs=16k
size=2m
fsync=4
[mapped]
rw=randwrite
bs=8k
size=4m
ioengine=mmap
[several]
rw=randwrite
bs=64k
numjobs=3
size=4m
[direct]
rw=write
bs=128k
size=8m
direct=1
ioengine=libaio
iodepth=4
`

// TestE2EStress: programs that are made to break file systems find no fault, and leave none.
func TestE2EStress(t *testing.T) {
	t.Parallel()
	onEngines(t, func(s *stressed) {
		t := s.t
		s.mountAt("mnt")
		args := stressSizes
		for _, name := range stressors {
			args = append(args, "--"+name, "1")
		}
		s.stress("mnt/stress", soaking(3, 60), args...)
		s.stress("mnt/stress", soaking(1, 20), slowStressors...)

		dbench := s.program("dbench")
		must(t, os.Mkdir(s.path("mnt/dbench"), 0o755))
		if out := s.exec(dbench, "-D", "$/mnt/dbench", "-c", dbenchLoad, "-t", fmt.Sprint(soaking(2, 60)), "3"); !strings.Contains(out, "Throughput") || strings.Contains(out, "failed") {
			t.Errorf("dbench: %s", out)
		}
		// 8,192 seeks and 2 × 1,024 files are the least that it does.
		must(t, os.Mkdir(s.path("mnt/bonnie"), 0o755))
		s.exec(s.program("bonnie++"), "-f", "-q", "-u", "root", "-d", "$/mnt/bonnie", "-s", fmt.Sprint(soaking(32, 512)), "-r", fmt.Sprint(soaking(16, 256)),
			"-n", fmt.Sprintf("%d:20000:16:4", soaking(1, 8)))
		if left := names(t, s.path("mnt/bonnie")); len(left) != 0 {
			t.Errorf("bonnie++ left %q", left)
		}

		fio := s.program("fio")
		must(t, os.Mkdir(s.path("mnt/fio"), 0o755))
		must(t, os.WriteFile(s.path("jobs.fio"), []byte(fioJobs), 0o644))
		s.env = []string{"DIR=" + s.path("mnt/fio")}
		s.exec(fio, "$/jobs.fio")
		s.remountCold("mnt")
		s.exec(fio, "--verify_only", "$/jobs.fio")
		s.sound("mnt")
	})
}

// dbenchLoad is the load that comes with dbench.
const dbenchLoad = "/usr/share/dbench/client.txt"
