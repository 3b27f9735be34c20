package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/redis/rueidis"
)

// locator makes all connections to the server that holds the volume, and knows which one that is. A master that
// Sentinels watch and the slot of a cluster are on one server at a time, like a server that stands alone: so the rest
// of the engine has one server, which may be another after a connection has ended.
//
// Every connection begins with the question where, and with a proof that it is there: one to a server that was the
// master before would take writes that get lost.
type locator struct {
	t   target
	o   Options
	log *slog.Logger

	mu     sync.Mutex // guards the rest
	known  []string   // Sentinels or nodes to ask, the one that answered last first
	at     string     // the server that was found last
	epoch  uint64     // grows when at changes
	open   []net.Conn // connections to it, and perhaps closed ones
	leaves uint64     // grows when the connections are given up
	writes bool       // no replica is read any more
	asking *askers    // for records on their way to another node

	stop context.CancelFunc // nil: nobody watches
	done sync.WaitGroup
}

const (
	// askIn bounds the wait for one Sentinel or node of many, of which some may be gone.
	askIn = time.Second
	// tries is how many servers are tried for a connection, when one tells of another, or the wrong one.
	tries = 4
)

func newLocator(t target, o Options) *locator {
	return &locator{t: t, o: o, log: o.Logger, known: slices.Clone(t.seeds), asking: &askers{t: t, o: o}}
}

// moves says whether the server may be another one later.
func (l *locator) moves() bool { return l.t.form != formServer }

// close ends what goes on in the background. The connections are closed by those who use them.
func (l *locator) close() {
	if l.stop != nil {
		l.stop()
	}
	l.done.Wait()
	l.asking.close()
}

// dial connects to the server that holds the volume now. An error means that nothing was sent.
func (l *locator) dial(ctx context.Context, made madeFunc) (net.Conn, error) {
	if !l.moves() {
		return l.t.dial(ctx, l.o, l.t.addr, made)
	}
	ctx, cancel := context.WithTimeout(ctx, l.o.DialTimeout)
	defer cancel()
	var failed error
	hint := ""
	for range tries {
		addr, err := hint, error(nil)
		if addr == "" {
			addr, err = l.find(ctx)
		}
		if err != nil {
			failed = err // and says more than what was met before
			break
		}
		var c net.Conn
		c, hint, err = l.connect(ctx, addr, made)
		if err == nil {
			return c, nil
		}
		failed = fmt.Errorf("%s: %w", addr, err)
		l.turn(nil)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("%w: %w", errUnsent, failed)
}

// connect makes a connection and proves that it leads to the right server. other is where a node says that it is.
func (l *locator) connect(ctx context.Context, addr string, made madeFunc) (c net.Conn, other string, err error) {
	var raw net.Conn
	c, err = l.t.dial(ctx, l.o, addr, func(r net.Conn) (net.Conn, error) {
		raw = r
		return made(r)
	})
	if err != nil {
		return nil, "", err
	}
	if err := l.prove(ctx, newTalk(c)); err != nil {
		c.Close()
		other, _ := redirection(err, "MOVED", addr)
		return nil, other, err
	}
	l.arrive(addr, raw)
	return c, "", nil
}

// prove asks a server whether it is the one.
func (l *locator) prove(ctx context.Context, k *talk) error {
	cmds := authCommands(l.t.user, l.t.password)
	replica := l.readsReplica()
	switch {
	case l.t.form == formSentinel:
		cmds = append(cmds, []string{"ROLE"})
	case replica:
		cmds = append(cmds, []string{"READONLY"}, l.probe())
	default:
		cmds = append(cmds, l.probe())
	}
	answers, err := k.ask(ctx, cmds...)
	if err != nil {
		return err
	}
	if err := failure(answers); err != nil {
		return explain(err)
	}
	if l.t.form == formSentinel {
		return rightRole(answers[len(answers)-1], replica)
	}
	return nil
}

// probe is a command that a node of a cluster refuses if it does not have the slot.
func (l *locator) probe() []string { return []string{"EXISTS", l.t.prefix() + keySetting} }

var errRole = errors.New("the server is not what the Sentinels say it is, they may notice soon")

// rightRole reads the answer to ROLE. A replica that has lost its master has news of nothing.
func rightRole(answer reply, replica bool) error {
	if answer.kind != replyList || len(answer.list) == 0 {
		return answer.wrong()
	}
	switch role := answer.list[0].text; {
	case role == "master":
		return nil
	case role == "slave" && replica && len(answer.list) > 3 && answer.list[3].text == "connected":
		return nil
	default:
		return fmt.Errorf("%w: it is a %s", errRole, role)
	}
}

// readsReplica says whether connections go to a replica.
func (l *locator) readsReplica() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.t.replica && !l.writes
}

// arrive notes a connection to the server.
func (l *locator) arrive(addr string, c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at != addr {
		if l.at != "" {
			l.log.Info("redis has moved", "from", l.at, "to", addr)
		}
		l.at = addr
		l.epoch++
	}
	l.open = append(slices.DeleteFunc(l.open, closed), c)
}

// turn lets others be asked first: after a failure the next one, after an answer who gave it, and those it knows.
func (l *locator) turn(first []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(first) == 0 && len(l.known) > 0 {
		l.known = append(l.known[1:len(l.known):len(l.known)], l.known[0])
		return
	}
	for _, addr := range append(l.known, l.t.seeds...) {
		if !slices.Contains(first, addr) && (l.t.form == formSentinel || slices.Contains(l.t.seeds, addr)) {
			first = append(first, addr)
		}
	}
	l.known = first
}

// leave gives up all connections, of which one has answered with err, if that says that they lead to a wrong server.
// before is the number of leaves when that was asked.
func (l *locator) leave(before uint64, err error) {
	if !l.moves() {
		return
	}
	switch c := code(err); c {
	case "MOVED", "CLUSTERDOWN", "MASTERDOWN":
	case "READONLY":
		l.mu.Lock()
		l.writes = true // if a replica was read, that is over, because it would not know what was written
		l.mu.Unlock()
	default:
		return
	}
	l.turn(nil)
	l.shut(&before)
}

// write ends the reading of a replica before a command that may run twice. Others are refused by the replica first,
// and are known not to have run.
func (l *locator) write() {
	l.mu.Lock()
	done := !l.t.replica || l.writes
	l.writes = true
	l.mu.Unlock()
	if !done {
		l.shut(nil)
	}
}

// left is the number that leave wants.
func (l *locator) left() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaves
}

// place is a number that grows when answers begin to come from another server, be it for one record. It is 0 for ever
// where there is one only.
func (l *locator) place() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch + l.asking.asked.Load()
}

// stays are commands after a look at all keys of a node, by which place grows if some of them may have left it: a node
// that is giving its slot away sends those who want a key that is not there to the other one.
func (l *locator) stays(b rueidis.Builder) []rueidis.Completed {
	if l.t.form != formCluster {
		return nil
	}
	return []rueidis.Completed{b.Exists().Key(l.t.prefix() + "-").Build()}
}

// shut ends the connections; unless that was done since before.
func (l *locator) shut(before *uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before != nil && l.leaves != *before {
		return
	}
	l.leaves++
	for _, c := range l.open {
		// Their users close them. They notice the end before they send anything, which they would not if it were closed.
		if s, ok := c.(interface{ CloseRead() error }); ok {
			_ = s.CloseRead()
		}
		if s, ok := c.(interface{ CloseWrite() error }); ok {
			_ = s.CloseWrite()
		}
	}
	l.open = nil
}

// closed says whether the user of a connection has closed it.
func closed(c net.Conn) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}
