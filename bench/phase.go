package bench

// Op is what a phase does with each of its files.
type Op int

// The operations. A file is written once, in full, into a new file, and closed; no sync is asked for.
const (
	Write Op = iota
	Read
	Stat
)

// Measure is what a phase is judged by.
type Measure int

// The measures: bytes a second and seconds a file, or files a second and milliseconds a file.
const (
	Throughput Measure = iota
	FileRate
)

// Phase is one step of a workload: every thread does Op on Files files of its own. All threads end a phase before
// the next one begins.
type Phase struct {
	Name    string // the title of its row
	Op      Op
	Set     string // which files: phases of the same set work on the same ones
	Files   int    // files of each thread
	Size    int64  // bytes of a file
	Cold    bool   // the kernel's caches are dropped beforehand
	Verify  bool   // the contents are compared with what was written, not only the length
	Measure Measure
}

// phases is the workload of the official client.
func phases(c Config) []Phase {
	var list []Phase
	if !c.SkipBig {
		// The contents of the big file are not compared: at the speed of a warm read that would be measured too.
		big := Phase{Set: "bigfile", Files: 1, Size: c.BigFileSize, Measure: Throughput}
		list = append(list,
			big.as("Write big file", Write),
			big.as("Read big file", Read).cold())
	}
	if !c.SkipSmall {
		small := Phase{Set: "smallfile", Files: c.SmallFileCount, Size: c.SmallFileSize, Measure: FileRate}
		read := small.as("Read small file", Read).cold()
		read.Verify = true
		list = append(list,
			small.as("Write small file", Write),
			read,
			small.as("Stat file", Stat).cold())
	}
	return list
}

func (p Phase) as(name string, op Op) Phase {
	p.Name, p.Op = name, op
	return p
}

func (p Phase) cold() Phase {
	p.Cold = true
	return p
}

// moves returns the bytes that the phase moves for each file.
func (p Phase) moves() int64 {
	if p.Op == Stat {
		return 0
	}
	return p.Size
}
