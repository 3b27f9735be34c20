package fs

import (
	"context"
	"os"
	"strings"
	"sync"

	"jfs/internal/posix"
	"jfs/meta"
)

// Inodes of the files in the root of a mount that no volume stores (volume format, section 7).
const (
	AccessLogIno meta.Ino = 0x7FFFFFFF00000001 + iota
	ControlIno
	StatsIno
	ConfigIno
)

// IsVirtual says whether the inode is one of a file that no volume stores.
func IsVirtual(ino meta.Ino) bool { return ino >= AccessLogIno && ino <= ConfigIno }

// Virtual says what the files hold that no volume stores. With the zero value they are there and empty.
type Virtual struct {
	Config    func() []byte                    // content of .config
	Stats     func(ctx context.Context) []byte // content of .stats
	Control   Controller                       // carries out what is asked for through .control
	AccessLog *AccessLog                       // lines of .accesslog
}

// Prefixes of the special names in the root: the usual one, and the one that gets out of the way of files that are
// called .config (Options.PrefixInternal).
const (
	plainPrefix = "."
	jfsPrefix   = ".jfs."
)

// special gives the inode of a name that belongs to the file system itself. The control file is found in every
// directory, so that whoever has a path needs not know where the mount begins; it is reserved in the root only.
func (f *FS) special(dir meta.Ino, name string) (meta.Ino, bool) {
	if name == "" || name[0] != '.' { // as nearly all names
		return 0, false
	}
	word, ok := strings.CutPrefix(name, f.prefix)
	if !ok {
		return 0, false
	}
	root, virtual := dir == f.opt.Root, f.opt.Virtual != nil
	switch {
	case word == "trash" && root && f.opt.Root == meta.RootIno:
		return meta.TrashIno, true
	case word == "control" && virtual:
		return ControlIno, true
	case !root || !virtual:
		return 0, false
	}
	switch word {
	case "accesslog":
		return AccessLogIno, true
	case "stats":
		return StatsIno, true
	case "config":
		return ConfigIno, true
	}
	return 0, false
}

// reserved says whether a name in a directory may be neither made nor removed.
func (f *FS) reserved(dir meta.Ino, name string) bool {
	if dir != f.opt.Root {
		return false
	}
	_, ok := f.special(dir, name)
	return ok
}

// listed gives the special entries of a directory that its listing shows.
func (f *FS) listed(dir meta.Ino) []meta.Dirent {
	if dir != f.opt.Root || f.opt.HideInternal {
		return nil
	}
	var all []meta.Dirent
	for _, word := range []string{"accesslog", "stats", "config", "trash"} {
		name := f.prefix + word
		ino, ok := f.special(dir, name)
		if !ok || ino == meta.TrashIno && f.vol.Format().TrashDays == 0 {
			continue
		}
		e := meta.Dirent{Name: name, Entry: meta.Entry{Type: meta.TypeDirectory, Ino: ino}}
		if IsVirtual(ino) {
			a := f.virtualAttr(ino)
			e.Type, e.Attr = meta.TypeFile, &a
		}
		all = append(all, e)
	}
	return all
}

func (f *FS) virtualAttr(ino meta.Ino) meta.Attr {
	at := meta.TimeOf(f.started)
	a := meta.Attr{
		Type: meta.TypeFile, Mode: 0400, Nlink: 1, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
		Atime: at, Mtime: at, Ctime: at, Parent: f.opt.Root,
	}
	switch ino {
	case StatsIno:
		a.Mode = 0444
	case ControlIno:
		a.Mode = 0666
	}
	return a
}

// setVirtual is SetAttr of a virtual file: a shell's ">" truncates it, which changes nothing, and all else is refused.
func (f *FS) setVirtual(ino meta.Ino, s SetAttr) (meta.Attr, error) {
	if s.Change != (meta.Change{}) {
		return meta.Attr{}, posix.EPERM
	}
	return f.virtualAttr(ino), nil
}

// VirtualFile is an open file that no volume stores. It is to be read and written past the kernel's cache.
type VirtualFile struct {
	fs    *FS
	log   *logReader
	asker *asker
	make  func(context.Context) []byte

	mu      sync.Mutex // guards content
	content []byte     // as of the last read from the beginning
}

// OpenVirtual opens one of the files that no volume stores; flags are those of open(2). What is asked for through
// the control file is done as who.
func (f *FS) OpenVirtual(who meta.Cred, ino meta.Ino, flags int) (*VirtualFile, error) {
	v := f.opt.Virtual
	if v == nil || !IsVirtual(ino) {
		return nil, posix.ENOENT
	}
	want, mask := openFor(flags), uint16(0)
	if want.Read {
		mask |= meta.MayRead
	}
	if want.Write || want.Truncate {
		mask |= meta.MayWrite
	}
	if err := f.mayUse(who, ino, mask); err != nil {
		return nil, err
	}
	h := &VirtualFile{fs: f}
	switch {
	case ino == ControlIno:
		h.asker = newAsker(f, who)
	case ino == AccessLogIno && v.AccessLog != nil:
		h.log = v.AccessLog.open()
	case ino == StatsIno && v.Stats != nil:
		h.make = v.Stats
	case ino == ConfigIno && v.Config != nil:
		h.make = func(context.Context) []byte { return v.Config() }
	}
	return h, nil
}

// mayUse is the check of the permission bits, of which nobody owns those for groups.
func (f *FS) mayUse(who meta.Cred, ino meta.Ino, mask uint16) error {
	a := f.virtualAttr(ino)
	bits := a.Mode
	if who.UID == a.UID {
		bits >>= 6
	}
	if who.UID != 0 && bits&mask != mask {
		return posix.EACCES
	}
	return nil
}

// Direct says that the kernel must not cache what is read and written.
func (h *VirtualFile) Direct() bool { return true }

// Read gives what is there. Of the log and the control file the offset means nothing: they are streams, and a read of
// them that finds nothing for a second gives a line "#" or nothing.
func (h *VirtualFile) Read(ctx context.Context, off uint64, dst []byte) (int, error) {
	switch {
	case h.log != nil:
		return h.log.read(ctx, dst)
	case h.asker != nil:
		return h.asker.read(ctx, dst)
	case h.make == nil:
		return 0, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if off == 0 || h.content == nil {
		h.content = h.make(ctx)
	}
	if off >= uint64(len(h.content)) {
		return 0, nil
	}
	return copy(dst, h.content[off:]), nil
}

// Write takes a piece of a request.
func (h *VirtualFile) Write(_ context.Context, _ uint64, src []byte) (int, error) {
	if h.asker == nil {
		return 0, posix.EACCES
	}
	return h.asker.write(src)
}

// Fallocate is not for files that take no room.
func (h *VirtualFile) Fallocate(context.Context, uint32, uint64, uint64) error { return posix.ENOTSUP }

// Seek finds neither data nor holes.
func (h *VirtualFile) Seek(context.Context, uint64, uint32) (uint64, error) { return 0, posix.EINVAL }

// Flush does nothing.
func (h *VirtualFile) Flush(context.Context) error { return nil }

// Fsync does nothing.
func (h *VirtualFile) Fsync(context.Context) error { return nil }

// Release ends what was asked for and is under way.
func (h *VirtualFile) Release(context.Context) {
	switch {
	case h.log != nil:
		h.log.close()
	case h.asker != nil:
		h.asker.cancel()
	}
}
