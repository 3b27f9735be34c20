package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"jfs/block"
)

// A block's file is its bytes, followed by a CRC-32C (Castagnoli, 4 bytes, big endian) of each piece of
// 4 KiB, the smallest read of a kernel's page cache, so that a read verifies what it touches and no more.
const pieceSize = 4 << 10

// The checksum modes, by the names that users give.
const (
	checkNone   = "none"
	checkFull   = "full"
	checkShrink = "shrink"
	checkExtend = "extend"
)

// errDamaged: the file is not what was written.
var errDamaged = errors.New("damaged cache file")

func pieces(size int) int        { return (size + pieceSize - 1) / pieceSize }
func fileSize(k block.Key) int64 { return int64(k.Size) + 4*int64(pieces(int(k.Size))) }

// castagnoli makes (or finds) the table that the hardware instruction serves.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// appendSums appends the checksums of data's pieces.
func appendSums(sums, data []byte) []byte {
	table := castagnoli()
	for len(data) > 0 {
		n := min(len(data), pieceSize)
		sums = binary.BigEndian.AppendUint32(sums, crc32.Checksum(data[:n], table))
		data = data[n:]
	}
	return sums
}

// fileKey names a file of the cache: a whole block, or the parts of a block that were read at random.
type fileKey struct {
	block.Key
	part bool
}

// partSuffix marks the file with parts of a block. It has the length and the form of the whole block's, with holes: a
// page whose checksums are not all there is not there.
const partSuffix = ".part"

// fileName is the name of a block's file in its directory.
func fileName(k fileKey) string {
	b := make([]byte, 0, 48)
	b = strconv.AppendUint(b, k.Slice, 10)
	b = append(b, '_')
	b = strconv.AppendUint(b, uint64(k.Index), 10)
	b = append(b, '_')
	b = strconv.AppendUint(b, uint64(k.Size), 10)
	if k.part {
		b = append(b, partSuffix...)
	}
	return string(b)
}

// parseName is the inverse of fileName.
func parseName(name string) (fileKey, bool) {
	whole, part := strings.CutSuffix(name, partSuffix)
	slice, rest, _ := strings.Cut(whole, "_")
	index, size, _ := strings.Cut(rest, "_")
	s, err1 := strconv.ParseUint(slice, 10, 64)
	i, err2 := strconv.ParseUint(index, 10, 32)
	n, err3 := strconv.ParseUint(size, 10, 32)
	k := fileKey{block.Key{Slice: s, Index: uint32(i), Size: uint32(n)}, part}
	return k, err1 == nil && err2 == nil && err3 == nil && fileName(k) == name
}

// fanOut names the directory of a block below blocks/: two hexadecimal digits of the slice.
func fanOut(n byte) string { return hexDigits[n>>4:n>>4+1] + hexDigits[n&15:n&15+1] }

const hexDigits = "0123456789abcdef"

const tempSuffix = ".tmp"

// layout is the directory of a disk tier:
//
//	{dir}/jfs-cache              the version of this layout
//	{dir}/blocks/{xx}/{slice}_{index}_{size}
//	{dir}/blocks/{xx}/{slice}_{index}_{size}.part    pages of a block
//	{dir}/blocks/{xx}/.{name}.{writer}.tmp   being written; renamed when complete
//
// Several processes may use it at the same time, because a block's content never changes.
type layout struct {
	dir  string
	mode fs.FileMode
	dev  uint64 // the device it was opened on
}

const (
	versionFile = "jfs-cache"
	versionText = "jfs block cache, layout 2\n"
	// oldVersion has checksums of larger pieces. Its files have another length by that, and go when they are found.
	oldVersion = "jfs block cache, layout 1\n"
)

