package maintain

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"jfs/meta"
)

// The members of a dump, as the volume format has them.

type dumpCounters struct {
	UsedSpace     int64 `json:"usedSpace"`
	UsedInodes    int64 `json:"usedInodes"`
	NextInodes    int64 `json:"nextInodes"`    // the next free one
	NextChunk     int64 `json:"nextChunk"`     // the next free slice
	NextSession   int64 `json:"nextSession"`   // the last one in use
	NextTrash     int64 `json:"nextTrash"`     // the last one in use
	LastChangelog int64 `json:"lastChangelog"` // always 0
}

type dumpSustained struct {
	Sid    uint64     `json:"sid"`
	Inodes []meta.Ino `json:"inodes"`
}

type dumpDelFile struct {
	Inode  meta.Ino `json:"inode"`
	Length uint64   `json:"length"`
	Expire int64    `json:"expire"`
}

type dumpQuota struct {
	MaxSpace  int64 `json:"maxSpace"`
	MaxInodes int64 `json:"maxInodes"`
}

type dumpAttr struct {
	Inode     meta.Ino `json:"inode"`
	Flags     uint8    `json:"flags,omitempty"`
	Type      string   `json:"type"`
	Mode      uint16   `json:"mode"`
	UID       uint32   `json:"uid"`
	GID       uint32   `json:"gid"`
	Atime     int64    `json:"atime"`
	Mtime     int64    `json:"mtime"`
	Ctime     int64    `json:"ctime"`
	AtimeNsec uint32   `json:"atimensec,omitempty"`
	MtimeNsec uint32   `json:"mtimensec,omitempty"`
	CtimeNsec uint32   `json:"ctimensec,omitempty"`
	Nlink     uint32   `json:"nlink"`
	Length    uint64   `json:"length"` // of files
	Rdev      uint32   `json:"rdev,omitempty"`
	Tier      uint8    `json:"tier,omitempty"`
}

type dumpXattr struct {
	Name  string `json:"name"`
	Value string `json:"value"` // escaped
}

type dumpChunk struct {
	Index  uint32      `json:"index"`
	Slices []dumpSlice `json:"slices"`
}

type dumpSlice struct {
	ID      uint64 `json:"id"`
	ChunkID uint64 `json:"chunkid,omitempty"` // the id in old dumps
	Pos     uint32 `json:"pos,omitempty"`
	Size    uint32 `json:"size"`
	Off     uint32 `json:"off,omitempty"`
	Len     uint32 `json:"len"`
}

type dumpACL struct {
	Owner  uint16         `json:"owner"`
	Group  uint16         `json:"group"`
	Other  uint16         `json:"other"`
	Mask   uint16         `json:"mask"`
	Users  []dumpACLEntry `json:"users"`
	Groups []dumpACLEntry `json:"groups"`
}

type dumpACLEntry struct {
	ID   uint32 `json:"id"`
	Perm uint16 `json:"perm"`
}

// typeNames are the types in the order of their numbers, from TypeFile on.
func typeNames() []string {
	return []string{"regular", "directory", "symlink", "fifo", "blockdev", "chardev", "socket"}
}

func typeName(t meta.Type) string { return typeNames()[t-meta.TypeFile] }

func typeOf(name string) (meta.Type, error) {
	for i, n := range typeNames() {
		if n == name {
			return meta.TypeFile + meta.Type(i), nil
		}
	}
	return 0, fmt.Errorf("type %q is unknown", name)
}

func dumpedAttr(ino meta.Ino, a *meta.Attr) dumpAttr {
	d := dumpAttr{
		Inode: ino, Flags: a.Flags, Type: typeName(a.Type), Mode: a.Mode, UID: a.UID, GID: a.GID,
		Atime: a.Atime.Sec, Mtime: a.Mtime.Sec, Ctime: a.Ctime.Sec,
		AtimeNsec: a.Atime.Nsec, MtimeNsec: a.Mtime.Nsec, CtimeNsec: a.Ctime.Nsec,
		Nlink: a.Nlink, Rdev: a.Rdev, Tier: a.Tier,
	}
	if a.Type == meta.TypeFile {
		d.Length = a.Length
	}
	return d
}

