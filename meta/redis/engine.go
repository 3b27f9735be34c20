package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"jfs/meta"
)

// Options tune an Engine. The zero value works.
type Options struct {
	// Password is used when the URL has none (META_PASSWORD), so that it need not stand in a command line.
	Password string
	// SentinelPassword is what Sentinels want (SENTINEL_PASSWORD); "": nothing.
	SentinelPassword string
	// Logger gets warnings about the server and the measured ping time at Open; nil: nothing is logged.
	Logger *slog.Logger
	// DialTimeout bounds making a connection; 0 means what the URL says, else 5 s.
	DialTimeout time.Duration
	// Timeout bounds the wait for one answer, also where the context has no deadline; 0 means what the URL says, else
	// 10 s.
	Timeout time.Duration
	// Hints is how many attributes, and how many entries, are remembered to save reads; 0 means 65536 of
	// each (about 20 MiB), less than 0 none.
	Hints int
	// NoTracking leaves out the connection on which a server of version 6 or newer tells of changes. Without it
	// nothing is read from memory alone.
	NoTracking bool
	// OnTrip is called before every round trip with the number of its commands; nil: not called.
	OnTrip func(commands int)

	lookEvery time.Duration // see lookEvery; tests want less
}

const (
	defaultDialTimeout = 5 * time.Second
	defaultTimeout     = 10 * time.Second
	defaultHints       = 64 << 10
)

func (o Options) withDefaults(t tuning) Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = cmp.Or(t.connect, defaultDialTimeout)
	}
	if o.Timeout <= 0 {
		o.Timeout = cmp.Or(t.answer, defaultTimeout)
	}
	if o.lookEvery == 0 {
		o.lookEvery = lookEvery
	}
	if o.Hints == 0 {
		o.Hints = defaultHints
	}
	return o
}

var (
	errClosed  = errors.New("redis engine is closed")
	errGivenUp = fmt.Errorf("gave up after %d attempts: other clients keep changing the same records", maxAttempts)
)

// Engine stores one volume in one database of a Redis server.
type Engine struct {
	client    *client
	keys      keys
	memory    *memory
	tracker   *tracker // nil: the server does not tell of changes
	loader    *script
	committer *script
	pause     func(ctx context.Context, attempt int) error // between attempts; replaced by tests that need all of them
	closed    atomic.Bool
}

var (
	_ meta.Engine   = (*Engine)(nil)
	_ meta.Coherent = (*Engine)(nil)
)

// Open connects to the server that the URL names: redis[s]://[user:password@]host[:port]/db or
// unix:///path/to/socket?db=N; of redis[s]://MASTER,SENTINEL[,SENTINEL...][:port]/db to the master of Sentinels, and
// of redis[s]://host:port[,host:port...]/db, where the hosts are nodes of a cluster, to the one that has the volume's
// slot. It follows the volume when that moves to another server. docs/redis.md has the parameters. It checks that the
// server can hold a volume.
func Open(ctx context.Context, url string, o Options) (*Engine, error) {
	t, err := parseURL(url, o.Password)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults(t.tuning)
	if t, err = t.detect(ctx, o); err != nil {
		return nil, err
	}
	l := newLocator(t, o)
	c, err := dial(ctx, l, o)
	if err != nil {
		l.close()
		return nil, err
	}
	e := &Engine{client: c, keys: keys{prefix: t.prefix()}, pause: pause, memory: newMemory(o.Hints), loader: newScript(loadText), committer: newScript(commitText)}
	if err := e.inspect(ctx, o.Logger); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to redis at %s: %w", t, err)
	}
	l.start(ctx)
	if o.NoTracking || o.Hints < 0 {
		return e, nil
	}
	e.tracker, err = newTracker(ctx, l, o, e.memory, e.keys)
	switch {
	case errors.Is(err, errNoTracking):
		o.Logger.Info("redis does not tell of other clients' changes, so metadata is not remembered for long", "err", err)
	case err != nil:
		c.Close()
		return nil, fmt.Errorf("connect to redis at %s: %w", t, err)
	}
	return e, nil
}

