package sql

import (
	"testing"
	"time"
)

// TestOutage: the patience of all calls together begins with the first one that gets no answer.
func TestOutage(t *testing.T) {
	var o outage
	begin := time.Now()
	for _, c := range []struct {
		at       int // seconds
		answered bool
		want     int
	}{
		{at: 0, want: 0}, {at: 20, want: 20}, {at: 45, want: 45}, // one outage
		{at: 46, answered: true},
		{at: 47, want: 0}, {at: 50, want: 3}, // and another
		{at: 200, want: 0}, {at: 230, want: 30}, // nobody asked for long, so nobody knows
	} {
		if c.answered {
			o.answered()
			continue
		}
		got := o.failed(begin.Add(time.Duration(c.at)*time.Second), 30*time.Second)
		if got != time.Duration(c.want)*time.Second {
			t.Errorf("after %d s: away for %v, want %d s", c.at, got, c.want)
		}
	}
}