// attr gives the attribute without links, parent and ACLs, and without a length where that is not in the dump.
func (d *dumpAttr) attr() (meta.Attr, error) {
	t, err := typeOf(d.Type)
	if err != nil {
		return meta.Attr{}, fmt.Errorf("inode %d: %w", d.Inode, err)
	}
	for _, n := range []uint32{d.AtimeNsec, d.MtimeNsec, d.CtimeNsec} {
		if n > 999_999_999 {
			return meta.Attr{}, fmt.Errorf("inode %d: %d nanoseconds", d.Inode, n)
		}
	}
	a := meta.Attr{
		Flags: d.Flags, Type: t, Mode: d.Mode & 07777, UID: d.UID, GID: d.GID,
		Atime: meta.Time{Sec: d.Atime, Nsec: d.AtimeNsec}, Mtime: meta.Time{Sec: d.Mtime, Nsec: d.MtimeNsec},
		Ctime: meta.Time{Sec: d.Ctime, Nsec: d.CtimeNsec}, Rdev: d.Rdev, Tier: d.Tier,
	}
	switch t {
	case meta.TypeFile:
		a.Length = d.Length
	case meta.TypeDirectory:
		a.Length = 4096
	}
	return a, nil
}

func dumpedSlices(records []meta.Slice) []dumpSlice {
	list := make([]dumpSlice, len(records))
	for i, s := range records {
		list[i] = dumpSlice{ID: s.ID, Pos: s.Pos, Size: s.Size, Off: s.Off, Len: s.Len}
	}
	return list
}

// records gives the list of a chunk, checked as a reader of it would.
func (c *dumpChunk) records() ([]meta.Slice, error) {
	list := make([]meta.Slice, len(c.Slices))
	for i, s := range c.Slices {
		list[i] = meta.Slice{Pos: s.Pos, ID: max(s.ID, s.ChunkID), Size: s.Size, Off: s.Off, Len: s.Len}
	}
	return meta.DecodeSlices(meta.EncodeSlices(list))
}

// dumpedACL takes a stored rule apart.
func dumpedACL(rule []byte) (dumpACL, error) {
	r, err := meta.DecodeACL(rule)
	d := dumpACL{Owner: r.Owner, Group: r.Group, Other: r.Other, Mask: r.Mask}
	for _, e := range r.Users {
		d.Users = append(d.Users, dumpACLEntry(e))
	}
	for _, e := range r.Groups {
		d.Groups = append(d.Groups, dumpACLEntry(e))
	}
	return d, err
}

// rule is the stored form.
func (d *dumpACL) rule() []byte {
	r := meta.ACL{Owner: d.Owner, Group: d.Group, Other: d.Other, Mask: d.Mask}
	for _, e := range d.Users {
		r.Users = append(r.Users, meta.ACLEntry(e))
	}
	for _, e := range d.Groups {
		r.Groups = append(r.Groups, meta.ACLEntry(e))
	}
	return meta.EncodeACL(&r)
}

const hexDigits = "0123456789ABCDEF"

// escape writes bytes that JSON cannot hold, or that would be hard to read, as %XX.
func escape(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] > ' ' && s[i] < utf8.RuneSelf && s[i] != '%' && s[i] != '"' && s[i] != '\\'
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		c := s[i]
		if r == utf8.RuneError && n == 1 || c <= ' ' || c == '%' || c == '"' || c == '\\' {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// unescape undoes escape. A % without two digits stands for itself.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := hexValue(s[i+1]), hexValue(s[i+2])
			if hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// quoted is an escaped text as a JSON string. HTML is nobody's matter here.
func quoted(s string) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(escape(s)); err != nil { // of a string: never
		return []byte(`""`)
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// Compressed gives a writer that compresses as the name of the file says: .gz, .zstd or .zst, anything else not at all.
// Close must follow; it leaves w open.
func Compressed(name string, w io.Writer) (io.WriteCloser, error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewWriter(w), nil
	case strings.HasSuffix(name, ".zstd"), strings.HasSuffix(name, ".zst"):
		return zstd.NewWriter(w)
	}
	return plainWriter{w}, nil
}

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

// Decompressed gives a reader of a file that Compressed has written. Close must follow; it leaves r open.
func Decompressed(name string, r io.Reader) (io.ReadCloser, error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewReader(r)
	case strings.HasSuffix(name, ".zstd"), strings.HasSuffix(name, ".zst"):
		d, err := zstd.NewReader(r)
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}
