package sql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"jfs/meta"
	"jfs/meta/internal/usage"
)

const (
	// dialTimeout bounds making a connection where the URL does not.
	dialTimeout = 5 * time.Second
	// tripTimeout is more than the server's own limit for waiting for a lock.
	tripTimeout = 20 * time.Second
	// patience bounds the attempts of one transaction, also while the server is away. It is about what the sleeps of
	// the format's fifty attempts add up to.
	patience = 30 * time.Second
	// commitGrace is how long a commit goes on after its caller has given up, because an outcome that is known is worth
	// more than a quick answer.
	commitGrace = 2 * time.Second
)

// Remote is a meta.Engine on a PostgreSQL, MySQL or MariaDB server. A change takes two round trips, "begin and read with
// locks" and "write and commit", and one if it reads nothing, or if it creates a file in a directory that is known, see
// guesses; a View of what it names takes one.
type Remote struct {
	d     *dialect
	t     *server
	log   *slog.Logger
	plain *[numStmts]statement
	locks *[numStmts]statement // with locks where a read is a promise
	masks sync.Map             // uint32 to string: updateNode
	pool  *linkPool
	usage *usage.Buffer

	guesses guesses

	timeout, patience time.Duration
	outage            outage

	views, updates, retries, trips atomic.Int64

	closing  sync.Once
	closeErr error
}

var _ meta.Engine = (*Remote)(nil)

// OpenServer connects to the database of a URL:
//
//	postgres://user[:password]@host[:5432]/database[?params]
//	postgres://user@/database?host=/directory/of/socket
//	mysql://user[:password]@(host:3306)/database[?params]      also tcp(host:3306) and host:3306
//	mysql://user@unix(/path/of/socket)/database
//
// The password may be percent-encoded for PostgreSQL, and stands as it is for MySQL. Parameters:
//
//	table_prefix=X      tables are named jfs_X_… instead of jfs_…: several volumes in one database
//	max_open_conns=N    connections at most; by default four times the processors, and 8 at least
//	max_idle_conns=N    ... of which so many are kept when they are not needed; by default all
//	max_idle_time=5m    how long; a bare number is seconds
//	max_life_time=1h    the age at which a connection is replaced; by default there is none
//	search_path=X       PostgreSQL: the schema of the tables, exactly one
//
// Others are the driver's: sslmode and the like for pgx, tls and the like for go-sql-driver. No error and no
// log shows the password. OpenServer fails with ErrUnreachable, ErrLogin, ErrNoDatabase or ErrPrivilege if one of
// these is the reason; it does not try for long. Later calls try for half a minute when the server is away.
func OpenServer(ctx context.Context, url string, o Options) (*Remote, error) {
	t, err := parseServer(url, o.Password)
	if err != nil {
		return nil, err
	}
	d := mysqlDialect()
	if t.postgres != nil {
		d = postgres()
	}
	e := &Remote{d: d, t: t, log: o.Log, timeout: o.Timeout, patience: o.Patience}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.timeout <= 0 {
		e.timeout = tripTimeout
	}
	if e.patience <= 0 {
		e.patience = patience
	}
	e.plain = statements(d, t.prefix)
	e.locks = locking(d, t.prefix)
	e.pool = newLinkPool(e.poolSize(o), e.connect)
	e.usage = usage.New(e.addUsage, usage.Options{Interval: o.FlushUsage, Log: e.log})
	// What cannot be connected to, or may not be read, is to be known now.
	if err := e.try(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", t.where, err), e.Close())
	}
	return e, nil
}

func (e *Remote) poolSize(o Options) poolLimits {
	l := poolLimits{open: e.t.maxOpen, idle: e.t.maxIdle, idleTime: e.t.idleTime, lifeTime: e.t.lifeTime}
	if l.open <= 0 {
		l.open = o.Readers
	}
	if l.open <= 0 {
		l.open = max(8, 4*runtime.GOMAXPROCS(0))
	}
	if l.idle < 0 || l.idle > l.open {
		l.idle = l.open
	}
	return l
}

