package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"jfs/internal/sleep"
	"jfs/meta"
)

// tracker keeps a link to the server up, on which the server tells which of the keys that were read there have
// changed, and feeds the memory with what it tells.
//
// The server tells of a key once, and only after it was read on this connection. It does not tell of what this
// connection itself writes, but forgets that the key was read: a commit reads again what it has written.
type tracker struct {
	dial    func(ctx context.Context) (net.Conn, error)
	setUp   [][]string // the first commands on a connection
	ask     [][]string // the question for a sign of life
	where   *locator
	timeout time.Duration
	every   time.Duration // between looks
	memory  *memory
	keys    keys
	log     *slog.Logger

	current atomic.Pointer[tracked]
	turns   sync.Mutex // held while the memory begins or ends to rely on current
	// detour is held for reading by commits on other connections. What they have written is told like the change
	// of another client, so nothing is taken for live before they have ended.
	detour sync.RWMutex

	tellMu sync.Mutex // orders what the listener is told
	tell   func(meta.Notice)

	stop context.CancelFunc
	done sync.WaitGroup
}

// tracked is a link and the era of the memory that belongs to it.
type tracked struct {
	*link
	era uint64
}

const (
	// lookEvery is how often the server is asked for a sign of life, and maxSilence, in these, how long it may take
	// to answer while what is remembered still counts as true. Together they bound how old an answer from memory
	// can be when the network drops everything.
	lookEvery  = time.Second
	maxSilence = 2
	// freeKeys is how many more keys the server must be able to remember. When it remembers too many, it gives up
	// arbitrary ones, and does not tell a connection whose own command made it do that, because of NOLOOP. So
	// the link is given up well before, half of the server's default, which cannot fill up between two looks.
	freeKeys    = 500_000
	lookAgainIn = 30 * time.Second      // after there were not so many
	reconnect   = 50 * time.Millisecond // pause before the first attempt to connect again; it doubles
	reconnectIn = 5 * time.Second       // longest pause
)

var (
	errNoTracking = errors.New("the server cannot tell of changes")
	errNoRoom     = errors.New("the server remembers too many keys to tell of all their changes: set tracking-table-max-keys to 0 in its configuration")
)

// newTracker connects. errNoTracking says that the server is one that cannot do what is needed; any other error
// that the tracker is going to try again.
func newTracker(ctx context.Context, where *locator, o Options, m *memory, k keys) (*tracker, error) {
	tr := &tracker{
		dial: func(ctx context.Context) (net.Conn, error) {
			return where.dial(ctx, newSocket)
		},
		setUp: where.t.trackingCommands(), ask: roomCommands(), where: where, timeout: o.Timeout, every: o.lookEvery, memory: m, keys: k, log: o.Logger,
	}
	l, err := tr.connect(ctx, 1, o.DialTimeout)
	if errors.Is(err, errNoTracking) || ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		tr.log.Warn("redis does not tell of other clients' changes yet", "err", err)
	}
	if where.t.form == formCluster {
		// A node that has lost the slot tells no more of changes, and says so when it is asked for a key.
		tr.ask = append(tr.ask, where.probe())
	}
	bg, stop := context.WithCancel(context.WithoutCancel(ctx))
	tr.stop = stop
	tr.done.Go(func() { tr.run(bg, l, err, o.DialTimeout) })
	return tr, nil
}

// trackingCommands are what makes a new connection one on which the server tells of changes.
func (t target) trackingCommands() [][]string {
	hello := []string{"HELLO", "3"}
	if t.password != "" {
		user := t.user
		if user == "" {
			user = "default"
		}
		hello = append(hello, "AUTH", user, t.password)
	}
	cmds := [][]string{hello}
	if db := t.selected(); db != 0 {
		cmds = append(cmds, []string{"SELECT", decimal(int64(db))})
	}
	return append(cmds, []string{"CLIENT", "TRACKING", "ON", "NOLOOP"})
}

func (t *tracker) close() {
	t.stop()
	t.done.Wait()
}

// get gives the link, nil while there is none.
func (t *tracker) get() *tracked {
	if t == nil {
		return nil
	}
	return t.current.Load()
}

// onChange sets the listener.
func (t *tracker) onChange(fn func(meta.Notice)) {
	t.tellMu.Lock()
	defer t.tellMu.Unlock()
	t.tell = fn
}

func (t *tracker) changed(cs ...meta.Notice) {
	t.tellMu.Lock()
	defer t.tellMu.Unlock()
	if t.tell == nil {
		return
	}
	for _, c := range cs {
		t.tell(c)
	}
}

// connect makes the link of an era, and lets the memory rely on it.
func (t *tracker) connect(ctx context.Context, era uint64, timeout time.Duration) (*tracked, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	l := &tracked{era: era}
	l.link = newLink(conn, func(p reply) { t.push(p) })
	answers, err := l.do(ctx, nil, append(t.setUp[:len(t.setUp):len(t.setUp)], t.ask...)...)
	if err == nil {
		if err = failure(answers[:len(t.setUp)]); err == nil {
			err = room(answers[len(t.setUp):])
		} else if code(err) != "" && !refused(err) {
			err = fmt.Errorf("%w: %w", errNoTracking, explain(err))
		}
	}
	if err != nil {
		l.close()
		return nil, err
	}
	t.current.Store(l)
	t.detour.Lock()   // wait for commits that have begun elsewhere; new ones take this link
	t.detour.Unlock() //nolint:staticcheck // there is nothing to do under it
	t.rely(l)
	return l, nil
}

