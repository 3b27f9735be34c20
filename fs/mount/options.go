package mount

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"jfs/fs"
)

// Options are the settings of one mount. Only MountPoint and Volume are needed.
type Options struct {
	Log *slog.Logger // nil: no log

	MountPoint string
	Volume     string // name of the volume; the mount shows as "JuiceFS:<name>" of type fuse.juicefs
	Source     string // shown instead of "JuiceFS:<name>" when not empty (-o fsname=)

	// AllowOther lets users other than the owner of the mount in. Root's mounts always do, but for AllowRoot.
	AllowOther bool
	AllowRoot  bool // let the owner and root in, and nobody else
	ReadOnly   bool // the kernel refuses changes with EROFS

	// How long the kernel keeps what it was told before it asks again. 0 means 1 s, negative not at all.
	AttrTimeout     time.Duration
	EntryTimeout    time.Duration // names of anything but directories
	DirEntryTimeout time.Duration // names of directories
	NegativeTimeout time.Duration // names that do not exist; 0 means not at all

	// How long the kernel keeps what is watched, because the database tells of changes that others make. The kernel
	// is told of them then. 0, or less than the timeout above, means the timeout.
	AttrLease     time.Duration
	EntryLease    time.Duration
	DirEntryLease time.Duration

	MaxIO         int // largest read or write request in bytes; 0 means 1 MiB, the most that Linux takes by default
	MaxBackground int // requests of reading ahead and asynchronous I/O under way; 0 means 128
	// ReadAhead is how far the kernel reads ahead of a sequential reader, in bytes; 0 means 1 MiB, negative leaves
	// the 128 KiB of FUSE. More profits sequential readers, but faults of mapped files read that much around them.
	ReadAhead int

	// NoDefaultPermissions leaves the check of permission bits to the file system instead of the kernel.
	NoDefaultPermissions bool
	EnableXattr          bool // extended attributes; without, the kernel stops asking for them
	EnableCap            bool // file capabilities (security.capability); needs EnableXattr
	EnableSELinux        bool // labels (security.selinux); needs EnableXattr

	EnableACL   bool // access control lists; the kernel heeds them, and EnableXattr is implied
	EnableIoctl bool // attribute flags (chattr, lsattr)

	// RootSquash is who root acts as, AllSquash who everybody acts as; nil: themselves. Owners of new files and
	// permissions go by that user, for whom the kernel cannot check: it lets root pass and checks others as ever, and
	// with AllSquash NoDefaultPermissions is implied.
	RootSquash, AllSquash *Identity
	Umask                 *uint16 // of new files and directories, instead of the caller's; nil: the caller's

	// CacheDirs lets the kernel keep the listings of directories, and give them again as long as the directory has
	// not changed.
	CacheDirs bool
	Force     bool // mount also over a mount of a volume

	// LocalLocks keeps the locks of files in this kernel. Without, they hold among all clients of the volume, and each
	// close of a file that was open for reading costs a request more. Read-only mounts always do it.
	LocalLocks bool

	// WritebackCache lets the kernel gather writes. It then keeps its own size and mtime of files, so what other
	// machines write may be seen late.
	WritebackCache bool
	NonEmpty       bool // mount over a directory that has entries
	Debug          bool // log every request and answer

	// Timeout is the longest time that one request may take; 0 means 10 min, which is ten tries of a request to
	// an object store with a minute each.
	Timeout time.Duration
	// InterruptDelay is how long a request goes on after its caller got a signal; 0 means 500 ms, negative 0.
	// Programs that live with signals (timers, ends of children) do not expect EINTR from file I/O, so an
	// interrupt ends only what would not have ended by itself.
	InterruptDelay time.Duration
	// DetachDelay is how long requests may go on after the mount point is gone; 0 means 3 s, negative 0.
	DetachDelay time.Duration

	// Observe is told of every request: its name, how long it took, and its answer. nil: nobody is.
	Observe func(op string, d time.Duration, errno syscall.Errno)
	// Moved is told of the bytes of every read and write that went well. nil: nobody is.
	Moved func(write bool, n int)

	// AccessLog gets a line about every request while somebody reads it; nil: there is none.
	AccessLog *fs.AccessLog

	kernel []string // options of mount(2) that Set took, as given
	below  string   // device of the mount that is covered; "": there is none
}

const (
	defaultCache          = time.Second
	defaultMaxIO          = 1 << 20
	defaultMaxBackground  = 128
	defaultReadAhead      = 1 << 20
	defaultTimeout        = 10 * time.Minute
	defaultInterruptDelay = 500 * time.Millisecond
	defaultDetachDelay    = 3 * time.Second
)

