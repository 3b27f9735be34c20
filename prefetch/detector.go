// Package prefetch decides what to read ahead of an application, and does it within bounds.
//
// A Detector looks at one file's reads and names the bytes to have ready; it is pure. A Scheduler fetches
// blocks in the background, never more than its bounds, and never makes a reader wait.
package prefetch

// Defaults of DetectorOptions.
const (
	DefaultFirst   = 4 << 20
	DefaultMax     = 32 << 20
	DefaultStreams = 4
	DefaultJitter  = 2 << 20
)

// DetectorOptions shape the windows of a Detector. The zero value works.
type DetectorOptions struct {
	First   int64 // window of a new stream, in bytes, usually one block; 0 means DefaultFirst
	Max     int64 // largest window in bytes; 0 means DefaultMax, below 0 no windows at all
	Streams int   // sequential streams told apart in one file; 0 means DefaultStreams
	// Jitter is how far from its place in bytes a request may come: the kernel sends a reader's requests in
	// parallel and they overtake each other. 0 means DefaultJitter, two requests of the largest size.
	Jitter int64
}

// Window is the range [Off, Off+Len) of a file. It may reach beyond the file's end.
type Window struct{ Off, Len int64 }

// Detector recognises sequential streams in the reads of one open file. It is not safe for concurrent use.
//
// A stream's window begins at First and doubles with the bytes that the stream has read, up to Max. Reads at
// random places, backwards, or with large gaps have no window.
type Detector struct {
	o       DetectorOptions
	streams []stream
	turn    uint64 // counts the observations; the stream used longest ago makes way for a new one
}

// stream is a part of the file that was read more or less in order.
type stream struct {
	start, next int64 // what was read lies in [start, next)
	seen        int64 // bytes of the requests, at most next-start
	ahead       int64 // bytes by which requests after the first moved next forward, without the gaps
	used        uint64
}

// NewDetector makes a Detector for one open file.
func NewDetector(o DetectorOptions) *Detector {
	if o.First <= 0 {
		o.First = DefaultFirst
	}
	if o.Max == 0 {
		o.Max = DefaultMax
	}
	if o.Streams <= 0 {
		o.Streams = DefaultStreams
	}
	if o.Jitter <= 0 {
		o.Jitter = DefaultJitter
	}
	return &Detector{o: o, streams: make([]stream, 0, o.Streams)}
}

// Observe takes note of a read of n bytes at off and returns what should be ready or under way after it: an
// empty window, or one that begins where the stream will go on.
func (d *Detector) Observe(off, n int64) Window {
	if n <= 0 || off < 0 || off > off+n || d.o.Max < 0 {
		return Window{Off: max(off, 0)}
	}
	d.turn++
	s := d.find(off, n)
	if s != nil {
		s.add(off, n)
	}
	if s == nil || s.sparse() && s.next-s.start > d.o.Jitter {
		if s == nil {
			s = d.replace()
		}
		*s = stream{start: off, next: off + n, seen: n}
	}
	s.used = d.turn
	return Window{Off: s.next, Len: d.window(s)}
}

// find returns the stream that a request most likely belongs to.
func (d *Detector) find(off, n int64) *stream {
	var best *stream
	distance := d.o.Jitter + 1
	for i := range d.streams {
		s := &d.streams[i]
		away := off - s.next
		if away < 0 {
			// Late, if it belongs to what was read or directly before it: where a stream is young, a
			// later request may have been the first to arrive.
			if away = -away; off+n < s.start {
				continue
			}
		}
		if away < distance {
			best, distance = s, away
		}
	}
	return best
}

// replace returns the place for a new stream.
func (d *Detector) replace() *stream {
	if len(d.streams) < cap(d.streams) {
		d.streams = append(d.streams, stream{})
		return &d.streams[len(d.streams)-1]
	}
	oldest := &d.streams[0]
	for i := range d.streams {
		if d.streams[i].used < oldest.used {
			oldest = &d.streams[i]
		}
	}
	return oldest
}

func (s *stream) add(off, n int64) {
	if end := off + n; end > s.next {
		s.ahead += min(n, end-s.next)
		s.next = end
	}
	s.start = min(s.start, off)
	s.seen = min(s.seen+n, s.next-s.start)
}

// sparse: more was skipped than read, so this is no stream but chance.
func (s *stream) sparse() bool { return 2*s.seen < s.next-s.start }

// window is the length to have ahead of a stream. The first read of a file counts as the begin of a
// stream, because that is what it is nearly always; elsewhere it takes a second one that goes on.
func (d *Detector) window(s *stream) int64 {
	if s.sparse() || s.start > 0 && s.ahead == 0 {
		return 0
	}
	w := min(d.o.First, d.o.Max)
	for w <= s.ahead && w < d.o.Max {
		w = min(2*w, d.o.Max)
	}
	return w
}
