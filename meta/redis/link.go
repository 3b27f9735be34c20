package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// link is one connection that all callers share, on which the server also tells of changes. Answers and pushes are
// processed one by one in the order in which the server sent them, so what an answer says is true until a push
// after it says otherwise.
//
// A caller writes its request itself, and with it those of others that came while somebody was writing. One that
// is alone reads its answer itself too, which takes half the time of handing it over between goroutines. A
// goroutine of the link, the keeper, reads when several callers wait, and when nobody does.
type link struct {
	conn   net.Conn
	onPush func(reply) // called by whoever reads

	src *source
	in  *bufio.Reader // used by whoever reads

	mu       sync.Mutex // guards the rest
	err      error      // why the link has ended
	calls    []*call    // in the order of their requests
	head     int        // number of calls at the front that have their answers
	answered uint64     // number of calls that have got them
	out      []byte     // requests that are not handed to the connection
	fresh    []*call    // whose requests are in out
	spare    []byte
	writing  bool
	role     role
	reader   *call         // of the caller that reads
	cut      bool          // that caller is to stop reading
	caught   chan struct{} // closed when all that has come is processed, or nobody reads; nil: nobody waits for that
	freed    time.Time     // when nobody began to read
	armed    bool          // idle is running

	idle  *time.Timer
	turn  chan struct{} // one element: the keeper is to read
	dead  chan struct{} // closed by fail
	ended chan struct{} // closed when the keeper has ended
}

// role says who reads.
type role uint8

const (
	roleFree role = iota
	roleCaller
	roleKeeper
)

// call is a request with one or more commands.
type call struct {
	answers []reply
	want    int           // number of answers
	then    func([]reply) // run by whoever reads, before it goes on to what the server sent later
	since   time.Time
	begun   bool // the server may have got it
	err     error
	done    chan struct{} // gets one element when answers or err are there
}

var calls = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

// errUnsent wraps errors of requests that the server has not seen.
var errUnsent = errors.New("not sent")

const (
	linkBuffer  = 64 << 10 // bytes read at a time
	maxAnswered = 1024     // calls that are done and keep the place of others in the queue
	// idleAfter is how long nobody reads after a caller has read its answer, because the next caller is likely to
	// come at once. What the server tells meanwhile is noticed that much later.
	idleAfter = 2 * time.Millisecond
)

// newLink takes over a connection that is a socket, or TLS over one.
func newLink(conn net.Conn, onPush func(reply)) *link {
	l := &link{
		conn: conn, onPush: onPush, src: newSource(conn), role: roleKeeper,
		idle: time.NewTimer(time.Hour), turn: make(chan struct{}, 1), dead: make(chan struct{}), ended: make(chan struct{}),
	}
	l.idle.Stop()
	l.src.socket.empty = l.readAll
	l.in = bufio.NewReaderSize(l.src, linkBuffer)
	go l.keep()
	return l
}

// close ends the connection and waits for the keeper.
func (l *link) close() {
	l.fail(fmt.Errorf("%w: %w", net.ErrClosed, errClosed))
	<-l.ended
}

// do sends commands and waits for their answers. then is called with them in the order in which the server gave
// answers and pushes, also when ctx has ended and nobody waits any more.
func (l *link) do(ctx context.Context, then func([]reply), cmds ...[]string) ([]reply, error) {
	c := calls.Get().(*call)
	c.want, c.then, c.since = len(cmds), then, time.Now()
	c.answers = make([]reply, 0, len(cmds))
	mine, err := l.send(c, true, cmds)
	switch {
	case err != nil:
		return nil, err
	case mine:
		if !l.readOwn(ctx, c) {
			return nil, ctx.Err() // the answer is still to come
		}
	}
	if ctx.Done() == nil {
		<-c.done
	} else {
		select {
		case <-c.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	answers, err := c.answers, c.err
	*c = call{done: c.done}
	calls.Put(c)
	return answers, err
}

// post sends a command and does not wait for its answer, which then is called with.
func (l *link) post(then func([]reply), words []string) {
	c := &call{want: 1, then: then, since: time.Now(), done: make(chan struct{}, 1)}
	_, _ = l.send(c, false, [][]string{words}) // when the link has ended, so has everything that hangs on it
}

// send writes a request, or leaves it to a caller that is writing. mine says that the caller, who waits, has to read.
func (l *link) send(c *call, waits bool, cmds [][]string) (mine bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return false, fmt.Errorf("%w: %w", errUnsent, l.err)
	}
	if l.role == roleFree && ended(l.conn) { // which nobody has had the chance to notice
		l.failLocked(io.EOF)
		return false, fmt.Errorf("%w: %w", errUnsent, l.err)
	}
	for _, words := range cmds {
		l.out = appendCommand(l.out, words)
	}
	l.calls = append(l.calls, c)
	l.fresh = append(l.fresh, c)
	if !l.writing {
		l.write()
	}
	if waits && l.role == roleFree && l.err == nil {
		l.role, l.reader = roleCaller, c
		return true, nil
	}
	return false, nil
}

// write hands requests to the connection until there are no more. l.mu is held, but not while writing.
func (l *link) write() {
	l.writing = true
	for len(l.out) > 0 && l.err == nil {
		batch := l.out
		for i, f := range l.fresh {
			f.begun = true
			l.fresh[i] = nil
		}
		l.out, l.fresh = l.spare[:0], l.fresh[:0]
		l.mu.Unlock()
		_, err := l.conn.Write(batch)
		l.mu.Lock()
		if l.spare = batch; cap(batch) > 4*linkBuffer {
			l.spare = nil
		}
		if err != nil {
			l.failLocked(err)
		}
	}
	l.writing = false
}

// answer gives an answer to the first call that waits.
func (l *link) answer(m reply) {
	l.mu.Lock()
	if l.err != nil || l.head == len(l.calls) {
		l.failLocked(fmt.Errorf("%w: an answer that nobody asked for", errProtocol))
		l.mu.Unlock()
		return
	}
	c := l.calls[l.head]
	c.answers = append(c.answers, m)
	complete := len(c.answers) == c.want
	if complete {
		l.calls[l.head] = nil
		l.answered++
		if l.head++; l.head == len(l.calls) || l.head == maxAnswered {
			l.calls = slices.Delete(l.calls, 0, l.head)
			l.head = 0
		}
	}
	l.mu.Unlock()
	if !complete {
		return
	}
	if c.then != nil {
		c.then(c.answers)
	}
	c.done <- struct{}{}
	l.leave()
}

// fail ends the link once. Calls that wait get the error.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failLocked(err)
}

func (l *link) failLocked(err error) {
	if l.err != nil {
		return
	}
	l.err = err
	_ = l.conn.Close()
	for _, c := range l.calls[l.head:] {
		c.err = err
		if !c.begun {
			c.err = fmt.Errorf("%w: %w", errUnsent, err)
		}
		c.done <- struct{}{}
	}
	l.calls, l.head, l.fresh, l.out = nil, 0, nil, nil
	close(l.dead)
}

// oldest says how long the first call has been waiting, 0 if there is none.
func (l *link) oldest(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head == len(l.calls) {
		return 0
	}
	return now.Sub(l.calls[l.head].since)
}

// reason says why the link has ended.
func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