// openLayout makes the directory if need be and tries a write.
func openLayout(dir string, mode fs.FileMode) (*layout, error) {
	l := &layout{dir: dir, mode: mode}
	err := os.MkdirAll(dir, l.dirMode())
	if err == nil {
		err = l.make()
	}
	if err == nil {
		l.dev, err = device(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open cache directory %s: %w; make it a writable directory or choose another one", dir, err)
	}
	return l, nil
}

// make completes an existing directory.
func (l *layout) make() error {
	if err := mkdir(filepath.Join(l.dir, "blocks"), l.dirMode()); err != nil {
		return err
	}
	name := filepath.Join(l.dir, versionFile)
	found, err := os.ReadFile(name)
	if err == nil && len(found) > 0 && !bytes.Equal(found, []byte(versionText)) && !bytes.Equal(found, []byte(oldVersion)) {
		return fmt.Errorf("%s names a layout that this version does not know: %q", name, found[:min(len(found), 64)])
	}
	return os.WriteFile(name, []byte(versionText), l.mode) // also when it is there: it shows that writing works
}

// restore completes a directory that was emptied, and makes it again if it was removed; but not when its
// disk is gone, because what lies under the mount point is somebody else's.
func (l *layout) restore() error {
	made := false
	switch err := os.Mkdir(l.dir, l.dirMode()); {
	case err == nil:
		made = true
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	dev, err := device(l.dir)
	if err != nil {
		return err
	}
	if dev != l.dev {
		if made {
			_ = os.Remove(l.dir)
		}
		return fmt.Errorf("another file system is at %s", l.dir)
	}
	return l.make()
}

func (l *layout) dirMode() fs.FileMode { return l.mode | l.mode>>2&0o111 | 0o700 }

func (l *layout) sub(slice uint64) string {
	return l.dir + "/blocks/" + fanOut(byte(slice))
}

func (l *layout) path(k fileKey) string { return l.sub(k.Slice) + "/" + fileName(k) }

// write stores a block under its name, whole or not at all, and returns the space that it takes. It does
// not sync: after a crash of the machine the checksums tell.
func (l *layout) write(k fileKey, data, sums []byte, writer string) (int64, error) {
	sub, name := l.sub(k.Slice), fileName(k)
	temp := sub + "/." + name + "." + writer + tempSuffix
	space, err := createFile(temp, l.mode, data, sums)
	if errors.Is(err, fs.ErrNotExist) {
		if err = mkdir(sub, l.dirMode()); err == nil {
			space, err = createFile(temp, l.mode, data, sums)
		}
	}
	if err != nil {
		return 0, err
	}
	path := sub + "/" + name
	if err := again(func() error { return unix.Rename(temp, path) }); err != nil { // os.Rename looks at the path first
		_ = os.Remove(temp)
		return 0, &os.LinkError{Op: "rename", Old: temp, New: path, Err: err}
	}
	return space, nil
}

// handle is a block's file open. Any number may read at once.
type handle struct {
	key   fileKey
	file  *os.File
	mu    sync.RWMutex // guards sums of a file with parts; a whole block's do not change
	sums  []byte
	space int64     // allocated bytes
	used  time.Time // last access known to the file system

	refs int // guarded by the mutex of handles
}

// open opens a block's file and reads its checksums; a file of the wrong length is damaged.
func (l *layout) open(k fileKey) (*handle, error) {
	how := os.O_RDONLY
	if k.part {
		how = os.O_RDWR // pages are added
	}
	f, err := os.OpenFile(l.path(k), how, 0)
	if err != nil {
		return nil, err
	}
	h := &handle{key: k, file: f, refs: 1}
	info, err := f.Stat()
	if err == nil && (info.Size() != fileSize(k.Key) || !info.Mode().IsRegular()) {
		err = errDamaged
	}
	if err == nil {
		h.space, h.used = allocated(info), lastUse(info)
		h.sums = make([]byte, 4*pieces(int(k.Size)))
		err = h.fill(h.sums, int(k.Size))
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return h, nil
}

// fill reads exactly len(dst) bytes at off.
func (h *handle) fill(dst []byte, off int) error {
	_, err := h.file.ReadAt(dst, int64(off))
	if err == io.EOF {
		return errDamaged
	}
	return err
}

// verify checks whole pieces, the first of which lies at off.
func (h *handle) verify(data []byte, off int) error {
	table := castagnoli()
	for len(data) > 0 {
		n := min(len(data), pieceSize)
		if crc32.Checksum(data[:n], table) != binary.BigEndian.Uint32(h.sums[off/pieceSize*4:]) {
			return errDamaged
		}
		data, off = data[n:], off+n
	}
	return nil
}

// read fills dst from the block's bytes at off and verifies as mode says. scratch has pieceSize bytes.
func (h *handle) read(dst []byte, off int, mode string, scratch []byte) error {
	size, end := int(h.key.Size), off+len(dst)
	// [first, last): the pieces that lie wholly in the read. They go to dst directly.
	first, last := pieces(off)*pieceSize, end/pieceSize*pieceSize
	if end == size {
		last = end
	}
	if first >= last {
		first, last = end, end
	}
	if mode == checkNone || mode == checkShrink {
		if err := h.fill(dst, off); err != nil || mode == checkNone {
			return err
		}
		return h.verify(dst[first-off:last-off], first)
	}
	if first < last {
		whole := dst[first-off : last-off]
		if err := h.fill(whole, first); err != nil {
			return err
		}
		if err := h.verify(whole, first); err != nil {
			return err
		}
	}
	from, to := off/pieceSize*pieceSize, min(pieces(end)*pieceSize, size)
	if mode == checkFull && !h.key.part {
		from, to = 0, size
	}
	for at := from; at < to; at += pieceSize {
		if first <= at && at < last {
			continue
		}
		piece := scratch[:min(pieceSize, size-at)]
		if err := h.fill(piece, at); err != nil {
			return err
		}
		if err := h.verify(piece, at); err != nil {
			return err
		}
		if lo, hi := max(at, off), min(at+len(piece), end); lo < hi {
			copy(dst[lo-off:hi-off], piece[lo-at:hi-at])
		}
	}
	return nil
}

func mkdir(dir string, mode fs.FileMode) error {
	if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// allocated is the disk space of a file; its length may be more (holes) or less (preallocation).
func allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// lastUse is the access time where the mount keeps it, else the time of writing.
func lastUse(info fs.FileInfo) time.Time {
	used := info.ModTime()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if t := time.Unix(st.Atim.Sec, st.Atim.Nsec); t.After(used) {
			return t
		}
	}
	return used
}

func device(name string) (uint64, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(name, &st); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return uint64(st.Dev), nil
}
