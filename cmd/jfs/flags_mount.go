package main

import (
	"io/fs"
	"time"

	"github.com/spf13/pflag"

	"jfs/fs/mount"
	"jfs/internal/units"
)

// mountOptions are what a mount does, after all flags are read.
type mountOptions struct {
	background   bool
	noSyslog     bool
	logFile      string
	hideInternal bool
	fstab        bool
	noHugePage   bool

	force bool

	enableIoctl    bool
	rootSquash     *mount.Identity // nil: themselves
	allSquash      *mount.Identity
	umask          *uint16 // nil: the caller's
	enableXattr    bool
	enableCap      bool
	enableSELinux  bool
	prefixInternal bool
	maxFuseIO      int64 // bytes
	fuse           []string

	subdir       string
	heartbeat    time.Duration
	readOnly     bool
	noBGJob      bool
	skipDirMtime time.Duration
	interfaces   string
	atimeMode    string
	sortDir      bool

	backupMeta      time.Duration
	backupSkipTrash bool

	attrCache     time.Duration
	entryCache    time.Duration
	dirEntryCache time.Duration
	negativeCache time.Duration
	openLimit     int
	openCache     time.Duration
	readdirCache  bool

	attrLease     time.Duration
	entryLease    time.Duration
	dirEntryLease time.Duration

	storageOptions
	getTimeout    time.Duration
	putTimeout    time.Duration
	retries       int
	maxUploads    int
	maxDownloads  int
	maxDeletes    int
	uploadLimit   int64 // Mbit/s
	downloadLimit int64 // Mbit/s
	checkStorage  bool

	bufferSize   int64 // bytes
	maxReadahead int64 // bytes
	prefetch     int
	memoryCache  int64 // bytes
	cacheDir     string
	cacheMode    fs.FileMode
	cacheSize    int64 // bytes
	cacheItems   int64
	cacheLarge   bool
	cachePartial bool
	freeSpace    float64
	checksum     string
	eviction     string
	cacheScan    time.Duration
	cacheExpire  time.Duration
	passthrough  string

	writeback     bool
	stageMost     int64 // bytes of a flush
	stageWriters  int
	uploadDelay   time.Duration
	uploadBetween hours

	inject distances

	metrics      string
	labels       string
	consul       string
	metricsGiven bool // on the command line
	consulGiven  bool
	inBackground bool       // serves a mount that -d has started
	ports        mountPorts // found while mounting
}

type mountTable = table[mountOptions]

// mountFlags are the flags of mount. Those that only hold say why in their help.
func mountFlags() mountTable {
	var t mountTable
	for _, group := range []mountTable{mountOwnFlags(), mountFuseFlags(), mountMetaFlags(), mountMetaCacheFlags(), mountStorageFlags(), mountCacheFlags(), mountMetricsFlags()} {
		t = append(t, group...)
	}
	return t
}

func span(field func(*mountOptions) *time.Duration) func(*mountOptions) pflag.Value {
	return func(o *mountOptions) pflag.Value { return units.NewDuration(field(o)) }
}

func mib(field func(*mountOptions) *int64) func(*mountOptions) pflag.Value {
	return func(o *mountOptions) pflag.Value { return units.NewSize(field(o), units.MiB) }
}

func mountOwnFlags() mountTable {
	return mountTable{
		{name: "background", short: "d", to: toBool(func(o *mountOptions) *bool { return &o.background }), help: "return when the volume is mounted, and serve it in the background"},
		{name: "no-syslog", to: toBool(func(o *mountOptions) *bool { return &o.noSyslog }), help: "in the background, do not log to syslog"},
		{name: "log", def: defaultLogFile, to: toText(func(o *mountOptions) *string { return &o.logFile }), help: "log file of a mount in the background"},
		{name: "force", to: toBool(func(o *mountOptions) *bool { return &o.force }), help: "mount also over a volume that is mounted there"},
		{name: "hide-internal", to: toBool(func(o *mountOptions) *bool { return &o.hideInternal }), help: "do not list .trash, .config and the other internal files in the root directory; they can be used nevertheless"},
		{name: "update-fstab", to: toBool(func(o *mountOptions) *bool { return &o.fstab }), help: "with -d, write this mount into /etc/fstab"},
		{name: "disable-transparent-hugepage", to: toBool(func(o *mountOptions) *bool { return &o.noHugePage }), help: "do without transparent huge pages, which can take more memory"},
	}
}

