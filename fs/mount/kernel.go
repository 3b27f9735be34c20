package mount

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"jfs/internal/mounts"
)

// setReadAhead sets how far the kernel reads ahead on a device, in bytes. FUSE itself cannot go beyond 128 KiB.
func setReadAhead(dev string, n int) error {
	kib := strconv.Itoa((n + 1023) / 1024)
	if err := os.WriteFile("/sys/class/bdi/"+dev+"/read_ahead_kb", []byte(kib), 0); err != nil {
		return fmt.Errorf("set read-ahead of %s: %w", dev, err)
	}
	return nil
}

// closeOnExec keeps the connections to FUSE out of child processes, where they would keep a mount hanging after
// this process is gone. The library opens them without that flag.
func closeOnExec() {
	const dir = "/proc/self/fd"
	fds, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range fds {
		if target, err := os.Readlink(dir + "/" + e.Name()); err != nil || target != "/dev/fuse" {
			continue
		}
		if fd, err := strconv.Atoi(e.Name()); err == nil {
			unix.CloseOnExec(fd)
		}
	}
}

// lookAgain is how often the table of mounts is read without being told of a change. Linux 6.18 was seen not to tell
// of a lazy unmount until the next change of another mount.
const lookAgain = 2 * time.Second

// watch notes when somebody else takes the mount out of the tree. The connection lives on while files are open, so
// nothing else tells. stop ends the watching; without a table of mounts there is none.
func (s *Server) watch() (stop func()) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return func() {}
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		table.Close() //nolint:errcheck,gosec // only read
		return func() {}
	}
	var running sync.WaitGroup
	running.Go(func() {
		fds := []unix.PollFd{{Fd: int32(table.Fd()), Events: unix.POLLPRI}, {Fd: int32(bell), Events: unix.POLLIN}}
		for {
			_, err := unix.Poll(fds, int(lookAgain.Milliseconds()))
			switch {
			case err == unix.EINTR:
				continue
			case err != nil || fds[1].Revents != 0:
				return
			}
			if still, err := mounts.DeviceMounted(s.dev); err == nil && !still {
				s.a.reqs.detach()
				return
			}
		}
	})
	return func() {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(bell, one[:])
		running.Wait()
		_ = unix.Close(bell)
		_ = table.Close()
	}
}
