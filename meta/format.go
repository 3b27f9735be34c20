package meta

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5" //nolint:gosec // the key derivation of the volume format
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Format says what a volume is. It is stored as JSON; the fields stand in the order in which they are written.
type Format struct {
	Name             string
	UUID             string
	Storage          string
	StorageClass     string          `json:",omitempty"`
	Tiers            map[string]Tier `json:"Tiers"`
	Bucket           string
	AccessKey        string `json:",omitempty"`
	SecretKey        string `json:",omitempty"`
	SessionToken     string `json:",omitempty"`
	BlockSize        int    // KiB
	Compression      string `json:",omitempty"`
	Shards           int    `json:",omitempty"`
	HashPrefix       bool   `json:",omitempty"`
	Capacity         uint64 `json:",omitempty"` // bytes, 0: no limit
	Inodes           uint64 `json:",omitempty"` // 0: no limit
	EncryptKey       string `json:",omitempty"`
	EncryptAlgo      string `json:",omitempty"`
	KeyEncrypted     bool   `json:",omitempty"`
	UploadLimit      int64  `json:",omitempty"` // Mbit/s
	DownloadLimit    int64  `json:",omitempty"` // Mbit/s
	TrashDays        int
	MetaVersion      int    `json:",omitempty"`
	MinClientVersion string `json:",omitempty"`
	MaxClientVersion string `json:",omitempty"`
	DirStats         bool   `json:",omitempty"`
	UserGroupQuota   bool   `json:",omitempty"`
	EnableACL        bool
	RangerRestURL    string `json:"RangerRestUrl,omitempty"`
	RangerService    string `json:",omitempty"`

	ChangeLog         bool   `json:",omitempty"`
	ChangeLogMaxAge   int64  `json:",omitempty"`
	ChangeLogMaxLines int64  `json:",omitempty"`
	KerbConf          string `json:",omitempty"`

	// unknown holds the fields that this client does not understand, so that they survive a rewrite.
	unknown map[string]json.RawMessage
}

// Tier is a storage class for objects.
type Tier struct {
	ID           int
	StorageClass string
	Tag          string
}

// Versions of the format that this client speaks.
const (
	// CompatVersion is the version of the official client whose volumes and rules this client follows; the
	// version limits in a format are compared with it.
	CompatVersion = "1.4.1"

	metaVersion      = 1
	minClientVersion = "1.1.0-A"
)