// detect finds out whether a server that seems to stand alone is a node of a cluster, which has other names for keys.
func (t target) detect(ctx context.Context, o Options) (target, error) {
	if t.form != formServer {
		return t, nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	c, err := t.dial(ctx, o, t.addr, asItIs)
	if err != nil {
		return t, connectError(t, err)
	}
	defer c.Close()
	login := authCommands(t.user, t.password)
	answers, err := newTalk(c).ask(ctx, append(login, []string{"INFO", "cluster"}, []string{"CLUSTER", "INFO"})...)
	if err == nil {
		err = failure(answers[:len(login)])
	}
	if err != nil {
		return t, connectError(t, err)
	}
	// The user may lack the right to ask for either.
	info, state := answers[len(login)], answers[len(login)+1]
	if parseInfo(info.text)["cluster_enabled"] == "1" || state.kind == replyString && strings.HasPrefix(state.text, "cluster_") {
		t.form, t.seeds, t.addr = formCluster, []string{t.addr}, ""
	}
	return t, nil
}

// OnChange sets who is told of changes.
func (e *Engine) OnChange(fn func(meta.Notice)) {
	if e.tracker != nil {
		e.tracker.onChange(fn)
	}
}

// Coherent says whether the server tells of changes now.
func (e *Engine) Coherent() bool { return e.memory.live() != 0 }

// Settle waits for what is under way on the connection on which changes are told.
func (e *Engine) Settle(ctx context.Context) error {
	if l := e.tracker.get(); l != nil {
		return l.settle(ctx)
	}
	return ctx.Err()
}

// Name gives "redis".
func (e *Engine) Name() string { return "redis" }

// Init does nothing: an empty database is ready.
func (e *Engine) Init(ctx context.Context) error { return ctx.Err() }

// Close ends the connections.
func (e *Engine) Close() error {
	if !e.closed.Swap(true) {
		if e.tracker != nil {
			e.tracker.close()
		}
		e.client.Close()
	}
	return nil
}

// View gives fn the records of want as they are at one moment; others that it reads are of later moments. While the
// server tells of changes, the moment may be that of the last news that have arrived here.
func (e *Engine) View(ctx context.Context, want meta.Want, fn func(meta.Reader) error) error {
	if e.closed.Load() {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t := e.newTx(ctx, trustLive)
	if l := e.tracker.get(); l != nil && !l.catchUp(ctx) {
		t.trust = trustNothing
		if l.reason() != nil {
			e.tracker.lost(l)
		}
	}
	if err := t.prepare(want); err != nil {
		return err
	}
	return fn(t)
}

// Update runs fn on remembered records first, if they are all remembered, and on fresh ones when it fails on
// those or the commit finds one of them changed. When ctx ends while the commit is under way, its answer is
// still waited for, up to a second.
func (e *Engine) Update(ctx context.Context, want meta.Want, fn func(meta.Tx) error) error {
	if e.closed.Load() {
		return errClosed
	}
	trusted := trustHints
	began := time.Now()
	for attempt := 1; ; attempt++ {
		t := e.newTx(ctx, trusted)
		out, err := t.run(want, fn)
		switch {
		case out == final || out == failed && !e.client.patience.allows(err, attempt, began, false):
			return err
		case out == changed && attempt >= maxAttempts:
			return errGivenUp
		}
		trusted = trustNothing
		if t.hinted && out != failed { // nobody need be in the way: the memory was wrong
			continue
		}
		wait := e.pause
		if out == failed && e.client.patience.least > 0 {
			wait = e.client.patience.pause
		}
		if err := wait(ctx, attempt); err != nil {
			return err
		}
	}
}

// outcome is how a run of a transaction ended.
type outcome uint8

const (
	final   outcome = iota // with success, or an error that is the answer
	changed                // a record was not as it was read
	failed                 // the database did not take it
)

// run runs the function once and commits.
func (t *tx) run(want meta.Want, fn func(meta.Tx) error) (outcome, error) {
	if err := t.prepare(want); err != nil {
		return final, err
	}
	err := fn(t)
	if err == nil {
		err = t.err
	}
	switch {
	case err == nil:
		return t.commit()
	case t.hinted: // an error has to rest on fresh records
		t.forget()
		return changed, nil
	}
	return final, err
}

// Reserve takes n numbers from an allocator, which stores the last number that was given away.
func (e *Engine) Reserve(ctx context.Context, seq meta.Sequence, n uint64) (uint64, error) {
	if e.closed.Load() {
		return 0, errClosed
	}
	key, ok := e.keys.sequence(seq)
	if !ok || n > 1<<62 {
		return 0, fmt.Errorf("reserve %d of sequence %d: no such sequence or number", n, seq)
	}
	// Numbers may be lost, so this is repeated like a read even if an attempt may have reached the server.
	last, err := e.client.add(ctx, key, int64(n))
	if err != nil {
		return 0, fmt.Errorf("reserve %d of %s: %w", n, key, err)
	}
	if last < int64(n) {
		return 0, fmt.Errorf("reserve %d of %s: %w: counter was %d", n, key, meta.ErrCorrupt, last-int64(n))
	}
	return uint64(last) - n + 1, nil
}

// dirStatKeys are the hashes of the usage of directories; the first says whether there is a record.
func (e *Engine) dirStatKeys() [3]string {
	return [3]string{e.keys.global(keyDirInodes), e.keys.global(keyDirSpace), e.keys.global(keyDirLength)}
}
