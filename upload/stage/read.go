package stage

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/cespare/xxhash/v2"

	"jfs/block"
	"jfs/internal/bytepool"
)

// ErrCorrupt: the disk does not hold what was written to it.
var ErrCorrupt = errors.New("corrupt block in the stage")

// hold finds a block and keeps its segment until release.
func (s *Stage) hold(key block.Key) (*journal, place, bool) {
	for _, j := range s.journals() {
		j.mu.Lock()
		p, ok := j.blocks[key]
		if ok {
			p.seg.refs++
		}
		j.mu.Unlock()
		if ok {
			return j, p, true
		}
	}
	return nil, place{}, false
}

func (j *journal) release(p place) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p.seg.refs--; p.seg.refs == 0 && p.seg.live == 0 {
		j.retire()
	}
}

// ReadAt fills dst with the bytes of a block from off on, which it verifies; ok is false if the stage does not have the
// block.
func (s *Stage) ReadAt(key block.Key, dst []byte, off int) (ok bool, err error) {
	j, p, ok := s.hold(key)
	if !ok {
		return false, nil
	}
	defer j.release(p)
	if off < 0 || len(dst) > int(key.Size)-off {
		return true, fmt.Errorf("read %d bytes at %d of block %s: beyond its end", len(dst), off, key.Name(false))
	}
	from, to := off&^(pageSize-1), min((off+len(dst)+pageSize-1)&^(pageSize-1), int(key.Size))
	if from == off && to == off+len(dst) {
		return true, p.read(key, dst, off)
	}
	buf := s.pool.Take(to - from)
	defer buf.Release()
	if err := p.read(key, buf.B, from); err != nil {
		return true, err
	}
	copy(dst, buf.B[off-from:])
	return true, nil
}

// Load fills dst with a whole block, and verifies it.
func (s *Stage) Load(key block.Key, dst []byte) error {
	j, p, ok := s.hold(key)
	if !ok {
		return fmt.Errorf("block %s is not in the stage", key.Name(false))
	}
	defer j.release(p)
	return p.load(key, dst[:key.Size])
}

// pageSize is what one checksum in memory is for: small enough for a read of a few KiB, and 1 MiB for 4 GiB that are
// staged.
const pageSize = 16 << 10

func pageSums(data []byte) []uint32 {
	sums := make([]uint32, 0, (len(data)+pageSize-1)/pageSize)
	for page := range slices.Chunk(data, pageSize) {
		sums = append(sums, pageSum(page))
	}
	return sums
}

func pageSum(page []byte) uint32 { return crc32.Checksum(page, crc32.MakeTable(crc32.Castagnoli)) }

// read fills dst with the pages of a block from off on, where one begins.
func (p place) read(key block.Key, dst []byte, off int) error {
	if _, err := p.seg.file.ReadAt(dst, p.off+int64(off)); err != nil {
		return fmt.Errorf("read block %s from the stage: %w", key.Name(false), err)
	}
	at := off / pageSize
	for page := range slices.Chunk(dst, pageSize) {
		if pageSum(page) != p.pages[at] {
			return fmt.Errorf("%w: %s", ErrCorrupt, key.Name(false))
		}
		at++
	}
	return nil
}

// load fills dst with a whole block, and verifies all that the record says of it.
func (p place) load(key block.Key, dst []byte) error {
	var head [blockHead]byte
	if _, err := p.seg.file.ReadAt(head[:], p.off-blockHead); err != nil {
		return fmt.Errorf("read block %s from the stage: %w", key.Name(false), err)
	}
	if _, err := p.seg.file.ReadAt(dst, p.off); err != nil {
		return fmt.Errorf("read block %s from the stage: %w", key.Name(false), err)
	}
	var sum xxhash.Digest
	sum.Reset()
	_, _ = sum.Write(head[:])
	_, _ = sum.Write(dst)
	if sum.Sum64() != p.sum {
		return fmt.Errorf("%w: %s", ErrCorrupt, key.Name(false))
	}
	return nil
}

// Source gives the blocks of the stage, and those that it does not have from another source.
func (s *Stage) Source(behind block.Source) block.Source { return source{s, behind} }

type source struct {
	stage *Stage
	block.Source
}

func (s source) ReadAt(ctx context.Context, key block.Key, dst []byte, off int) error {
	if ok, err := s.stage.ReadAt(key, dst, off); ok {
		return err
	}
	return s.Source.ReadAt(ctx, key, dst, off)
}

// ReadRange is ReadAt where the source behind makes no difference.
func (s source) ReadRange(ctx context.Context, key block.Key, dst []byte, off int) error {
	if ok, err := s.stage.ReadAt(key, dst, off); ok {
		return err
	}
	if r, ok := s.Source.(block.RangeSource); ok {
		return r.ReadRange(ctx, key, dst, off)
	}
	return s.Source.ReadAt(ctx, key, dst, off)
}

func (s source) Load(ctx context.Context, key block.Key) (*bytepool.Buf, error) {
	if j, p, ok := s.stage.hold(key); ok {
		defer j.release(p)
		buf := s.stage.pool.Take(int(key.Size))
		if err := p.load(key, buf.B); err != nil {
			buf.Release()
			return nil, err
		}
		return buf, nil
	}
	return s.Source.Load(ctx, key)
}