func mountFuseFlags() mountTable {
	return mountTable{
		{name: "enable-xattr", to: toBool(func(o *mountOptions) *bool { return &o.enableXattr }), help: "extended attributes"},
		{name: "enable-cap", to: toBool(func(o *mountOptions) *bool { return &o.enableCap }), help: "extended attributes and file capabilities (security.capability)"},
		{name: "enable-selinux", to: toBool(func(o *mountOptions) *bool { return &o.enableSELinux }), help: "extended attributes and SELinux labels (security.selinux)"},
		{name: "enable-ioctl", to: toBool(func(o *mountOptions) *bool { return &o.enableIoctl }), help: "flags of files by ioctl (chattr)"},
		{name: "root-squash", to: func(o *mountOptions) pflag.Value { return identityValue{&o.rootSquash} }, help: "user and group that root acts as, such as 65534:65534"},
		{name: "all-squash", to: func(o *mountOptions) pflag.Value { return identityValue{&o.allSquash} }, help: "user and group that everybody acts as, such as 65534:65534"},
		{name: "prefix-internal", to: toBool(func(o *mountOptions) *bool { return &o.prefixInternal }), help: "name the internal files .jfs.config, .jfs.trash, ... instead of .config, .trash, ..."},
		{name: "max-fuse-io", def: "1M", to: func(o *mountOptions) pflag.Value { return units.NewSize(&o.maxFuseIO, units.B) }, help: "largest request of the kernel, in bytes unless a unit is given"},
		{name: "umask", to: func(o *mountOptions) pflag.Value { return umaskValue{&o.umask} }, help: "umask of new files and directories in octal, instead of the one of who makes them"},
		{name: "o", short: "o", to: func(o *mountOptions) pflag.Value { return listValue{&o.fuse} }, help: "options of FUSE, and flags of this command without dashes, separated by commas"},
	}
}

func mountMetaFlags() mountTable {
	return mountTable{
		{name: "subdir", to: toText(func(o *mountOptions) *string { return &o.subdir }), help: "mount this directory of the volume, which is made if it is missing"},
		{name: "backup-meta", def: "1h", to: span(func(o *mountOptions) *time.Duration { return &o.backupMeta }), help: "interval of backups of the metadata into the store, 5m at least; 0 for none"},
		{name: "backup-skip-trash", to: toBool(func(o *mountOptions) *bool { return &o.backupSkipTrash }), help: "leave the trash out of backups of the metadata"},
		{name: "heartbeat", def: "12s", to: span(func(o *mountOptions) *time.Duration { return &o.heartbeat }), help: "interval at which this client tells that it is alive; 0 for never"},
		{name: "read-only", to: toBool(func(o *mountOptions) *bool { return &o.readOnly }), help: "allow no changes"},
		{name: "no-bgjob", to: toBool(func(o *mountOptions) *bool { return &o.noBGJob }), help: "leave cleaning up for other clients to them"},
		{name: "atime-mode", def: "noatime", to: choice(func(o *mountOptions) *string { return &o.atimeMode }, "noatime", "relatime", "strictatime"), help: "when the access time changes: noatime, never; relatime, when it is older than the last change or a day; strictatime, when it is older than a second"},
		{name: "skip-dir-nlink", def: "20", state: holds, help: "conflicts after which the links of a directory are not counted; counting them does not conflict here"},
		{name: "skip-dir-mtime", def: "100ms", to: span(func(o *mountOptions) *time.Duration { return &o.skipDirMtime }), help: "do not change the times of a directory again within this time"},
		{name: "sort-dir", to: toBool(func(o *mountOptions) *bool { return &o.sortDir }), help: "list directories in the order of names, for which they are read as a whole"},
		{name: "fast-statfs", boolean: true, state: holds, help: "tell the size of the volume without asking the database, as is always done here"},
		{name: "network-interfaces", to: toText(func(o *mountOptions) *string { return &o.interfaces }), help: "network interfaces whose addresses are shown in the session, separated by commas; empty for all"},
	}
}