// rely lets the memory take records for live. The listener may look now at what it was in doubt about.
func (t *tracker) rely(l *tracked) {
	t.turns.Lock()
	defer t.turns.Unlock()
	if t.current.Load() == l {
		t.memory.begin(l.era)
		t.changed(meta.Notice{All: true})
	}
}

// doubt makes the memory stop to take records for live.
func (t *tracker) doubt() {
	t.turns.Lock()
	defer t.turns.Unlock()
	t.memory.end()
	t.changed(meta.Notice{All: true})
}

// lost notes that a link has ended, so that others are used until there is a new one.
func (t *tracker) lost(l *tracked) {
	t.turns.Lock()
	defer t.turns.Unlock()
	if t.current.Load() == l {
		t.memory.end()
		t.changed(meta.Notice{All: true})
		t.current.Store(nil)
	}
}

// run keeps the link up until ctx ends. l is the first one, nil because of err.
func (t *tracker) run(ctx context.Context, l *tracked, err error, timeout time.Duration) {
	for era := uint64(2); ; era++ {
		if l != nil {
			err = t.watch(ctx, l)
			t.lost(l)
			l.close()
			if ctx.Err() != nil {
				return
			}
			t.log.Warn("redis does not tell of changes any more, those of other clients are seen late", "err", err)
		}
		for wait := reconnect; ; wait = min(2*wait, reconnectIn) {
			if errors.Is(err, errNoRoom) {
				wait = lookAgainIn
			}
			if sleep.For(ctx, wait) != nil {
				return
			}
			if l, err = t.connect(ctx, era, timeout); err == nil {
				break
			}
			t.log.Debug("connect to redis for its changes", "err", err)
		}
		t.log.Info("redis tells of changes again")
	}
}

// watch waits for the end of a link, and ends it when the server does not answer.
func (t *tracker) watch(ctx context.Context, l *tracked) error {
	tick := time.NewTicker(min(t.every, max(t.timeout/2, time.Millisecond)))
	defer tick.Stop()
	silent := false
	for {
		select {
		case <-l.dead:
			return l.reason()
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if l.oldest(time.Now()) > t.timeout {
			l.fail(fmt.Errorf("no answer within %v: %w", t.timeout, context.DeadlineExceeded))
			continue
		}
		alive, err := t.look(ctx, l)
		if err != nil {
			return err
		}
		switch {
		case !alive && !silent:
			t.doubt()
			t.log.Warn("redis does not answer, other clients' changes are seen late")
		case alive && silent: // all that it had to tell has come before the answer
			t.rely(l)
		}
		silent = !alive
	}
}

// look asks for a sign of life, and whether the server still has room to remember keys.
func (t *tracker) look(ctx context.Context, l *tracked) (alive bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxSilence*t.every)
	defer cancel()
	before := t.where.left()
	answers, err := l.do(ctx, nil, t.ask...)
	if err != nil {
		return false, nil // the end of the link is noticed elsewhere
	}
	t.where.leave(before, failure(answers))
	return true, room(answers)
}

// roomCommands ask how many keys the server remembers.
func roomCommands() [][]string {
	return [][]string{{"INFO", "stats"}, {"CONFIG", "GET", "tracking-table-max-keys"}}
}

// room says whether the server can remember more keys.
func room(answers []reply) error {
	if err := failure(answers); refused(err) {
		return err
	} else if err != nil {
		err = explain(err)
		return fmt.Errorf("%w: it does not say how many keys it remembers: %w", errNoTracking, err)
	}
	used, err := strconv.ParseInt(parseInfo(answers[0].text)["tracking_total_keys"], 10, 64)
	if err != nil {
		return fmt.Errorf("%w: it does not say how many keys it remembers", errNoTracking)
	}
	setting, err := answers[1].strings()
	if err != nil || len(setting) != 2 {
		return fmt.Errorf("%w: it does not say how many keys it can remember", errNoTracking)
	}
	most, err := strconv.ParseInt(setting[1], 10, 64)
	if err != nil || most != 0 && used+freeKeys > most {
		return fmt.Errorf("%w (%d keys now, limit %s)", errNoRoom, used, setting[1])
	}
	return nil
}

// push takes over what the server tells.
func (t *tracker) push(p reply) {
	if len(p.list) < 2 || p.list[0].text != "invalidate" {
		return
	}
	keys := p.list[1]
	if keys.kind == replyNil { // all keys have gone
		t.memory.forget()
		t.changed(meta.Notice{All: true})
		return
	}
	for _, k := range keys.list {
		if ino, ok := t.keys.isAttr(k.text); ok {
			t.memory.changedAttr(ino)
			t.changed(meta.Notice{Ino: ino})
		} else if dir, ok := t.keys.isDir(k.text); ok {
			t.memory.changedDir(dir)
			t.changed(meta.Notice{Dir: dir})
		}
	}
}
