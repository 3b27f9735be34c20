package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// describeClient is what other clients see of this one.
func describeClient(point, interfaces string) meta.SessionInfo {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return meta.SessionInfo{
		Version: sessionVersion(), HostName: host, IPAddrs: localAddrs(interfaces),
		MountPoint: point, MountTime: time.Now(), ProcessID: os.Getpid(),
	}
}

// localAddrs lists the IPv4 addresses of the interfaces in a list separated by commas, of all when it is empty. They
// are for people, so what cannot be found is left out.
func localAddrs(interfaces string) []string {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	wanted := strings.FieldsFunc(interfaces, func(r rune) bool { return r == ',' || r == ' ' })
	var found []string
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || len(wanted) > 0 && !slices.Contains(wanted, i.Name) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
				found = append(found, n.IP.String())
			}
		}
	}
	return found
}

// findDir gives the inode of a directory of the volume by its path, and makes what is missing of it, for everybody to
// use.
func findDir(ctx context.Context, v *meta.Volume, path string) (meta.Ino, error) {
	at := meta.RootIno
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			return 0, errors.New("\"..\" is not allowed")
		}
		if at == meta.RootIno && slices.Contains([]string{".trash", ".control", ".config", ".stats", ".accesslog"}, name) {
			return 0, fmt.Errorf("%s is no directory of the volume's own", name)
		}
		ino, attr, err := v.Lookup(ctx, meta.Root, at, name)
		if errors.Is(err, posix.ENOENT) {
			if v.ReadOnly() {
				return 0, fmt.Errorf("there is no %s, and a read-only mount does not make it", name)
			}
			ino, attr, err = v.Mknod(ctx, meta.Root, at, name, meta.New{Type: meta.TypeDirectory, Mode: 0777})
			if errors.Is(err, posix.EEXIST) { // made by another client just now
				ino, attr, err = v.Lookup(ctx, meta.Root, at, name)
			}
		}
		if err != nil {
			return 0, fmt.Errorf("%w: it must be a directory of the volume", err)
		}
		if attr.Type != meta.TypeDirectory {
			return 0, fmt.Errorf("%s is not a directory", name)
		}
		at = ino
	}
	return at, nil
}