func mountMetaCacheFlags() mountTable {
	return mountTable{
		{name: "attr-cache", def: "1.0s", to: span(func(o *mountOptions) *time.Duration { return &o.attrCache }), help: "how long the kernel may remember attributes; if not given, longer what Redis 6 or newer tells changes of"},
		{name: "entry-cache", def: "1.0s", to: span(func(o *mountOptions) *time.Duration { return &o.entryCache }), help: "how long the kernel may remember names of files; likewise"},
		{name: "dir-entry-cache", def: "1.0s", to: span(func(o *mountOptions) *time.Duration { return &o.dirEntryCache }), help: "how long the kernel may remember names of directories; likewise"},
		{name: "negative-entry-cache", to: span(func(o *mountOptions) *time.Duration { return &o.negativeCache }), help: "how long the kernel may remember that a name is not there"},
		{name: "readdir-cache", to: toBool(func(o *mountOptions) *bool { return &o.readdirCache }), help: "let the kernel remember listings of directories until they change"},
		{name: "open-cache", def: "0s", to: span(func(o *mountOptions) *time.Duration { return &o.openCache }), help: "how long an open may rely on remembered attributes, and miss what other clients have changed; 0 for never"},
		{name: "open-cache-limit", def: "10000", to: toCount(func(o *mountOptions) *int { return &o.openLimit }), help: "closed files of which is remembered where their data lies; 0 for no limit"},
	}
}

// watchedCache is how long the kernel may rely on what the database tells changes of, in the place of a time that
// was not given. It is told of changes at once; the time only bounds what might go wrong.
const watchedCache = time.Minute

// lease lets the kernel rely for longer on what is watched, but for what the user has given a time.
func (o *mountOptions) lease(set *pflag.FlagSet) {
	for name, lease := range map[string]*time.Duration{
		"attr-cache": &o.attrLease, "entry-cache": &o.entryLease, "dir-entry-cache": &o.dirEntryLease,
	} {
		if !set.Changed(name) {
			*lease = watchedCache
		}
	}
}

func mountStorageFlags() mountTable {
	return mountTable{
		{name: "storage", to: toText(func(o *mountOptions) *string { return &o.storage }), help: "kind of object store, instead of the volume's"},
		{name: "bucket", to: toText(func(o *mountOptions) *string { return &o.bucket }), help: "address of the bucket, instead of the volume's"},
		{name: "storage-class", to: toText(func(o *mountOptions) *string { return &o.storageClass }), help: "storage class of objects that this client writes"},
		{name: "tag", state: later, help: "tag of objects that this client writes"},
		{name: "get-timeout", def: "60s", to: span(func(o *mountOptions) *time.Duration { return &o.getTimeout }), help: "longest time of one attempt to load an object"},
		{name: "put-timeout", def: "60s", to: span(func(o *mountOptions) *time.Duration { return &o.putTimeout }), help: "longest time of one attempt to store an object"},
		{name: "io-retries", def: "10", to: toCount(func(o *mountOptions) *int { return &o.retries }), help: "attempts of a request to the store"},
		{name: "max-uploads", def: "20", to: toCount(func(o *mountOptions) *int { return &o.maxUploads }), help: "objects stored at a time"},
		{name: "max-downloads", def: "200", to: toCount(func(o *mountOptions) *int { return &o.maxDownloads }), help: "objects loaded at a time"},
		{name: "max-stage-write", def: "1000", to: toCount(func(o *mountOptions) *int { return &o.stageWriters }), help: "files staged at a time with --writeback"},
		{name: "max-deletes", def: "10", to: toCount(func(o *mountOptions) *int { return &o.maxDeletes }), help: "removed slices whose objects are deleted at a time; 0 leaves all objects"},
		{name: "upload-limit", to: func(o *mountOptions) pflag.Value { return bandwidthValue{&o.uploadLimit} }, help: "bandwidth of uploads in Mbit/s, instead of the volume's"},
		{name: "download-limit", to: func(o *mountOptions) pflag.Value { return bandwidthValue{&o.downloadLimit} }, help: "bandwidth of downloads in Mbit/s, instead of the volume's"},
		{name: "check-storage", to: toBool(func(o *mountOptions) *bool { return &o.checkStorage }), help: "before mounting, try whether the store can be used"},
	}
}

