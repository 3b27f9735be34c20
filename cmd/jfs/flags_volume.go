package main

import (
	"github.com/spf13/pflag"

	"jfs/internal/units"
	"jfs/object/encrypt"
)

// storageOptions say where a volume keeps its objects.
type storageOptions struct {
	storage      string
	bucket       string
	accessKey    string
	secretKey    string
	sessionToken string
	storageClass string
}

// volumeOptions are the settings of a volume that can change during its life.
type volumeOptions struct {
	storageOptions
	capacity  uint64 // bytes
	inodes    uint64
	trashDays int
	enableACL bool
}

// Default places of the superuser. Others have theirs below their home directory.
const (
	defaultBucket   = "/var/jfs"
	defaultCacheDir = "/var/jfsCache"
	defaultLogFile  = "/var/log/juicefs.log"
)

const (
	envAccessKey    = "ACCESS_KEY"
	envSecretKey    = "SECRET_KEY"
	envSessionToken = "SESSION_TOKEN"
)

// storageFlags are the flags of the group "data storage" that format and config share.
func storageFlags[T any](in func(*T) *storageOptions) table[T] {
	return table[T]{
		{name: "storage", def: "file", to: toText(func(t *T) *string { return &in(t).storage }), help: "kind of object store: file, s3 or minio"},
		{name: "bucket", def: defaultBucket, to: toText(func(t *T) *string { return &in(t).bucket }), help: "where the objects go: a directory, or the URL of a bucket"},
		{name: "access-key", env: envAccessKey, to: toText(func(t *T) *string { return &in(t).accessKey }), help: "access key of the store"},
		{name: "secret-key", env: envSecretKey, to: toText(func(t *T) *string { return &in(t).secretKey }), help: "secret key of the store"},
		{name: "session-token", env: envSessionToken, to: toText(func(t *T) *string { return &in(t).sessionToken }), help: "session token of the store"},
		{name: "storage-class", to: toText(func(t *T) *string { return &in(t).storageClass }), help: "storage class of new objects"},
		{name: "tag", state: later, help: "tag of new objects"},
	}
}

// limitFlags are the flags of the group "management" that format and config share.
func limitFlags[T any](in func(*T) *volumeOptions) table[T] {
	return table[T]{
		{name: "capacity", to: func(t *T) pflag.Value { return unsignedSize{&in(t).capacity, units.GiB} }, help: "most data the volume may hold, in GiB unless a unit is given; 0 for no limit"},
		{name: "inodes", def: "0", to: toCount(func(t *T) *uint64 { return &in(t).inodes }), help: "most files and directories the volume may hold; 0 for no limit"},
		{name: "trash-days", def: "1", to: toCount(func(t *T) *int { return &in(t).trashDays }), help: "days for which removed files are kept; 0 removes them at once"},
		{name: "enable-acl", to: toBool(func(t *T) *bool { return &in(t).enableACL }), help: "POSIX access control lists; they cannot be turned off, and clients older than 1.2 cannot mount the volume then"},
		{name: "ranger-rest-url", state: later, help: "URL of an Apache Ranger server"},
		{name: "ranger-service", state: later, help: "service name in Apache Ranger"},
		{name: "kerberos-config-file", state: later, help: "configuration file of Kerberos"},
	}
}

type formatOptions struct {
	volumeOptions
	force      bool
	noUpdate   bool
	blockSize  int64 // bytes
	compress   string
	hashPrefix bool
	shards     int

	encryptKey  string // path
	encryptAlgo string
}

