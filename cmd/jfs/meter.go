package main

import (
	"fmt"
	"sync"
	"time"
)

// meter shows how far work has come, on one line of a terminal. Without a terminal it shows nothing.
type meter struct {
	a    *app
	what string
	show bool

	mu   sync.Mutex // guards the rest
	n    int64
	last time.Time // of the last line shown
}

const meterInterval = 100 * time.Millisecond // between two lines; more often is not read

func (a *app) newMeter(what string) *meter {
	return &meter{a: a, what: what, show: terminal(a.err) && !a.global.quiet}
}

// add counts n more.
func (m *meter) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n += int64(n)
	m.line(m.what, m.n)
}

// step counts n more of another kind of work, and begins at 0 when the kind changes.
func (m *meter) step(what string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.what != what {
		m.what, m.n = what, 0
	}
	m.n += int64(n)
	m.line(m.what, m.n)
}

// set shows a number that somebody else counts.
func (m *meter) set(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.line(m.what, int64(n))
}

// line writes if the last one is old enough. m.mu is held.
func (m *meter) line(what string, n int64) {
	if now := time.Now(); m.show && now.Sub(m.last) >= meterInterval {
		m.last = now
		text := fmt.Sprintf("%s: %s", what, grouped(n))
		fmt.Fprintf(m.a.err, "\r\x1b[K%s", text) //nolint:errcheck // only a display
	}
}

// end takes the line away.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.show && !m.last.IsZero() {
		fmt.Fprint(m.a.err, "\r\x1b[K") //nolint:errcheck // only a display
	}
}
