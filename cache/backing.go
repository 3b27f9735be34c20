package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"jfs/block"
)

// Extent is a run of a file's bytes: Len bytes at Pos are those of a slice from Off on.
type Extent struct {
	Pos   uint64
	Len   uint32
	Slice uint64
	Size  uint32 // of the whole slice
	Off   uint32
}

// Layout says what a file consists of. The extents are in order and do not overlap; bytes that are in none are zeros.
type Layout struct {
	Ino     uint64
	Length  uint64
	Extents []Extent
}

// Equal reports whether two layouts are of the same bytes.
func (l *Layout) Equal(other *Layout) bool {
	return l.Ino == other.Ino && l.Length == other.Length && slices.Equal(l.Extents, other.Extents)
}

// blocks calls each for every block that lies wholly in an extent, with its place in the file.
func (l *Layout) blocks(blockSize uint32, each func(key block.Key, pos uint64)) {
	for _, e := range l.Extents {
		for i := (e.Off + blockSize - 1) / blockSize; i < block.Count(e.Size, blockSize); i++ {
			key := block.KeyAt(e.Slice, e.Size, i, blockSize)
			if uint64(i)*uint64(blockSize)+uint64(key.Size) > uint64(e.Off)+uint64(e.Len) {
				break
			}
			each(key, e.Pos+uint64(i*blockSize-e.Off))
		}
	}
}

// Backing is the copy of a whole file, of exactly its length, which a kernel can read by itself. Its checksums are in a
// file of their own. Whoever got it from Backed.Open holds it until Done.
type Backing struct {
	in     *Backed
	layout Layout

	// Guarded by the mutex of in.
	held       int
	data, sums *os.File // nil while it is not open
	space      int64
	used       time.Time
	verified   bool   // by this process
	gone       bool   // it is not in the cache any more
	fresh      []byte // the checksums while it is being made; complete for what can be read from it
}

// The file of checksums: a header with the layout and its own checksum, and a CRC-32C of each 4 KiB of the data.
const (
	sumsMagic  = "jfsback1"
	sumsSuffix = ".sums"
	extentSize = 28
)

