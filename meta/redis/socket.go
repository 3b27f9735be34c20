package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// source is the connection for reading. A deadline that cuts a caller short takes effect between answers only: one
// that has begun to arrive is soon complete, or the tracker ends the link.
type source struct {
	net.Conn
	socket  *socket
	plain   bool // without TLS
	between bool
}

// newSource reads from a socket, or from TLS over one.
func newSource(c net.Conn) *source {
	if t, ok := c.(*tls.Conn); ok {
		return &source{Conn: c, socket: t.NetConn().(*socket)}
	}
	return &source{Conn: c, socket: c.(*socket), plain: true}
}

func (s *source) Read(b []byte) (int, error) {
	for {
		n, err := s.Conn.Read(b)
		if n > 0 || err == nil || s.between || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if err := s.SetReadDeadline(time.Time{}); err != nil {
			return 0, err
		}
	}
}

// socket is a connection, below TLS if there is any, that says whether the one who reads is behind.
type socket struct {
	net.Conn
	raw syscall.RawConn

	busy    atomic.Bool   // something was read, and not all of it is known to be processed
	tries   atomic.Uint64 // looks of the reader at the socket, which it takes when it has processed what it has
	emptied atomic.Uint64 // the last of them that found nothing
	watched atomic.Bool   // empty is to be called after such a one
	empty   func()

	// Of the read under way; there is one at a time.
	into []byte
	n    int
	err  error
	try  func(fd uintptr) bool
}

// newSocket makes a *socket of what a dialler gives. It closes the connection when it cannot.
func newSocket(c net.Conn) (net.Conn, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("%T is no socket", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		c.Close()
		return nil, err
	}
	s := &socket{Conn: c, raw: raw, empty: func() {}}
	s.try = s.attempt
	return s, nil
}

func (s *socket) SyscallConn() (syscall.RawConn, error) { return s.raw, nil }

// Read is what net.Conn does, but busy is set before anything is taken from the socket, and reset when there is
// nothing more: whoever looks at the socket first and then at busy misses nothing.
func (s *socket) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.into = b
	err := s.raw.Read(s.try)
	s.into = nil
	switch {
	case err != nil:
		return 0, err
	case s.err != nil:
		return 0, &net.OpError{Op: "read", Net: s.RemoteAddr().Network(), Addr: s.RemoteAddr(), Err: os.NewSyscallError("read", s.err)}
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// attempt reads without waiting. false means that there is nothing to read.
func (s *socket) attempt(fd uintptr) bool {
	s.busy.Store(true)
	this := s.tries.Add(1)
	for {
		s.n, s.err = unix.Read(int(fd), s.into)
		if !errors.Is(s.err, unix.EINTR) {
			break
		}
	}
	if !errors.Is(s.err, unix.EAGAIN) {
		return true
	}
	s.busy.Store(false)
	s.emptied.Store(this)
	if s.watched.Load() {
		s.empty()
	}
	return false
}
