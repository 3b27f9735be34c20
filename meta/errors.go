package meta

import "errors"

var (
	// ErrCorrupt: a stored record does not follow the format. Applications get EIO.
	ErrCorrupt = errors.New("corrupt record")
	// ErrUnknown: the connection broke while a change was being committed, which may or may not have happened.
	ErrUnknown = errors.New("outcome of the change is unknown")
	// ErrChunkFull: the list of a chunk does not take so many more records; it is to be compacted first.
	ErrChunkFull = errors.New("list of slices is full")
	// ErrNoQuota: there is no such quota.
	ErrNoQuota = errors.New("no quota is set")
	// ErrNotFormatted: the database holds no volume.
	ErrNotFormatted = errors.New("database is not formatted")
)
