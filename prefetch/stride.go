package prefetch

const (
	strideHistory = 16 // reads that are remembered: four of each of four strided readers
	strideAfter   = 3  // equal steps that make a stride
	strideMost    = 32 // pieces named at a time
	strideReaders = 4
)

// strides recognises readers that read pieces of one length at equal distances. Reads at random places hardly ever make
// three equal steps.
type strides struct {
	past    [strideHistory]piece
	n       int // reads so far
	readers [strideReaders]stride
}

type piece struct{ off, n int64 }

// stride is a reader.
type stride struct {
	piece       // the latest
	step  int64 // 0: there is none
	count int   // pieces read
	named int   // pieces behind the latest that were named already
	used  int
}

// observe takes note of a read that belongs to no stream, and names pieces that are going to be read: as many as the
// reader has read, within most bytes and the end of the file.
func (s *strides) observe(off, n, most, end int64) Strided {
	s.n++
	now := piece{off, n}
	r := s.follow(now)
	if r == nil {
		r = s.found(now)
	}
	s.past[s.n%strideHistory] = now
	if r == nil {
		return Strided{}
	}
	r.used = s.n
	ahead := min(r.count, strideMost, int(max(most/max(n, 1), 1)))
	if r.step > 0 && end > 0 {
		ahead = min(ahead, int(max(end-1-off, 0)/r.step))
	} else if r.step < 0 {
		ahead = min(ahead, int(off/-r.step))
	}
	if fresh := ahead - r.named; fresh <= 0 || r.named > ahead/2 {
		return Strided{}
	}
	w := Strided{Off: off + r.step*int64(r.named+1), Len: n, Step: r.step, Count: ahead - r.named}
	r.named = ahead
	return w
}

// follow finds the reader that was to read here next.
func (s *strides) follow(now piece) *stride {
	for i := range s.readers {
		r := &s.readers[i]
		if r.step != 0 && r.off+r.step == now.off && r.n == now.n {
			r.off = now.off
			r.count++
			r.named = max(r.named-1, 0)
			return r
		}
	}
	return nil
}

// found looks for earlier reads with which this one makes equal steps.
func (s *strides) found(now piece) *stride {
	for i := range s.past {
		step := now.off - s.past[i].off
		if step == 0 || s.past[i].n != now.n {
			continue
		}
		steps := 1
		for steps < strideAfter && s.has(piece{now.off - step*int64(steps+1), now.n}) {
			steps++
		}
		if steps == strideAfter {
			oldest := &s.readers[0]
			for j := range s.readers {
				if s.readers[j].used < oldest.used {
					oldest = &s.readers[j]
				}
			}
			*oldest = stride{piece: now, step: step, count: steps + 1}
			return oldest
		}
	}
	return nil
}

func (s *strides) has(p piece) bool {
	for i := range s.past {
		if s.past[i] == p {
			return true
		}
	}
	return false
}