// Limits and defaults of a format.
const (
	DefaultBlockSize   = 4096 // KiB
	minBlockSize       = 64
	maxBlockSize       = 16384
	maxShards          = 256
	defaultEncryptAlgo = "aes256gcm-rsa"
)

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9\-]{1,61}[a-z0-9]$`)

// NewFormat gives the format of a new volume with its defaults; uuid is a random version 4 UUID.
func NewFormat(name, uuid string) Format {
	return Format{
		Name: name, UUID: uuid, Storage: "file", Bucket: "/var/jfs/",
		Tiers:     map[string]Tier{"0": {}},
		BlockSize: DefaultBlockSize, Compression: "none", EncryptAlgo: defaultEncryptAlgo,
		TrashDays: 1, MetaVersion: metaVersion, MinClientVersion: minClientVersion, DirStats: true,
	}
}

// Check says what is wrong with the values of a new format.
func (f *Format) Check() error {
	switch {
	case !nameForm.MatchString(f.Name):
		return fmt.Errorf("invalid volume name %q: it must be 3 to 63 characters of a-z, 0-9 and -, and neither begin nor end with -", f.Name)
	case f.BlockSize < minBlockSize || f.BlockSize > maxBlockSize || f.BlockSize&(f.BlockSize-1) != 0:
		return fmt.Errorf("invalid block size %d KiB: it must be a power of two from %d KiB to %d KiB", f.BlockSize, minBlockSize, maxBlockSize)
	case f.Compression != "" && f.Compression != "none" && f.Compression != "lz4" && f.Compression != "zstd":
		return fmt.Errorf("unsupported compression %q: choose none, lz4 or zstd", f.Compression)
	case f.Shards < 0 || f.Shards > maxShards:
		return fmt.Errorf("invalid number of shards %d: it must be from 0 to %d", f.Shards, maxShards)
	case f.Shards > 1 && !strings.Contains(f.Bucket, "%d"):
		return fmt.Errorf("%d shards need a bucket with %%d in its name", f.Shards)
	case f.TrashDays < 0:
		return fmt.Errorf("invalid number of trash days %d: 0 turns the trash off", f.TrashDays)
	}
	return nil
}

// BlockBytes is the size of a block in bytes.
func (f *Format) BlockBytes() uint32 { return uint32(f.BlockSize) << 10 }

// Usable says why this client cannot serve the volume, and what to do.
func (f *Format) Usable() error {
	if f.MetaVersion > metaVersion {
		return fmt.Errorf("volume %s has metadata version %d, this client supports up to %d: upgrade the client", f.Name, f.MetaVersion, metaVersion)
	}
	if f.MinClientVersion != "" && compareVersions(CompatVersion, f.MinClientVersion) < 0 {
		return fmt.Errorf("volume %s allows clients from version %s on, this one is compatible with %s: upgrade the client", f.Name, f.MinClientVersion, CompatVersion)
	}
	if f.MaxClientVersion != "" && compareVersions(CompatVersion, f.MaxClientVersion) > 0 {
		return fmt.Errorf("volume %s allows clients up to version %s, this one is compatible with %s: use an older client or raise the limit with config --max-client-version", f.Name, f.MaxClientVersion, CompatVersion)
	}
	switch {
	case f.ChangeLog:
		return fmt.Errorf("volume %s records a change log, which this version of the client does not support yet: turn it off with config --changelog=false", f.Name)
	case f.BlockSize < minBlockSize || f.BlockSize > maxBlockSize:
		return fmt.Errorf("%w: format of volume %s has block size %d KiB", ErrCorrupt, f.Name, f.BlockSize)
	}
	return nil
}

// compareVersions orders versions major[.minor[.patch]][-pre][+build]. A version without pre-release part is
// above the same one with; a part that is no number counts as 0.
func compareVersions(a, b string) int {
	an, ap := parseVersion(a)
	bn, bp := parseVersion(b)
	for i := range an {
		if an[i] != bn[i] {
			if an[i] < bn[i] {
				return -1
			}
			return 1
		}
	}
	switch {
	case ap == bp:
		return 0
	case ap == "":
		return 1
	case bp == "":
		return -1
	}
	return strings.Compare(ap, bp)
}

func parseVersion(s string) (n [3]int, pre string) {
	s, _, _ = strings.Cut(s, "+")
	s, pre, _ = strings.Cut(s, "-")
	for i, part := range strings.SplitN(s, ".", 3) {
		n[i], _ = strconv.Atoi(part) //nolint:errcheck // documented: no number counts as 0
	}
	return n, pre
}

// secretFields are the fields that are stored encrypted.
func (f *Format) secretFields() []*string {
	return []*string{&f.SecretKey, &f.SessionToken, &f.EncryptKey}
}

// removedSecret stands for a secret that a dump has left out.
const removedSecret = "removed"

// WithoutSecrets is the format for people and logs.
func (f Format) WithoutSecrets() Format {
	for _, s := range f.secretFields() {
		if *s != "" {
			*s = removedSecret
		}
	}
	return f
}

func (f *Format) sealer() (cipher.AEAD, error) {
	key := md5.Sum([]byte(f.UUID)) //nolint:gosec // the key derivation of the volume format
	c, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(c)
}

// Encode gives the stored JSON, with the secrets encrypted under a key that depends on the UUID.
func (f Format) Encode() ([]byte, error) {
	aead, err := f.sealer()
	if err != nil {
		return nil, err
	}
	f.KeyEncrypted = false
	for _, s := range f.secretFields() {
		if *s == "" {
			continue
		}
		nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(*s)+aead.Overhead())
		if _, err := rand.Read(nonce); err != nil {
			return nil, err
		}
		*s = base64.StdEncoding.EncodeToString(aead.Seal(nonce, nonce, []byte(*s), nil))
		f.KeyEncrypted = true
	}
	return f.marshal()
}

// marshal gives JSON with one field per line, the unknown ones at the end.
func (f *Format) marshal() ([]byte, error) {
	b, err := json.MarshalIndent(f, "", "")
	if err != nil || len(f.unknown) == 0 {
		return b, err
	}
	more, err := json.MarshalIndent(f.unknown, "", "")
	if err != nil {
		return nil, err
	}
	return append(append(bytes.TrimSuffix(b, []byte("\n}")), ',', '\n'), bytes.TrimPrefix(more, []byte("{\n"))...), nil
}

// ErrSecretRemoved: a secret of the volume was left out by a dump and has to be set again. The format that comes with
// this error has "removed" in its place and is complete otherwise.
var ErrSecretRemoved = errors.New("secret was removed by a dump: set it again with config")

// DecodeFormat reads the stored JSON and decrypts the secrets.
func DecodeFormat(b []byte) (Format, error) {
	f, err := parseFormat(b)
	if err != nil || !f.KeyEncrypted {
		return f, err
	}
	return f, f.decrypt()
}

// DumpSetting gives the stored JSON for a dump: the access to the object store is left out unless keepSecrets is set.
// What is encrypted stays encrypted.
func DumpSetting(stored []byte, keepSecrets bool) ([]byte, error) {
	f, err := parseFormat(stored)
	if err != nil {
		return nil, err
	}
	if !keepSecrets {
		for _, s := range []*string{&f.SecretKey, &f.SessionToken} {
			if *s != "" {
				*s = removedSecret
			}
		}
	}
	return f.marshal()
}

// parseFormat reads the stored JSON and leaves the secrets as they are.
func parseFormat(b []byte) (Format, error) {
	var f Format
	if err := json.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("%w: volume setting: %w", ErrCorrupt, err)
	}
	if err := json.Unmarshal(b, &f.unknown); err != nil {
		return f, fmt.Errorf("%w: volume setting: %w", ErrCorrupt, err)
	}
	known, err := json.Marshal(fullFormat())
	if err != nil {
		return f, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(known, &fields); err != nil {
		return f, err
	}
	for name := range fields {
		delete(f.unknown, name)
	}
	if f.Name == "" || f.UUID == "" {
		return f, fmt.Errorf("%w: volume setting has no name or UUID", ErrCorrupt)
	}
	if len(f.Tiers) == 0 {
		f.Tiers = map[string]Tier{"0": {StorageClass: f.StorageClass}}
	}
	if f.MetaVersion == 0 {
		f.MetaVersion = metaVersion
	}
	return f, nil
}

func (f *Format) decrypt() error {
	if f.EncryptAlgo == "sm4gcm" {
		return errors.New("the secrets of the volume are encrypted with sm4gcm, which this client does not support")
	}
	aead, err := f.sealer()
	if err != nil {
		return err
	}
	var removed error
	for _, s := range f.secretFields() {
		switch *s {
		case "":
			continue
		case removedSecret:
			removed = fmt.Errorf("volume %s: %w", f.Name, ErrSecretRemoved)
			continue
		}
		b, err := base64.StdEncoding.DecodeString(*s)
		if err != nil || len(b) < aead.NonceSize() {
			return fmt.Errorf("%w: encrypted secret in the volume setting", ErrCorrupt)
		}
		plain, err := aead.Open(nil, b[:aead.NonceSize()], b[aead.NonceSize():], nil)
		if err != nil {
			return fmt.Errorf("%w: secret in the volume setting does not decrypt with the volume's UUID", ErrCorrupt)
		}
		*s = string(plain)
	}
	f.KeyEncrypted = false
	return removed
}

// fullFormat has every field set, so that its JSON names them all.
func fullFormat() Format {
	return Format{
		StorageClass: "x", AccessKey: "x", SecretKey: "x", SessionToken: "x", Compression: "x", Shards: 1, HashPrefix: true,
		Capacity: 1, Inodes: 1, EncryptKey: "x", EncryptAlgo: "x", KeyEncrypted: true, UploadLimit: 1, DownloadLimit: 1,
		MetaVersion: 1, MinClientVersion: "x", MaxClientVersion: "x", DirStats: true, UserGroupQuota: true,
		RangerRestURL: "x", RangerService: "x", ChangeLog: true, ChangeLogMaxAge: 1, ChangeLogMaxLines: 1, KerbConf: "x",
	}
}
