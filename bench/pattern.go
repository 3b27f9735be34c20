package bench

import (
	"encoding/binary"
	"math/rand/v2"
)

// maxPeriod is after how many bytes contents may repeat. It is the largest block of a volume, so that no
// compression of blocks finds the repetition.
const maxPeriod = 16 << 20

// stagger is added to the distance of two files in the period, so that big files, whose lengths tend to be
// multiples of it, do not have the same contents.
const stagger = 4097

// pattern gives every file contents of its own that cannot be compressed. Making random bytes while the clock runs
// would be measured too; so a run makes one period of them, through which the files pass one after the other.
type pattern struct {
	period int64
	random []byte // one period, and the beginning of the next so that no piece wraps
}

// newPattern makes contents for a workload. The seed tells runs apart.
func newPattern(seed uint64, c Config) *pattern {
	var piece, total int64
	for _, p := range phases(c) {
		size := p.longest()
		piece = max(piece, min(p.block(c), size))
		// A file longer than the period fills it alone; cutting it here keeps the sum from overflowing.
		total = max(total, min(size+stagger, maxPeriod)*min(int64(p.Files)*int64(c.Threads), maxPeriod))
	}
	period := max(min(total, maxPeriod), 1)
	random := make([]byte, period+piece)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	_, _ = rand.NewChaCha8(key).Read(random[:period]) // never fails
	for n := int(period); n < len(random); n += int(period) {
		copy(random[n:], random[:period])
	}
	return &pattern{period, random}
}

// start returns the place in the period of the file with the given number among files of the same size.
func (p *pattern) start(number int, size int64) int64 {
	return int64(number) % p.period * ((size + stagger) % p.period) % p.period
}

// at returns n bytes, at most one block, of the file that begins at start, from off on. They are shared and must
// not be changed.
func (p *pattern) at(start, off int64, n int) []byte {
	from := (start + off) % p.period
	return p.random[from : from+int64(n)]
}