func formatFlags() table[formatOptions] {
	t := table[formatOptions]{
		{name: "force", to: toBool(func(o *formatOptions) *bool { return &o.force }), help: "change settings that should not change once the volume has data"},
		{name: "no-update", to: toBool(func(o *formatOptions) *bool { return &o.noUpdate }), help: "leave a volume that exists as it is"},
	}
	t = append(t, storageFlags(func(o *formatOptions) *storageOptions { return &o.storageOptions })...)
	t = append(t, table[formatOptions]{
		{name: "block-size", def: "4M", to: func(o *formatOptions) pflag.Value { return units.NewSize(&o.blockSize, units.KiB) }, help: "largest object, in KiB unless a unit is given"},
		{name: "compress", def: "none", to: toText(func(o *formatOptions) *string { return &o.compress }), help: "compression of the data: none, lz4 or zstd"},
		{name: "encrypt-rsa-key", to: toText(func(o *formatOptions) *string { return &o.encryptKey }), help: "file of the RSA private key, in PEM form, with which the data is encrypted; its pass phrase is taken from JFS_RSA_PASSPHRASE"},
		{name: "encrypt-algo", def: encrypt.AES, to: choice(func(o *formatOptions) *string { return &o.encryptAlgo }, encrypt.AES, encrypt.ChaCha), help: "cipher of encrypted data: aes256gcm-rsa or chacha20-rsa"},
		{name: "hash-prefix", to: toBool(func(o *formatOptions) *bool { return &o.hashPrefix }), help: "begin the names of objects with a hash"},
		{name: "shards", def: "0", to: toCount(func(o *formatOptions) *int { return &o.shards }), help: "spread the objects over so many buckets, whose number takes the place of %d in --bucket"},
	}...)
	return append(t, limitFlags(func(o *formatOptions) *volumeOptions { return &o.volumeOptions })...)
}

type configOptions struct {
	volumeOptions
	force         bool
	uploadLimit   int64 // Mbit/s
	downloadLimit int64 // Mbit/s
	minVersion    string
	maxVersion    string
	dirStats      bool
	ownerQuota    bool
	changeLog     bool
}

func configFlags() table[configOptions] {
	t := table[configOptions]{
		{name: "yes", short: "y", state: holds, boolean: true, help: "answer questions with yes; none is asked"},
		{name: "force", to: toBool(func(o *configOptions) *bool { return &o.force }), help: "do not check whether the store can be used"},
	}
	t = append(t, storageFlags(func(o *configOptions) *storageOptions { return &o.storageOptions })...)
	t = append(t, table[configOptions]{
		{name: "upload-limit", to: func(o *configOptions) pflag.Value { return bandwidthValue{&o.uploadLimit} }, help: "bandwidth of uploads of each client in Mbit/s; 0 for no limit"},
		{name: "download-limit", to: func(o *configOptions) pflag.Value { return bandwidthValue{&o.downloadLimit} }, help: "bandwidth of downloads of each client in Mbit/s; 0 for no limit"},
	}...)
	t = append(t, limitFlags(func(o *configOptions) *volumeOptions { return &o.volumeOptions })...)
	return append(t, table[configOptions]{
		{name: "encrypt-secret", state: holds, boolean: true, help: "store the secrets encrypted, as they always are"},
		{name: "min-client-version", to: toText(func(o *configOptions) *string { return &o.minVersion }), help: "oldest client that may mount the volume"},
		{name: "max-client-version", to: toText(func(o *configOptions) *string { return &o.maxVersion }), help: "newest client that may mount the volume"},
		{name: "dir-stats", to: toBool(func(o *configOptions) *bool { return &o.dirStats }), help: "keep statistics of directories; turning them on counts all directories"},
		{name: "user-group-quota", to: toBool(func(o *configOptions) *bool { return &o.ownerQuota }), help: "quotas of users and groups; turning them on counts what everybody owns"},
		{name: "changelog", to: toBool(func(o *configOptions) *bool { return &o.changeLog }), help: "record changes of the metadata; only false, which turns it off, is supported yet"},
		{name: "changelog-max-age", def: "2h", state: later, help: "how long recorded changes are kept"},
		{name: "changelog-max-lines", def: "0", state: later, help: "how many recorded changes are kept"},
		{name: "tier", def: "0", state: later, help: "storage tier that --storage-class and --tag are for", only: []string{"0"}},
	}...)
}

type statusOptions struct {
	session uint64
	more    bool
}

func statusFlags() table[statusOptions] {
	return table[statusOptions]{
		{name: "session", short: "s", def: "0", to: toCount(func(o *statusOptions) *uint64 { return &o.session }), help: "show this session with what it holds"},
		{name: "more", short: "m", to: toBool(func(o *statusOptions) *bool { return &o.more }), help: "show what is in the trash and what waits to be freed"},
	}
}

type umountOptions struct {
	force bool
	flush bool
}

func umountFlags() table[umountOptions] {
	return table[umountOptions]{
		{name: "force", short: "f", to: toBool(func(o *umountOptions) *bool { return &o.force }), help: "unmount although the mount point is busy or does not answer"},
		{name: "flush", to: toBool(func(o *umountOptions) *bool { return &o.flush }), help: "wait for as long as it takes until all data is in the store"},
	}
}
