// Package prefetch decides what to read ahead of an application, and does it within bounds.
//
// A Detector looks at one file's reads and names the bytes to have ready; it is pure. A Pace is the reader's speed, by
// which a window need not be larger than what is read during one request to the store. A Scheduler fetches blocks in
// the background, never more than its bounds, and never makes a reader wait.
package prefetch

// Defaults of DetectorOptions.
const (
	DefaultFirst   = 4 << 20
	DefaultMax     = 32 << 20
	DefaultStreams = 4
	DefaultJitter  = 2 << 20
	DefaultDense   = 128 << 10
)

// DetectorOptions shape the windows of a Detector. The zero value works.
type DetectorOptions struct {
	First   int64 // window of a new stream, in bytes, usually one block; 0 means DefaultFirst
	Max     int64 // largest window in bytes; 0 means DefaultMax, below 0 no windows at all
	Streams int   // streams told apart in one file; 0 means DefaultStreams
	// Jitter is how far from its place in bytes a request may come: the kernel sends a reader's requests in
	// parallel and they overtake each other. 0 means DefaultJitter, two requests of the largest size.
	Jitter int64
	// Dense is the largest gap in bytes that regular reads may leave and still be a stream: fetched by themselves, the
	// pieces would be all there is. 0 means DefaultDense, two pages of the cache.
	Dense int64
	Trust *Trust // shared with the detectors of other files; nil: the Detector has one of its own
}

// Window says what to have ready after a read.
type Window struct {
	// [Off, Off+Len) of the file is to be ready or under way, behind the read, or before it when the file is read
	// backwards. Len is 0 if the read belongs to no stream; then nobody is going to want what lies around it.
	Off, Len int64
	// [From, To) is the part that no window before this one has named.
	From, To int64
	Strided  Strided // pieces that no window before has named, of a reader that leaves out most of the file
}

// Strided is Count pieces of Len bytes, the first at Off and each Step bytes from the one before; Step may be negative.
type Strided struct {
	Off, Len, Step int64
	Count          int
}

// Detector recognises streams in the reads of one open file. It is not safe for concurrent use.
//
// A stream is read forwards or backwards. Its window begins at First and doubles with the bytes that the stream has
// read, up to Max and to what Aim says. Reads at random places have no window. Streams that end with more bytes unread
// than they had read cost trust: those that follow have to show more before they get a window.
type Detector struct {
	o       DetectorOptions
	streams []stream
	strides strides
	turn    uint64 // counts the observations; the stream used longest ago makes way for a new one
	last    *stream
	before  int64 // what last had asked for before the latest observation
	aim     int64
	end     int64 // of the file; 0: not known
}

// stream is a part of the file that was read more or less in order.
type stream struct {
	start, next int64 // what was read lies in [start, next)
	seen        int64 // bytes of the requests, at most next-start
	ahead       int64 // bytes by which requests after the first moved next forward, without the gaps
	behind      int64 // bytes by which requests moved start backwards
	falls       int   // requests since one moved next forward that came exactly before start
	near        int   // requests since the last large gap
	asked       int64 // end of what windows have named, their begin if the stream goes backwards; -1: nothing
	used        uint64
	proven      bool
}

const (
	backAfter = 3 // requests before the earlier ones, each at its place, after which a stream goes backwards
	nearAfter = 3 // requests with small gaps after which the gaps do not count
)

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
	if o.Dense <= 0 {
		o.Dense = DefaultDense
	}
	if o.Trust == nil {
		o.Trust = &Trust{}
	}
	return &Detector{o: o, streams: make([]stream, 0, o.Streams)}
}

// Aim bounds windows by what is of use: the bytes that the reader takes while the store answers. First is the least.
// 0 means that it is not known, and Max alone holds.
func (d *Detector) Aim(n int64) { d.aim = max(n, 0) }

// Bound tells the length of the file, beyond which no window reaches; 0 means that it is not known.
func (d *Detector) Bound(end int64) { d.end = max(end, 0) }

