package maintain

import (
	"context"
	"log/slog"
	"strconv"
	"strings"

	"jfs/block"
	"jfs/object"
)

// chunksPrefix is where the blocks lie below the volume's prefix.
const chunksPrefix = "chunks/"

// parseName gives the block whose object has a key. ok is false for other objects.
func parseName(key string, hashPrefix bool) (k block.Key, ok bool) {
	base := key[strings.LastIndexByte(key, '/')+1:]
	id, rest, _ := strings.Cut(base, "_")
	index, size, _ := strings.Cut(rest, "_")
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return k, false
	}
	i, err := strconv.ParseUint(index, 10, 32)
	if err != nil {
		return k, false
	}
	b, err := strconv.ParseUint(size, 10, 32)
	if err != nil {
		return k, false
	}
	k = block.Key{Slice: n, Index: uint32(i), Size: uint32(b)}
	return k, k.Name(hashPrefix) == key
}

// fits says whether a slice of size bytes has the block.
func fits(k block.Key, size, blockSize uint32) bool {
	start := uint64(k.Index) * uint64(blockSize)
	return start < uint64(size) && uint64(k.Size) == min(uint64(blockSize), uint64(size)-start)
}

// listPage is how many objects one request lists, the most that S3 gives.
const listPage = 1000

// listObjects gives the objects below a prefix to fn, in the order of their keys.
func listObjects(ctx context.Context, store object.Store, prefix string, fn func([]object.Info) error) error {
	for after := ""; ; {
		infos, more, err := store.List(ctx, prefix, after, listPage)
		if err != nil {
			return err
		}
		if len(infos) > 0 {
			after = infos[len(infos)-1].Key
			if err := fn(infos); err != nil {
				return err
			}
		}
		if !more || len(infos) == 0 {
			return nil
		}
	}
}

// deletePart is how many objects are deleted before the next ones are begun: enough that all threads have full requests.
const deletePart = 10_000

// deleteObjects deletes objects, many with a request where the store can, and tells the places of those that are gone.
// What cannot be deleted is logged and counted.
func deleteObjects(ctx context.Context, store object.Store, names []string, n int, log *slog.Logger, done func(i int)) (failed int64, err error) {
	slots := make(chan struct{}, threads(n))
	for from := 0; from < len(names); from += deletePart {
		part := names[from:min(from+deletePart, len(names))]
		errs := object.DeleteAll(ctx, store, slots, part)
		if ctx.Err() != nil {
			return failed, ctx.Err()
		}
		for i := range part {
			if errs != nil && errs[i] != nil {
				failed++
				log.Warn("delete object", "object", part[i], "err", errs[i])
				continue
			}
			done(from + i)
		}
	}
	return failed, nil
}
