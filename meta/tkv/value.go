package tkv

import (
	"encoding/binary"
	"fmt"

	"jfs/meta"
)

// Allocators, usage, link counts and references are little endian; times of jobs, sessions and removed files are
// big endian, although the jobs' times share the letter of the counters.

func little(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

func big(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// number reads a value of 8 bytes; a missing one is 0.
func number(order binary.ByteOrder, key, value []byte) (int64, error) {
	if value == nil {
		return 0, nil
	}
	if len(value) != 8 {
		return 0, corrupt(key, fmt.Errorf("%w: number of %d bytes", meta.ErrCorrupt, len(value)))
	}
	return int64(order.Uint64(value)), nil
}

const dirStatSize = 24

func encodeDirStat(s meta.DirStat) []byte {
	b := make([]byte, 0, dirStatSize)
	for _, n := range [...]int64{s.Length, s.Space, s.Inodes} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func decodeDirStat(key, b []byte) (meta.DirStat, error) {
	if len(b) != dirStatSize {
		return meta.DirStat{}, corrupt(key, fmt.Errorf("%w: directory statistics of %d bytes", meta.ErrCorrupt, len(b)))
	}
	be := binary.BigEndian
	return meta.DirStat{Length: int64(be.Uint64(b)), Space: int64(be.Uint64(b[8:])), Inodes: int64(be.Uint64(b[16:]))}, nil
}

// corrupt names the key of a record that does not follow the format.
func corrupt(key []byte, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("key %q: %w", key, err)
}
