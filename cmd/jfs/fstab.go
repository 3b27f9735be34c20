package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	fstabFile  = "/etc/fstab"
	fstabType  = "juicefs"
	helperLink = "/sbin/mount.juicefs"
)

// fstabLine is the line of a mount: "META-URL MOUNTPOINT juicefs _netdev,cache-size=512000 0 0".
func fstabLine(url, point string, words []string) string {
	options := append([]string{"_netdev"}, words...)
	return fmt.Sprintf("%s %s %s %s 0 0", escapeField(url), escapeField(point), fstabType, escapeField(strings.Join(options, ",")))
}

// escapeField writes white space in the way of fstab(5).
func escapeField(s string) string {
	return strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(s)
}

// updateFstab puts a line into the file, in the place of the one that the same mount point has.
func updateFstab(path, line string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read fstab: %w", err)
	}
	updated, err := withFstabLine(string(old), line)
	if err != nil {
		return fmt.Errorf("update %s: %w", path, err)
	}
	if updated == string(old) {
		return nil
	}
	if err := replaceFile(path, []byte(updated)); err != nil {
		return fmt.Errorf("update fstab: %w", err)
	}
	return nil
}

func withFstabLine(text, line string) (string, error) {
	point := strings.Fields(line)[1]
	var out strings.Builder
	done := false
	for old := range strings.Lines(text) {
		f := strings.Fields(old)
		same := len(f) >= 3 && !strings.HasPrefix(f[0], "#") && f[1] == point
		switch {
		case !same:
			out.WriteString(old)
		case f[2] != fstabType && f[2] != "jfs" && f[2] != "fuse.juicefs" && f[2] != "fuse.jfs":
			return "", fmt.Errorf("mount point %s has an entry of type %s already: remove that first", point, f[2])
		case !done:
			out.WriteString(line + "\n")
			done = true
		}
	}
	if !done {
		if text := out.String(); text != "" && !strings.HasSuffix(text, "\n") {
			out.WriteString("\n")
		}
		out.WriteString(line + "\n")
	}
	return out.String(), nil
}

// replaceFile replaces a file at once, so that a crash leaves the old or the new one. Mode and owner stay.
func replaceFile(path string, data []byte) (err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // the error that matters is told
		}
	}()
	defer tmp.Close() //nolint:errcheck // closed below where it counts
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			if err := tmp.Chown(int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
		}
	}
	if _, err := bytes.NewReader(data).WriteTo(tmp); err != nil {
		return err
	}
	if err := tmp.Chmod(mode); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// linkHelper makes the link by which mount(8) finds this program. One that leads elsewhere is left.
func linkHelper(link, program string) error {
	err := os.Symlink(program, link)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if target, err := os.Readlink(link); err == nil && target == program {
		return nil
	}
	return fmt.Errorf("%s exists and is not a link to %s: remove it to let mount(8) use this program", link, program)
}