// connect makes a connection.
func (e *Remote) connect(ctx context.Context) (link, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	l, err := e.t.connect(ctx, &e.trips)
	if err == nil {
		return l, nil
	}
	if e.d.classify(err) == faultLost || unreachable(err) {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return nil, e.d.explain(err)
}

// try reads the setting, once.
func (e *Remote) try(ctx context.Context) error {
	c, err := e.pool.take(ctx)
	if err != nil {
		return err
	}
	defer e.pool.put(c)
	s := &remoteSession{e: e, c: c}
	var json []byte
	_, err = s.one(ctx, qSetting, nil, &json)
	if errors.Is(err, meta.ErrNotFormatted) {
		return nil
	}
	return err
}

// Name gives the scheme of the database.
func (e *Remote) Name() string { return e.d.name }

// View runs fn in a snapshot. It begins no transaction for a fn that reads one record, because one statement is a
// snapshot by itself; and one that reads nothing but what it wants gets it in one round trip. See remoteSession for
// others. fn must not call the engine.
func (e *Remote) View(ctx context.Context, want meta.Want, fn func(meta.Reader) error) error {
	e.views.Add(1)
	s := &remoteSession{e: e}
	r := &reader{}
	several := len(want.Attrs)+len(want.Perms)+len(want.Entries)+len(want.Nodes)+len(want.Chunks) > 1
	return e.retry(ctx, func(c *pooledLink) error {
		*s = remoteSession{e: e, c: c, lazy: true}
		defer s.rollback() // there is nothing to commit
		r.reset(ctx, s, &want)
		r.usage, r.narrow = e.usage, true
		if several {
			if err := s.loadView(r, &want); err != nil {
				return err
			}
		}
		err := fn(r)
		if r.broken != nil && e.again(r.broken) {
			return r.broken
		}
		if err == nil {
			e.guesses.learn(r.nodes)
		}
		return err
	})
}

// Update runs fn in a transaction; see meta.Engine. fn must not call the engine.
func (e *Remote) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	t := &remoteTx{}
	guess := true // once
	err := e.retry(ctx, func(c *pooledLink) error {
		if guess {
			guess = false
			err := e.attempt(ctx, c, t, &want, fn, true)
			if !t.guessed || err == nil || errors.Is(err, meta.ErrUnknown) || ctx.Err() != nil || !c.usable() {
				return err
			}
			// Whatever it is, it may come from the guess.
			e.guesses.drop(want.Perms)
			e.retries.Add(1)
			e.log.Debug("metadata transaction runs again", "attempt", 0, "reason", err)
		}
		return e.attempt(ctx, c, t, &want, fn, false)
	})
	if err == nil {
		e.updates.Add(1)
		e.guesses.learn(t.nodes)
		if t.space != 0 || t.inodes != 0 {
			e.usage.Add(t.space, t.inodes)
		}
	}
	return err
}

// errGuessed ends a transaction that rests on a guess and writes nothing with which that would be checked.
var errGuessed = errors.New("the directory was not read")

// attempt runs a transaction once.
func (e *Remote) attempt(ctx context.Context, c *pooledLink, t *remoteTx, want *meta.Want, fn func(meta.Tx) error, guess bool) error {
	s := &remoteSession{e: e, c: c, locking: true}
	defer s.rollback() // unless it was committed
	t.begin(ctx, s, want)
	left := *want
	if guess {
		left, _ = t.guess(want)
	}
	if err := t.load(&left); err != nil {
		return err
	}
	err := fn(t)
	switch {
	case t.stale:
		return errStale
	case t.broken != nil && (err == nil || e.again(t.broken)):
		return t.broken
	}
	if err := t.prove(); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	return t.commit()
}

// Stats gives a snapshot of the counts. Commits is that of Updates: each has its own.
func (e *Remote) Stats() Stats {
	n := e.updates.Load()
	return Stats{Views: e.views.Load(), Updates: n, Commits: n, Retries: e.retries.Load(), Trips: e.trips.Load()}
}

// Close writes the usage that is collected, waits for the calls under way and ends the connections.
func (e *Remote) Close() error {
	e.closing.Do(func() {
		e.closeErr = e.usage.Close()
		e.pool.close()
	})
	return e.closeErr
}