// Observe takes note of a read of n bytes at off and returns what should be ready or under way after it.
func (d *Detector) Observe(off, n int64) Window {
	if n <= 0 || off < 0 || off > off+n || d.o.Max < 0 {
		d.last = nil
		return Window{Off: max(off, 0)}
	}
	d.turn++
	s := d.find(off, n)
	if s != nil {
		s.add(off, n, d.o.Dense)
	}
	if s == nil || s.sparse() && s.next-s.start > d.o.Jitter {
		if s == nil {
			s = d.replace()
		}
		d.judge(s)
		*s = stream{start: off, next: off + n, seen: n, asked: -1}
	}
	s.used = d.turn
	d.last, d.before = s, s.asked
	if !s.proven && max(s.ahead, s.behind) >= d.o.First {
		s.proven = true
		d.o.Trust.gain()
	}
	length := d.window(s)
	if length == 0 {
		return Window{Off: s.next, Strided: d.strides.observe(off, n, d.o.Max, d.end)}
	}
	if s.falls >= backAfter {
		return d.backwards(s, length)
	}
	return d.forwards(s, length)
}

// Refused says that what the last Window named was not taken, so that the next one names it again.
func (d *Detector) Refused() {
	if d.last != nil {
		d.last.asked = d.before
	}
}

// Close ends all streams, for the trust in others.
func (d *Detector) Close() {
	for i := range d.streams {
		d.judge(&d.streams[i])
	}
	d.streams, d.last = d.streams[:0], nil
}

// forwards gives the window behind a stream. What is new in it is named in portions, so that small reads seldom ask.
func (d *Detector) forwards(s *stream, length int64) Window {
	w := Window{Off: s.next, Len: length}
	stop := w.Off + w.Len
	if d.end > 0 {
		stop = min(stop, max(d.end, w.Off))
		w.Len = max(stop-w.Off, 1) // a stream at the end of the file is one nevertheless
	}
	from := max(s.asked, s.next)
	if fresh := stop - from; fresh > 0 && (from == s.next || fresh >= d.o.First/2 || stop == d.end) {
		w.From, w.To = from, stop
		s.asked = stop
	}
	return w
}

// backwards is forwards in the other direction.
func (d *Detector) backwards(s *stream, length int64) Window {
	w := Window{Off: max(s.start-length, 0)}
	w.Len = max(s.start-w.Off, 1)
	to := s.start
	if s.asked >= 0 {
		to = min(to, s.asked)
	}
	if fresh := to - w.Off; fresh > 0 && (to == s.start || fresh >= d.o.First/2 || w.Off == 0) {
		w.From, w.To = w.Off, to
		s.asked = w.Off
	}
	return w
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
			if off+n == s.start && s.behind >= s.ahead {
				away = min(away, d.o.Jitter) // the stream may go backwards, however long it is by now
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
		d.streams = append(d.streams, stream{asked: -1})
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

// judge compares what a stream that has ended left unread with what it has read.
func (d *Detector) judge(s *stream) {
	if s.asked < 0 {
		return
	}
	read, unread := s.ahead, s.asked-s.next
	if s.falls >= backAfter {
		read, unread = s.behind, s.start-s.asked
	}
	switch {
	case unread > 0 && unread >= read:
		d.o.Trust.lose()
	case unread <= 0 && !s.proven:
		d.o.Trust.gain()
	}
}

func (s *stream) add(off, n, dense int64) {
	end := off + n
	if end > s.next {
		if off-s.next > dense {
			s.near = 0
		} else {
			s.near++
		}
		s.ahead += min(n, end-s.next)
		s.next = end
		if s.falls >= backAfter {
			s.asked = -1 // it was backwards
		}
		s.falls = 0
	} else if off < s.start {
		s.behind += s.start - off
		if s.falls++; end != s.start {
			s.falls = 0
		}
		if s.falls == backAfter {
			s.asked = -1 // it was forwards
		}
	}
	s.start = min(s.start, off)
	s.seen = min(s.seen+n, s.next-s.start)
}

// sparse: more was skipped than read, so this is no stream but chance.
func (s *stream) sparse() bool { return 2*s.seen < s.next-s.start && s.near < nearAfter }

// window is the length to have ahead of a stream. The first read of a file counts as the begin of a
// stream, because that is what it is nearly always; elsewhere it takes a second one that goes on.
func (d *Detector) window(s *stream) int64 {
	read := s.ahead
	if s.falls >= backAfter {
		read = s.behind
	}
	need := d.o.Trust.need(d.o.First)
	switch {
	case s.sparse(), read < need, read == 0 && s.start > 0:
		return 0
	}
	most := d.o.Max
	if d.aim > 0 {
		most = min(most, max(d.aim, d.o.First))
	}
	w := min(d.o.First, most)
	for w <= read && w < most {
		w = min(2*w, most)
	}
	return w
}
