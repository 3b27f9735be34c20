package mount

import (
	"fmt"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// The requests of open files and directories, and those of attributes with names, in the access log.

func (w *watched) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Create(cancel, in, name, out)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "create", fmt.Sprintf("%d,%s,%07o", in.NodeId, logName(name), in.Mode), fmt.Sprintf("%s,fh:%d", logEntry(&out.EntryOut), out.Fh))
	}
	return st
}

func (w *watched) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Open(cancel, in, out)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "open", fmt.Sprintf("%d,0x%x", in.NodeId, in.Flags), fmt.Sprintf("fh:%d", out.Fh))
	}
	return st
}

func (w *watched) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	t := w.start()
	r, st := w.RawFileSystem.Read(cancel, in, buf)
	if !t.IsZero() {
		n := 0
		if r != nil {
			n = r.Size()
		}
		w.line(t, &in.InHeader, st, "read", fmt.Sprintf("%d,%d,%d,%d", in.NodeId, in.Size, in.Offset, in.Fh), fmt.Sprint(n))
	}
	return r, st
}

func (w *watched) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	t := w.start()
	n, st := w.RawFileSystem.Write(cancel, in, data)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "write", fmt.Sprintf("%d,%d,%d,%d", in.NodeId, len(data), in.Offset, in.Fh), "")
	}
	return n, st
}

func (w *watched) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	t := w.start()
	w.RawFileSystem.Release(cancel, in)
	if !t.IsZero() {
		w.line(t, &in.InHeader, fuse.OK, "release", fmt.Sprintf("%d,%d", in.NodeId, in.Fh), "")
	}
}

func (w *watched) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Flush(cancel, in)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "flush", fmt.Sprintf("%d,%016X,%d", in.NodeId, in.LockOwner, in.Fh), "")
	}
	return st
}

func (w *watched) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Fsync(cancel, in)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "fsync", fmt.Sprintf("%d,%d,%d", in.NodeId, in.FsyncFlags, in.Fh), "")
	}
	return st
}

func (w *watched) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.Fallocate(cancel, in)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "fallocate", fmt.Sprintf("%d,%d,%d,%d", in.NodeId, in.Mode, in.Offset, in.Length), "")
	}
	return st
}

func (w *watched) CopyFileRange(cancel <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	t := w.start()
	n, st := w.RawFileSystem.CopyFileRange(cancel, in)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "copy_file_range", fmt.Sprintf("%d,%d,%d,%d,%d,%d", in.NodeId, in.OffIn, in.NodeIdOut, in.OffOut, in.Len, in.Flags), fmt.Sprint(n))
	}
	return n, st
}

func (w *watched) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.OpenDir(cancel, in, out)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "opendir", fmt.Sprint(in.NodeId), fmt.Sprintf("fh:%d", out.Fh))
	}
	return st
}

func (w *watched) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.ReadDir(cancel, in, out)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "readdir", fmt.Sprintf("%d,%d,%d", in.NodeId, in.Size, in.Offset), fmt.Sprint(len(out.Bytes())))
	}
	return st
}

func (w *watched) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.ReadDirPlus(cancel, in, out)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "readdirplus", fmt.Sprintf("%d,%d,%d", in.NodeId, in.Size, in.Offset), fmt.Sprint(len(out.Bytes())))
	}
	return st
}

func (w *watched) ReleaseDir(in *fuse.ReleaseIn) {
	t := w.start()
	w.RawFileSystem.ReleaseDir(in)
	if !t.IsZero() {
		w.line(t, &in.InHeader, fuse.OK, "releasedir", fmt.Sprintf("%d,%d", in.NodeId, in.Fh), "")
	}
}

func (w *watched) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, attr string, dest []byte) (uint32, fuse.Status) {
	t := w.start()
	n, st := w.RawFileSystem.GetXAttr(cancel, h, attr, dest)
	if !t.IsZero() {
		w.line(t, h, st, "getxattr", fmt.Sprintf("%d,%s,%d", h.NodeId, logName(attr), len(dest)), fmt.Sprint(n))
	}
	return n, st
}

func (w *watched) ListXAttr(cancel <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	t := w.start()
	n, st := w.RawFileSystem.ListXAttr(cancel, h, dest)
	if !t.IsZero() {
		w.line(t, h, st, "listxattr", fmt.Sprintf("%d,%d", h.NodeId, len(dest)), fmt.Sprint(n))
	}
	return n, st
}

func (w *watched) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, attr string, data []byte) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.SetXAttr(cancel, in, attr, data)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "setxattr", fmt.Sprintf("%d,%s,%d,%d", in.NodeId, logName(attr), len(data), in.Flags), "")
	}
	return st
}

func (w *watched) RemoveXAttr(cancel <-chan struct{}, h *fuse.InHeader, attr string) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.RemoveXAttr(cancel, h, attr)
	if !t.IsZero() {
		w.line(t, h, st, "removexattr", fmt.Sprintf("%d,%s", h.NodeId, logName(attr)), "")
	}
	return st
}

func (w *watched) GetLk(cancel <-chan struct{}, in *fuse.LkIn, out *fuse.LkOut) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.GetLk(cancel, in, out)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, "getlk", logLock(in, &in.Lk), fmt.Sprintf("%d,%d,%d,%d", out.Lk.Typ, out.Lk.Start, out.Lk.End, out.Lk.Pid))
	}
	return st
}

func (w *watched) SetLk(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.SetLk(cancel, in)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, lockName(in), logLock(in, &in.Lk), "")
	}
	return st
}

func (w *watched) SetLkw(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	t := w.start()
	st := w.RawFileSystem.SetLkw(cancel, in)
	if !t.IsZero() {
		w.line(t, &in.InHeader, st, lockName(in), logLock(in, &in.Lk)+",block", "")
	}
	return st
}

func lockName(in *fuse.LkIn) string {
	if in.LkFlags&fuse.LK_FLOCK != 0 {
		return "flock"
	}
	return "setlk"
}

func logLock(in *fuse.LkIn, l *fuse.FileLock) string {
	return fmt.Sprintf("%d,%d,%016X,%d,%d,%d", in.NodeId, in.Fh, in.Owner, l.Typ, l.Start, l.End)
}
