package sql

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keepAlive finds servers that have gone without a word.
const keepAlive = 15 * time.Second

// wire is a connection to a server that counts round trips.
type wire struct {
	net.Conn
	trips *atomic.Int64
	asked atomic.Bool  // something was sent after the last answer
	sent  atomic.Int64 // number of writes
}

// dialer gives what drivers connect with. last is told of each connection.
func dialer(trips *atomic.Int64, last func(*wire)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := net.Dialer{KeepAlive: keepAlive}
		raw, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		w := &wire{Conn: raw, trips: trips}
		last(w)
		return w, nil
	}
}

func (w *wire) Write(b []byte) (int, error) {
	if !w.asked.Swap(true) {
		w.trips.Add(1)
	}
	w.sent.Add(1)
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 {
		w.asked.Store(false)
	}
	return n, err
}

// quiet says that an idle connection is still there: the server has neither closed it nor said anything, which would
// be a farewell.
func (w *wire) quiet() bool {
	c, ok := w.Conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	// Not RawConn.Read, which would wait for a driver that is reading in the background.
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN
	})
	return err == nil && quiet
}
