package etcd

import (
	"bytes"
	"encoding/binary"
	"sync"

	"jfs/internal/testenv"
)

// wire counts the requests in what a client sends over its connection, which speaks HTTP/2: frames of three bytes of
// length, kind, flags, and the number of their stream. Each request has a stream of its own, which begins with headers.
type wire struct {
	mu       sync.Mutex
	rest     []byte // what is not a whole frame yet
	requests int
}

// preface is what a client says first on a connection.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// see is for Proxy.Judge.
func (w *wire) see(piece []byte) testenv.Verdict {
	const head, headers = 9, 1
	w.mu.Lock()
	defer w.mu.Unlock()
	if bytes.HasPrefix(piece, []byte("PRI ")) {
		w.rest = nil // of the connection before
	}
	w.rest = append(w.rest, piece...)
	if after, ok := bytes.CutPrefix(w.rest, []byte(preface)); ok {
		w.rest = after
	} else if bytes.HasPrefix([]byte(preface), w.rest) {
		return testenv.Pass
	}
	for len(w.rest) >= head {
		size := head + int(binary.BigEndian.Uint32(append([]byte{0}, w.rest[:3]...)))
		if len(w.rest) < size {
			break
		}
		if w.rest[3] == headers {
			w.requests++
		}
		w.rest = w.rest[size:]
	}
	return testenv.Pass
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests
}
