package prefetch

import "time"

const (
	paceInterval = 50 * time.Millisecond // over which a speed is taken; a shorter one would see single requests
	paceIdle     = time.Second           // a reader that pauses for longer begins anew
)

// Pace is the speed of a reader, from the times of its reads, which may be those of any clock that goes forwards. It is
// not safe for concurrent use.
type Pace struct {
	begin, last time.Time
	bytes       int64
	rate        float64 // bytes a second; 0: not known
}

// Observe takes note of a read of n bytes that begins now.
func (p *Pace) Observe(now time.Time, n int64) {
	if p.last.IsZero() || now.Sub(p.last) > paceIdle {
		*p = Pace{begin: now}
	} else if took := now.Sub(p.begin); took >= paceInterval {
		rate := float64(p.bytes) / took.Seconds()
		if p.rate > 0 {
			rate = (rate + p.rate) / 2
		}
		p.rate, p.begin, p.bytes = rate, now, 0
	}
	p.last = now
	p.bytes += n
}

// During is how much the reader reads within a time, twice over, so that a reader which waits for the store gets
// faster until the store does not; 0 while its speed is not known.
func (p *Pace) During(d time.Duration) int64 { return int64(2 * p.rate * d.Seconds()) }