func mountCacheFlags() mountTable {
	return mountTable{
		{name: "buffer-size", def: "300M", to: mib(func(o *mountOptions) *int64 { return &o.bufferSize }), help: "memory for reading and writing, in MiB unless a unit is given"},
		{name: "max-readahead", to: mib(func(o *mountOptions) *int64 { return &o.maxReadahead }), help: "most that is read ahead of one reader, in MiB unless a unit is given; 0 for a share of the buffer"},
		{name: "prefetch", def: "1", to: toCount(func(o *mountOptions) *int { return &o.prefetch }), help: "blocks read ahead at a time, where the default of this client is not enough; sequential readers are always read ahead"},
		{name: "writeback", to: toBool(func(o *mountOptions) *bool { return &o.writeback }), help: "fsync and close wait for the cache's disk only, data is stored and published in the background"},
		{name: "writeback-threshold-size", def: "0", to: func(o *mountOptions) pflag.Value { return units.NewSize(&o.stageMost, units.B) }, help: "size from which data is stored at once with --writeback, in bytes unless a unit is given; 0 for none"},
		{name: "upload-delay", def: "0s", to: span(func(o *mountOptions) *time.Duration { return &o.uploadDelay }), help: "how long data waits before it is stored with --writeback"},
		{name: "upload-hours", to: func(o *mountOptions) pflag.Value { return &o.uploadBetween }, help: "hours of the day between which data is stored with --writeback, such as 0,6"},
		{name: "cache-dir", def: defaultCacheDir, to: toText(func(o *mountOptions) *string { return &o.cacheDir }), help: "directories of the cache, separated by colons; \"memory\" for none"},
		{name: "cache-mode", def: "0600", to: func(o *mountOptions) pflag.Value { return modeValue{&o.cacheMode} }, help: "mode of files in the cache"},
		{name: "cache-size", def: "100G", to: mib(func(o *mountOptions) *int64 { return &o.cacheSize }), help: "size of the cache, in MiB unless a unit is given; 0 for no cache"},
		{name: "cache-items", def: "0", to: toCount(func(o *mountOptions) *int64 { return &o.cacheItems }), help: "most blocks in the cache; 0 for no limit"},
		{name: "free-space-ratio", def: "0.1", to: func(o *mountOptions) pflag.Value { return ratioValue{&o.freeSpace} }, help: "share of the cache's disk that is left free"},
		{name: "cache-partial-only", to: toBool(func(o *mountOptions) *bool { return &o.cachePartial }), help: "cache no whole blocks, only parts of them that were read at random, and smaller blocks"},
		{name: "cache-large-write", to: toBool(func(o *mountOptions) *bool { return &o.cacheLarge }), help: "cache also whole blocks when they are written, not only smaller ones"},
		{name: "verify-cache-checksum", def: "extend", to: choice(func(o *mountOptions) *string { return &o.checksum }, "none", "full", "shrink", "extend"), help: "what a read from the cache verifies: none, full, shrink or extend"},
		{name: "cache-eviction", def: "2-random", to: choice(func(o *mountOptions) *string { return &o.eviction }, "2-random", "lru", "none"), help: "which blocks go when the cache is full: 2-random, lru, or none for no new ones"},
		{name: "cache-scan-interval", def: "1h", to: span(func(o *mountOptions) *time.Duration { return &o.cacheScan }), help: "interval at which the cache is compared with its disk; 0 for never"},
		{name: "cache-expire", def: "0s", to: span(func(o *mountOptions) *time.Duration { return &o.cacheExpire }), help: "blocks go that were not read for so long; 0 for never"},
		{name: "passthrough", def: "off", to: choice(func(o *mountOptions) *string { return &o.passthrough }, "auto", "off"), help: "let the kernel read files by itself that lie whole in the cache on disk: auto, where it can, or off"},
		{name: "memory-cache-size", def: defaultMemoryCache, to: mib(func(o *mountOptions) *int64 { return &o.memoryCache }), help: "cache in memory in front of the one on disk, in MiB unless a unit is given; 0 for none"},
	}
}

func mountMetricsFlags() mountTable {
	return mountTable{
		{name: "inject", to: func(o *mountOptions) pflag.Value { return injectValue{&o.inject} }, help: "for measurements: make the store or the database distant, as in \"store:delay=20ms,bandwidth=100M,errors=1%;meta:delay=2ms\""},
		{name: "metrics", def: "127.0.0.1:9567", to: toText(func(o *mountOptions) *string { return &o.metrics }), help: "address at which metrics are served at /metrics, for Prometheus; if it is in use and was not asked for, a free port is taken; \"\" for none"},
		{name: "custom-labels", to: toText(func(o *mountOptions) *string { return &o.labels }), help: "labels that all metrics get, such as \"zone:a;team:storage\""},
		{name: "consul", def: "127.0.0.1:8500", to: toText(func(o *mountOptions) *string { return &o.consul }), help: "address of a Consul agent, with which the address of the metrics is registered; only if it is given"},
		{name: "no-usage-report", boolean: true, state: holds, help: "send no report of usage, as is never done"},
	}
}

func choice[T any](field func(*T) *string, words ...string) func(*T) pflag.Value {
	return func(o *T) pflag.Value { return choiceValue{field(o), words} }
}

// defaultMemoryCache holds the blocks that are read again at once; for the others the kernel's page cache keeps the
// files of the cache on disk.
const defaultMemoryCache = "100M"