// withDefaults fills what was left zero.
func (o Options) withDefaults() (Options, error) {
	switch {
	case o.MountPoint == "":
		return o, fmt.Errorf("mount: no mount point given")
	case o.Volume == "" && o.Source == "":
		return o, fmt.Errorf("mount %s: no volume name given", o.MountPoint)
	case o.AllowOther && o.AllowRoot:
		return o, fmt.Errorf("mount %s: options allow_other and allow_root exclude each other, give one of them", o.MountPoint)
	case o.MaxIO < 0 || o.MaxIO > 0 && o.MaxIO < 4096 || o.MaxIO > 16<<20:
		return o, fmt.Errorf("mount %s: largest request of %d bytes, want 4096 to 16777216", o.MountPoint, o.MaxIO)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.AllSquash != nil {
		o.NoDefaultPermissions = true
	}
	if o.EnableACL {
		o.EnableXattr = true
	}
	if o.Source == "" {
		o.Source = "JuiceFS:" + o.Volume
	}
	orDefault(&o.AttrTimeout, defaultCache)
	orDefault(&o.EntryTimeout, defaultCache)
	orDefault(&o.DirEntryTimeout, defaultCache)
	orDefault(&o.NegativeTimeout, 0)
	orDefault(&o.MaxIO, defaultMaxIO)
	orDefault(&o.MaxBackground, defaultMaxBackground)
	orDefault(&o.ReadAhead, defaultReadAhead)
	orDefault(&o.Timeout, defaultTimeout)
	orDefault(&o.InterruptDelay, defaultInterruptDelay)
	orDefault(&o.DetachDelay, defaultDetachDelay)
	return o, nil
}

// orDefault replaces 0 by def, and then what is negative, which means none, by 0.
func orDefault[T int | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
	*v = max(*v, 0)
}

// allowOther says whether the kernel is to let every user in. The kernel always lets the owner in, who is root
// when root mounts.
func (o *Options) allowOther() bool {
	if os.Geteuid() == 0 {
		return !o.AllowRoot
	}
	return o.AllowOther || o.AllowRoot
}

// mountFlags are the options of mount(2) that the kernel takes as bits. fusermount takes them as words.
var mountFlags = map[string]struct {
	bit uintptr
	off bool
}{
	"ro": {bit: syscall.MS_RDONLY}, "rw": {bit: syscall.MS_RDONLY, off: true},
	"nosuid": {bit: syscall.MS_NOSUID}, "suid": {bit: syscall.MS_NOSUID, off: true},
	"nodev": {bit: syscall.MS_NODEV}, "dev": {bit: syscall.MS_NODEV, off: true},
	"noexec": {bit: syscall.MS_NOEXEC}, "exec": {bit: syscall.MS_NOEXEC, off: true},
	"sync": {bit: syscall.MS_SYNCHRONOUS}, "async": {bit: syscall.MS_SYNCHRONOUS, off: true},
	"noatime": {bit: syscall.MS_NOATIME}, "atime": {bit: syscall.MS_NOATIME, off: true},
	"dirsync": {bit: syscall.MS_DIRSYNC}, "nodiratime": {bit: syscall.MS_NODIRATIME},
	"relatime": {bit: syscall.MS_RELATIME}, "strictatime": {bit: syscall.MS_STRICTATIME},
}

// forMount8 are words of fstab that concern mount(8) alone.
var forMount8 = []string{"defaults", "auto", "noauto", "user", "nouser", "users", "nofail", "_netdev"}

// Set takes a comma-separated list as in mount -o.
func (o *Options) Set(list string) error {
	for word := range strings.SplitSeq(list, ",") {
		word = strings.TrimSpace(word)
		name, value, _ := strings.Cut(word, "=")
		_, bit := mountFlags[word]
		switch {
		case word == "", slices.Contains(forMount8, word), strings.HasPrefix(word, "x-"), name == "comment":
		case word == "allow_other":
			o.AllowOther = true
		case word == "allow_root":
			o.AllowRoot = true
		case word == "default_permissions":
			o.NoDefaultPermissions = false
		case word == "writeback_cache":
			o.WritebackCache = true
		case word == "nonempty":
			o.NonEmpty = true
		case word == "debug":
			o.Debug = true
		case name == "fsname" && value != "":
			o.Source = value
		case bit:
			o.kernel = append(o.kernel, word)
			if name == "ro" || name == "rw" {
				o.ReadOnly = name == "ro"
			}
		default:
			return fmt.Errorf("mount option %q is not known; take it out of -o, which takes %s", word, knownWords())
		}
	}
	return nil
}

func knownWords() string {
	words := []string{"allow_other", "allow_root", "debug", "default_permissions", "fsname=NAME", "nonempty", "writeback_cache"}
	for w := range mountFlags {
		words = append(words, w)
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// bits gives the flags for mount(2), which only root can call: set-user-id bits and devices of the volume count as on
// any other file system that root mounts.
func (o *Options) bits() uintptr {
	var bits uintptr
	for _, w := range o.words() {
		if f := mountFlags[w]; f.off {
			bits &^= f.bit
		} else {
			bits |= f.bit
		}
	}
	return bits
}

// words gives the flags for fusermount.
func (o *Options) words() []string {
	words := slices.DeleteFunc(slices.Clone(o.kernel), func(w string) bool { return w == "ro" || w == "rw" })
	if o.ReadOnly {
		words = append(words, "ro")
	}
	return words
}

// sharesLocks says whether locks of files are those of the volume.
func (o *Options) sharesLocks() bool { return !o.LocalLocks && !o.ReadOnly }
