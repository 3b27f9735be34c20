package mount

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"jfs/internal/mounts"
)

// ErrBusy is matched by the error of an unmount while files below the mount point are in use.
var ErrBusy = errors.New("the file system is in use")

// Unmount ends the mount and waits until Serve has ended; it does nothing when that has happened. With lazy, a
// mount that is in use goes as well, and whoever uses it gets ENOTCONN. Without, that is ErrBusy.
func (s *Server) Unmount(lazy bool) error {
	select {
	case <-s.done:
		return nil
	default:
	}
	if m, ok, err := mounts.At(s.point); err != nil {
		return err
	} else if ok && m.Device == s.dev {
		if err := Unmount(s.point, lazy); err != nil {
			return err
		}
	} else if lazy {
		_ = abort(s.dev) // someone has detached or covered it; end it for the users that are left
	} else if covered, err := mounts.DeviceMounted(s.dev); err != nil {
		return err
	} else if covered {
		return fmt.Errorf("unmount %s: another mount lies over it: %w", s.point, ErrBusy)
	}
	s.a.reqs.detach()
	if s.serving.Load() {
		s.Wait()
	}
	return nil
}

// Unmount undoes the FUSE mount at a path, whichever process serves it. With lazy, also one that is in use or whose
// process is gone or hangs: its connection is cut, and its users get ENOTCONN.
func Unmount(path string, lazy bool) error {
	point, err := resolve(path)
	if err != nil {
		return err
	}
	m, ok, err := mounts.At(point)
	switch {
	case err != nil:
		return err
	case !ok || !m.FUSE():
		return fmt.Errorf("unmount %s: no FUSE file system is mounted there", point)
	}
	err = plainUnmount(point)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, ErrBusy) || !lazy:
		return err
	}
	_ = abort(m.Device) // root's detach does it too
	return detach(point)
}

// Tries of an unmount: files that were closed a moment ago may still be on their way out of the kernel.
const (
	busyTries = 5
	busyWait  = 20 * time.Millisecond
)

func plainUnmount(point string) error {
	for try := 1; ; try++ {
		err := unix.Unmount(point, 0)
		if errors.Is(err, unix.EPERM) {
			err = fusermount("-u", point)
		}
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EBUSY):
			return fmt.Errorf("unmount %s: %w", point, err)
		case try == busyTries:
			return fmt.Errorf("unmount %[1]s: %[2]w: files are open or working directories are below it; find them with: "+
				"fuser -vm %[1]s (or unmount anyway with --force)", point, ErrBusy)
		}
		time.Sleep(busyWait)
	}
}

// detach takes a mount out of the tree whatever its state; as root it also cuts its connection.
func detach(point string) error {
	err := unix.Unmount(point, unix.MNT_FORCE|unix.MNT_DETACH)
	if errors.Is(err, unix.EPERM) {
		err = fusermount("-uz", point)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", point, err)
	}
	return nil
}

// abort cuts the connection of a mount through fusectl, if that is mounted. The owner of a mount may do so.
func abort(dev string) error {
	return os.WriteFile("/sys/fs/fuse/connections/"+mounts.Mount{Device: dev}.Connection()+"/abort", []byte("1"), 0)
}

// fusermountTimeout ends a fusermount that hangs on another, dead mount.
const fusermountTimeout = 30 * time.Second

func fusermount(flag, point string) error {
	bin, err := exec.LookPath("fusermount3")
	if err != nil {
		if bin, err = exec.LookPath("fusermount"); err != nil {
			return fmt.Errorf("only root can unmount without fusermount: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), fusermountTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, flag, "--", point)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(string(out))
	if strings.HasSuffix(text, "Device or resource busy") { // fusermount has one exit code for all
		return syscall.EBUSY
	}
	return fmt.Errorf("%s: %w: %s", bin, err, text)
}
