// Package badger is a key space in a directory of this machine, which one process at a time may open. Keys have no
// prefix: a directory holds one volume.
//
// A commit survives the end of this process at once, and a loss of power after at most a second, as with SQLite's
// usual setting. What it has read is compared under a lock, ranges included, so transactions are serialisable.
package badger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"

	"jfs/meta/tkv"
)

const (
	// blockCache bounds the memory of cached blocks in bytes; badger's own default would be a large part of a mount's.
	blockCache = 64 << 20
	syncEvery  = time.Second
	// commitTime bounds a commit and the wait for its turn, and closeTime Close: on a full disk badger waits for ever.
	commitTime = 30 * time.Second
	closeTime  = 30 * time.Second
	// Official clients look as often for a log of values that could shrink by so much.
	collectEvery = time.Hour
	collectRatio = 0.7
)

// Options tune a store; the zero value works.
type Options struct {
	// Log gets warnings of the database and about usage counters that cannot be written; nil: nobody does.
	Log *slog.Logger
}

// Store is a key space in a directory.
type Store struct {
	db   *badger.DB
	log  *slog.Logger
	turn chan struct{} // holds one value while somebody commits: from the comparisons to the end of the writes
	news atomic.Bool

	stop chan struct{}
	jobs sync.WaitGroup
	end  func() error
}

var _ tkv.Store = (*Store)(nil)

// Open opens the volume of a URL, badger://DIRECTORY. A directory that is not there is made.
func Open(ctx context.Context, url string, o Options) (*tkv.Engine, error) {
	dir, ok := strings.CutPrefix(url, "badger://")
	if !ok || dir == "" {
		return nil, errors.New("malformed badger URL: want badger://DIRECTORY, as in badger:///var/lib/jfs/meta")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := OpenStore(dir, o)
	if err != nil {
		return nil, err
	}
	return tkv.New(s, tkv.Options{Log: o.Log}), nil
}

// OpenStore opens the key space in a directory.
func OpenStore(dir string, o Options) (*Store, error) { return openStore(dir, o, 0) }

// openStore takes the size of badger's memory tables in bytes, which also bounds a change; 0 is badger's default.
func openStore(dir string, o Options, table int64) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(dir) // a process in the background changes its working directory
	if err != nil {
		return nil, err
	}
	if err := unlocked(dir); err != nil {
		return nil, err
	}
	options := badger.DefaultOptions(dir)
	if table != 0 {
		options = options.WithMemTableSize(table)
	}
	db, err := badger.Open(options.
		WithLogger(logger{o.Log}).
		WithMetricsEnabled(false).
		WithDetectConflicts(false). // see Commit
		WithBlockCacheSize(blockCache))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	s := &Store{db: db, log: o.Log, turn: make(chan struct{}, 1), stop: make(chan struct{})}
	s.end = sync.OnceValue(s.close)
	s.jobs.Go(func() { s.every(syncEvery, s.sync) })
	s.jobs.Go(func() { s.every(collectEvery, s.collect) })
	return s, nil
}

// unlocked tries the lock that badger is going to take: its own error cannot be told from others.
func unlocked(dir string) error {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // ends the lock
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("open %s: another process has it open, and badger admits one: unmount the volume first: %w", dir, err)
	}
	return nil
}

// Name is "badger".
func (s *Store) Name() string { return "badger" }

// Close writes everything to disk and gives the directory free.
func (s *Store) Close() error { return s.end() }

// close gives up when badger does not end: on a full disk it tries for ever to write what it has in memory. That stays
// in its log, from which the next start takes it.
func (s *Store) close() error {
	close(s.stop)
	done := make(chan error, 1)
	go func() {
		s.jobs.Wait()
		done <- s.db.Close()
	}()
	t := time.NewTimer(closeTime)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return fmt.Errorf("badger: the database was not written within %s: is its disk full?", closeTime)
	}
}

func (s *Store) every(d time.Duration, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			do()
		}
	}
}

// sync takes its turn: badger changes its log file during a commit.
func (s *Store) sync() {
	if !s.news.CompareAndSwap(true, false) {
		return
	}
	select {
	case s.turn <- struct{}{}:
	case <-s.stop: // and closing writes everything
		return
	}
	defer func() { <-s.turn }()
	if err := s.db.Sync(); err != nil {
		s.log.Warn("sync badger", "err", err)
	}
}

// collect rewrites logs of values as long as that frees space.
func (s *Store) collect() {
	for s.db.RunValueLogGC(collectRatio) == nil {
		select {
		case <-s.stop:
			return
		default:
		}
	}
}

// Begin takes a snapshot.
func (s *Store) Begin(ctx context.Context) (tkv.Txn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.db.IsClosed() {
		return nil, errors.New("badger: the database is closed")
	}
	return &txn{
		snapshot: snapshot{s.db.NewTransaction(false)},
		store:    s, read: map[string]uint64{}, writes: map[string][]byte{},
	}, nil
}

// logger passes on what badger has to say.
type logger struct{ log *slog.Logger }

func (l logger) Errorf(f string, args ...any)   { l.log.Error(line(f, args)) }
func (l logger) Warningf(f string, args ...any) { l.log.Warn(line(f, args)) }
func (l logger) Infof(f string, args ...any)    { l.log.Debug(line(f, args)) }
func (l logger) Debugf(f string, args ...any)   { l.log.Debug(line(f, args)) }

func line(f string, args []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(f, args...))
}
