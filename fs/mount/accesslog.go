package mount

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"jfs/fs"
)

// watched writes a line about each request into the access log while somebody reads it.
type watched struct {
	fuse.RawFileSystem
	log *fs.AccessLog
}

// watch puts the log around a file system, if there is one.
func watch(raw fuse.RawFileSystem, log *fs.AccessLog) fuse.RawFileSystem {
	if log == nil {
		return raw
	}
	return &watched{raw, log}
}

// start is zero when nobody reads the log.
func (w *watched) start() time.Time {
	if !w.log.Active() {
		return time.Time{}
	}
	return time.Now()
}

const logTime = "2006.01.02 15:04:05.000000"

// line writes about a request that has ended: what was asked for and, if it went well, what came out.
func (w *watched) line(start time.Time, h *fuse.InHeader, st fuse.Status, op, asked, got string) {
	if start.IsZero() || h.NodeId == uint64(fs.AccessLogIno) { // reading the log must not fill it
		return
	}
	end := time.Now()
	answer := "OK"
	if st != fuse.OK {
		answer, got = syscall.Errno(st).Error(), ""
	}
	if got != "" {
		got = ": (" + got + ")"
	}
	b := make([]byte, 0, 256)
	b = end.AppendFormat(b, logTime)
	b = fmt.Appendf(b, " [uid:%d,gid:%d,pid:%d] %s (%s)%s - %s <%.6f>\n", h.Uid, h.Gid, h.Pid, op, asked, got, answer, end.Sub(start).Seconds())
	w.log.Write(b)
}

// logName makes a name fit on a line.
func logName(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// logAttr gives attributes as ls and stat do: type and permissions in letters and as a number, links, owner, times, size.
func logAttr(a *fuse.Attr) string {
	kinds := "?pc?d?b?-?l?s???" // by the type bits
	perm := os.FileMode(a.Mode & 0777).String()[1:]
	return fmt.Sprintf("[%c%s:%07o,%d,%d,%d,%d,%d,%d,%d]", kinds[a.Mode>>12&15], perm, a.Mode, a.Nlink, a.Uid, a.Gid, a.Atime, a.Mtime, a.Ctime, a.Size)
}

func logEntry(out *fuse.EntryOut) string { return fmt.Sprintf("%d,%s", out.NodeId, logAttr(&out.Attr)) }

func (w *watched) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Lookup(cancel, h, name, out)
	if !t.IsZero() {
		seen := st
		if st == fuse.OK && out.NodeId == 0 { // an answer that the kernel may remember
			seen = fuse.ENOENT
		}
		w.line(t, h, seen, "lookup", fmt.Sprintf("%d,%s", h.NodeId, logName(name)), logEntry(out))
	}
	return st
}

func (w *watched) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.GetAttr(cancel, in, out)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "getattr", fmt.Sprint(in.NodeId), logAttr(&out.Attr))
	}
	return st
}

func (w *watched) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.SetAttr(cancel, in, out)
	if !t.IsZero() {
		asked := fmt.Sprintf("%d,0x%x,[mode=%07o,uid=%d,gid=%d,size=%d,atime=%d,mtime=%d]", in.NodeId, in.Valid, in.Mode, in.Uid, in.Gid, in.Size, in.Atime, in.Mtime)
		w.line(t, &in.InHeader, st, "setattr", asked, logAttr(&out.Attr))
	}
	return st
}

func (w *watched) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Mknod(cancel, in, name, out)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "mknod", fmt.Sprintf("%d,%s,%07o,0x%08x", in.NodeId, logName(name), in.Mode, in.Rdev), logEntry(out))
	}
	return st
}

func (w *watched) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Mkdir(cancel, in, name, out)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "mkdir", fmt.Sprintf("%d,%s,%07o", in.NodeId, logName(name), in.Mode), logEntry(out))
	}
	return st
}

func (w *watched) Unlink(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Unlink(cancel, h, name)
	if !t.IsZero() {
		w.line(t, h, st, "unlink", fmt.Sprintf("%d,%s", h.NodeId, logName(name)), "")
	}
	return st
}

func (w *watched) Rmdir(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Rmdir(cancel, h, name)
	if !t.IsZero() {
		w.line(t, h, st, "rmdir", fmt.Sprintf("%d,%s", h.NodeId, logName(name)), "")
	}
	return st
}

func (w *watched) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Rename(cancel, in, oldName, newName)
	if !t.IsZero() {
		flags := in.Flags
		if in.Opcode == opRename {
			flags = 0
		}
		w.line(t, &in.InHeader, st, "rename", fmt.Sprintf("%d,%s,%d,%s,%d", in.NodeId, logName(oldName), in.Newdir, logName(newName), flags), "")
	}
	return st
}

func (w *watched) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Link(cancel, in, name, out)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "link", fmt.Sprintf("%d,%d,%s", in.Oldnodeid, in.NodeId, logName(name)), logEntry(out))
	}
	return st
}

func (w *watched) Symlink(cancel <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Symlink(cancel, h, target, name, out)
	if !t.IsZero() {
		w.line(t, h, st, "symlink", fmt.Sprintf("%d,%s,%s", h.NodeId, logName(name), logName(target)), logEntry(out))
	}
	return st
}

func (w *watched) Readlink(cancel <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	t := w.start()
	target, st := w.RawFileSystem.Readlink(cancel, h)
	if !t.IsZero() {
		w.line(t, h, st, "readlink", fmt.Sprint(h.NodeId), logName(string(target)))
	}
	return target, st
}

func (w *watched) StatFs(cancel <-chan struct{}, h *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.StatFs(cancel, h, out)
	if !t.IsZero() {
		unit := uint64(out.Bsize)
		w.line(t, h, st, "statfs", fmt.Sprint(h.NodeId), fmt.Sprintf("%d,%d,%d,%d", out.Blocks*unit, out.Bavail*unit, out.Files-out.Ffree, out.Ffree))
	}
	return st
}
