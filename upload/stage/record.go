package stage

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// A segment is a sequence of records: a header of 56 bytes and a body. All numbers are little endian.
//
//	 0  magic "jfsr"
//	 4  kind, 3 bytes zero
//	 8  length of the body
//	12  zero
//	16  number of the record in the journal
//	24  number of the segment, which tells the record from what an earlier use of the file has left
//	32  what the record is about: inode of a commit, slice of a block
//	40  xxhash64 of the body
//	48  xxhash64 of what is before
const (
	headerSize = 56
	magic      = 0x7273666a
	version    = 1
)

type kind uint8

const (
	kindHead   kind = 1 + iota // first record of a segment: version and block size
	kindBlock                  // a block of a slice
	kindCommit                 // what a flush has written to a file
	kindPlan                   // commits are about to be published, under these numbers
	kindDone                   // commits are published, or dropped
)

// bodyMost bounds a body: a block of 16 MiB, or a commit of some hundred thousand records.
const bodyMost = 17 << 20

// Time is a point in time.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Extent is a slice record: bytes [Off, Off+Len) of the slice ID, which has Size bytes, at Pos of a chunk.
type Extent struct {
	Chunk, Pos     uint32
	ID             uint64
	Size, Off, Len uint32
}

// Target says where the bytes of a staged slice are published: at Base of slice ID, which has Size bytes.
type Target struct {
	Slice uint64 // as staged
	ID    uint64
	Base  uint32
	Size  uint32
}

type header struct {
	kind    kind
	length  uint32
	number  uint64
	segment uint64
	subject uint64
	sum     uint64 // of the body
}

var errHeader = errors.New("bad header")

func (h *header) put(b []byte) {
	le := binary.LittleEndian
	clear(b[:headerSize])
	le.PutUint32(b, magic)
	b[4] = byte(h.kind)
	le.PutUint32(b[8:], h.length)
	le.PutUint64(b[16:], h.number)
	le.PutUint64(b[24:], h.segment)
	le.PutUint64(b[32:], h.subject)
	le.PutUint64(b[40:], h.sum)
	le.PutUint64(b[48:], xxhash.Sum64(b[:48]))
}

func (h *header) parse(b []byte) error {
	le := binary.LittleEndian
	if le.Uint32(b) != magic || le.Uint64(b[48:]) != xxhash.Sum64(b[:48]) {
		return errHeader
	}
	*h = header{kind(b[4]), le.Uint32(b[8:]), le.Uint64(b[16:]), le.Uint64(b[24:]), le.Uint64(b[32:]), le.Uint64(b[40:])}
	if h.length > bodyMost {
		return errHeader
	}
	return nil
}

// frame appends a record to b. The body is what add appends.
func frame(b []byte, h header, add func([]byte) []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, headerSize)...)
	b = add(b)
	body := b[at+headerSize:]
	h.length, h.sum = uint32(len(body)), xxhash.Sum64(body)
	h.put(b[at:])
	return b
}

func headBody(blockSize uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, version)
	return binary.LittleEndian.AppendUint32(b, blockSize)
}

// blockHead is what precedes the bytes in the body of a block: the index and the size of the block.
const blockHead = 8

const extentSize = 4*5 + 8

func (c *Commit) body(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, c.seq)
	b = appendTime(b, c.Mtime)
	b = appendTime(b, c.Base)
	b = appendTime(b, c.Staged)
	b = le.AppendUint32(b, uint32(len(c.Extents)))
	for _, e := range c.Extents {
		b = le.AppendUint32(b, e.Chunk)
		b = le.AppendUint32(b, e.Pos)
		b = le.AppendUint64(b, e.ID)
		b = le.AppendUint32(b, e.Size)
		b = le.AppendUint32(b, e.Off)
		b = le.AppendUint32(b, e.Len)
	}
	return b
}

func appendTime(b []byte, t Time) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Sec))
	return binary.LittleEndian.AppendUint32(b, t.Nsec)
}

// reader takes numbers off a body; past its end it gives zeros and remembers that.
type reader struct {
	b    []byte
	over bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.over, r.b = true, nil
		return make([]byte, n)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }
func (r *reader) time() Time  { return Time{int64(r.u64()), r.u32()} }

// count reads the number of items of a size that follow.
func (r *reader) count(size int) int {
	n := int(r.u32())
	if n > len(r.b)/size {
		r.over = true
		return 0
	}
	return n
}

func (r *reader) end(what string) error {
	if r.over || len(r.b) > 0 {
		return fmt.Errorf("%s of a wrong length", what)
	}
	return nil
}

func parseCommit(ino uint64, body []byte) (*Commit, error) {
	r := reader{b: body}
	c := &Commit{Ino: ino, seq: r.u64(), Mtime: r.time(), Base: r.time(), Staged: r.time()}
	for range r.count(extentSize) {
		c.Extents = append(c.Extents, Extent{Chunk: r.u32(), Pos: r.u32(), ID: r.u64(), Size: r.u32(), Off: r.u32(), Len: r.u32()})
	}
	return c, r.end("commit")
}

func appendSeqs(b []byte, seqs []uint64) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(seqs)))
	for _, s := range seqs {
		b = binary.LittleEndian.AppendUint64(b, s)
	}
	return b
}

func (r *reader) seqs() []uint64 {
	seqs := make([]uint64, r.count(8))
	for i := range seqs {
		seqs[i] = r.u64()
	}
	return seqs
}

const targetSize = 8 + 8 + 4 + 4

func planBody(b []byte, seqs []uint64, targets []Target) []byte {
	le := binary.LittleEndian
	b = appendSeqs(b, seqs)
	b = le.AppendUint32(b, uint32(len(targets)))
	for _, t := range targets {
		b = le.AppendUint64(b, t.Slice)
		b = le.AppendUint64(b, t.ID)
		b = le.AppendUint32(b, t.Base)
		b = le.AppendUint32(b, t.Size)
	}
	return b
}

func parsePlan(body []byte) (seqs []uint64, targets []Target, err error) {
	r := reader{b: body}
	seqs = r.seqs()
	for range r.count(targetSize) {
		targets = append(targets, Target{Slice: r.u64(), ID: r.u64(), Base: r.u32(), Size: r.u32()})
	}
	return seqs, targets, r.end("plan")
}

func parseDone(body []byte) ([]uint64, error) {
	r := reader{b: body}
	seqs := r.seqs()
	return seqs, r.end("mark of what is published")
}