func (l *Layout) header() []byte {
	b := append([]byte(sumsMagic), make([]byte, 4)...)
	b = binary.BigEndian.AppendUint64(b, l.Ino)
	b = binary.BigEndian.AppendUint64(b, l.Length)
	for _, e := range l.Extents {
		b = binary.BigEndian.AppendUint64(b, e.Pos)
		b = binary.BigEndian.AppendUint32(b, e.Len)
		b = binary.BigEndian.AppendUint64(b, e.Slice)
		b = binary.BigEndian.AppendUint32(b, e.Size)
		b = binary.BigEndian.AppendUint32(b, e.Off)
	}
	binary.BigEndian.PutUint32(b[len(sumsMagic):], uint32(len(l.Extents)))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

func (l *Layout) headerSize() int64 {
	return int64(len(sumsMagic)) + 4 + 16 + extentSize*int64(len(l.Extents)) + 4
}

// parseHeader is the inverse of header for a file of checksums.
func parseHeader(r io.Reader) (l Layout, err error) {
	fixed := make([]byte, len(sumsMagic)+4+16)
	if _, err := io.ReadFull(r, fixed); err != nil || string(fixed[:len(sumsMagic)]) != sumsMagic {
		return l, errDamaged
	}
	at := fixed[len(sumsMagic):]
	n := binary.BigEndian.Uint32(at)
	l.Ino, l.Length = binary.BigEndian.Uint64(at[4:]), binary.BigEndian.Uint64(at[12:])
	if n > 1<<24 {
		return l, errDamaged
	}
	rest := make([]byte, extentSize*int(n)+4)
	if _, err := io.ReadFull(r, rest); err != nil {
		return l, errDamaged
	}
	for at := rest; len(at) > 4; at = at[extentSize:] {
		l.Extents = append(l.Extents, Extent{
			Pos: binary.BigEndian.Uint64(at), Len: binary.BigEndian.Uint32(at[8:]), Slice: binary.BigEndian.Uint64(at[12:]),
			Size: binary.BigEndian.Uint32(at[20:]), Off: binary.BigEndian.Uint32(at[24:]),
		})
	}
	if !bytes.Equal(l.header(), append(fixed, rest...)) {
		return l, errDamaged
	}
	return l, nil
}

func pagesOf(length uint64) uint64 { return (length + pieceSize - 1) / pieceSize }

func (bk *Backing) path() string { return bk.in.dir + "/" + strconv.FormatUint(bk.layout.Ino, 10) }

// openFiles opens both files of a backing that was made before. The mutex of in is held.
func (bk *Backing) openFiles() error {
	if bk.data != nil {
		return nil
	}
	data, err := os.OpenFile(bk.path(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	sums, err := os.Open(bk.path() + sumsSuffix)
	if err != nil {
		_ = data.Close()
		return err
	}
	bk.data, bk.sums = data, sums
	return nil
}

// closeFiles is called with the mutex of in held.
func (bk *Backing) closeFiles() {
	if bk.data != nil {
		_ = bk.data.Close()
		_ = bk.sums.Close()
		bk.data, bk.sums = nil, nil
	}
}

// sumsOf gives the checksums of n pages from the first on. The caller holds bk.
func (bk *Backing) sumsOf(first, n uint64) ([]byte, error) {
	bk.in.mu.Lock()
	fresh := bk.fresh
	bk.in.mu.Unlock()
	if fresh != nil {
		return fresh[4*first : 4*(first+n)], nil
	}
	sums := make([]byte, 4*n)
	if _, err := bk.sums.ReadAt(sums, bk.layout.headerSize()+int64(4*first)); err != nil {
		return nil, notWhole(err)
	}
	return sums, nil
}

func notWhole(err error) error {
	if errors.Is(err, io.EOF) {
		return errDamaged
	}
	return err
}

// readAt fills dst from pos on and verifies the pages that it touches. The caller holds bk.
func (bk *Backing) readAt(dst []byte, pos uint64) error {
	if len(dst) == 0 {
		return nil
	}
	from := pos / pieceSize * pieceSize
	to := min(pagesOf(pos+uint64(len(dst)))*pieceSize, bk.layout.Length)
	buf := dst
	if uint64(len(dst)) != to-from {
		buf = make([]byte, to-from)
	}
	sums, err := bk.sumsOf(from/pieceSize, pagesOf(to-from))
	if err != nil {
		return err
	}
	if _, err := bk.data.ReadAt(buf, int64(from)); err != nil {
		return notWhole(err)
	}
	if !bytes.Equal(appendSums(make([]byte, 0, len(sums)), buf), sums) {
		return errDamaged
	}
	if uint64(len(dst)) != to-from {
		copy(dst, buf[pos-from:])
	}
	return nil
}

// verifyUnit is how much is verified at a time, in bytes.
const verifyUnit = 1 << 20

// verify compares all of the file with its checksums.
func (bk *Backing) verify(ctx context.Context) error {
	info, err := bk.data.Stat()
	if err != nil {
		return err
	}
	if uint64(info.Size()) != bk.layout.Length {
		return errDamaged
	}
	buf := make([]byte, min(verifyUnit, bk.layout.Length))
	for pos := uint64(0); pos < bk.layout.Length; pos += verifyUnit {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := bk.readAt(buf[:min(verifyUnit, bk.layout.Length-pos)], pos); err != nil {
			return err
		}
	}
	return nil
}

// File is the data. What changes it calls Detach before.
func (bk *Backing) File() *os.File { return bk.data }

// Layout is what the backing was made of.
func (bk *Backing) Layout() *Layout { return &bk.layout }

// InUse reports whether anybody else has the file open or mapped, a kernel that reads it included. It asks for a lease,
// which is granted only to who has a file alone.
func (bk *Backing) InUse() bool { return !alone(bk.data) }

func alone(f *os.File) bool {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return false
	}
	_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	return true
}

// Kept reports whether the backing is in the cache still.
func (bk *Backing) Kept() bool {
	bk.in.mu.Lock()
	defer bk.in.mu.Unlock()
	return !bk.gone
}

// Detach takes the backing out of the cache. Who has it keeps it, and may change it from then on; the space counts
// until Done, and until nobody has it mapped.
func (bk *Backing) Detach() {
	bk.in.mu.Lock()
	defer bk.in.mu.Unlock()
	bk.in.drop(bk)
}

// Done gives the backing back. One that has left the cache is closed.
func (bk *Backing) Done() {
	bk.in.mu.Lock()
	defer bk.in.mu.Unlock()
	bk.in.release(bk)
}

// unlinkFiles removes the names, the checksums first: without them the data is nothing.
func (bk *Backing) unlinkFiles() error {
	var errs []error
	for _, name := range [...]string{bk.path() + sumsSuffix, bk.path()} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
