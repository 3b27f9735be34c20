// Package control speaks the protocol of a mount's control file, on both sides: Client asks, Server carries out.
//
// A request is a command and the size of its payload, 4 bytes each, and the payload; numbers have their most significant
// byte first (volume format, section 14). The answer is any number of items {0xFE, a, b} of progress with two numbers of 8
// bytes, and then either {0xFF, size, JSON} with 4 bytes of size, or one byte with an errno, 0 for success.
package control

import (
	"encoding/binary"
	"strings"

	"jfs/internal/posix"
	"jfs/meta"
)

// Command is what is asked for.
type Command uint32

// The commands that are known here.
const (
	CommandRemove  Command = 1002
	CommandWarm    Command = 1004
	CommandInfo    Command = 1005
	CommandClone   Command = 1006
	CommandSummary Command = 1007
	CommandCompact Command = 1008
)

// Marks of items of an answer.
const (
	markProgress = 0xFE
	markData     = 0xFF
)

// Request is one of the types named like that.
type Request interface {
	command() Command
	encode() []byte
}

// RemoveRequest removes an entry and all that is below it. The answer is an errno.
type RemoveRequest struct {
	Dir       meta.Ino
	Name      string
	SkipTrash bool
	Threads   uint8 // 0 means the default
}

// InfoRequest asks for an InfoResponse.
type InfoRequest struct {
	Ino       meta.Ino
	Recursive bool // the totals are those of the whole tree
	Raw       bool // slices instead of objects
	Strict    bool // do not rely on statistics of directories
}

// CloneRequest copies a file or a tree to a new name. The answer is an errno.
type CloneRequest struct {
	Src meta.Ino
	// SrcDir is the directory in which the source was found; clients of old versions do not say, 0. Mounts do not agree
	// on which of the two comes first, so who asks gives the source here too.
	SrcDir   meta.Ino
	Dir      meta.Ino
	Name     string
	Umask    uint16
	Preserve bool  // keep owner, mode and times
	Threads  uint8 // 0 means the default
}

// SummaryRequest asks for a SummaryResponse.
type SummaryRequest struct {
	Ino     meta.Ino
	Depth   uint8
	Entries uint32 // largest entries of a directory that are named; 0 means all
	Strict  bool
}

// CompactRequest compacts the chunks of a file, or of all files of a tree. The answer is an errno.
type CompactRequest struct {
	Ino     meta.Ino
	Threads uint16 // 0 means the default
}

// WarmRequest fills the cache with files and trees, removes them from it, or looks what it has of them. The answer is a
// WarmResponse.
type WarmRequest struct {
	Paths      []string // from the root of the mount; "inode:N" for one without
	Threads    uint16   // 0 means the default
	Background bool     // the answer comes at once, empty
	Action     uint8    // 0 fill, 1 remove, 2 look; of jfs only: 3 bring into memory, 4 remove from memory
}

const flagPreserve = 2 // bit of the mode of a clone

func (RemoveRequest) command() Command  { return CommandRemove }
func (InfoRequest) command() Command    { return CommandInfo }
func (CloneRequest) command() Command   { return CommandClone }
func (SummaryRequest) command() Command { return CommandSummary }
func (CompactRequest) command() Command { return CommandCompact }
func (WarmRequest) command() Command    { return CommandWarm }

func number(b []byte, ino meta.Ino) []byte { return binary.BigEndian.AppendUint64(b, uint64(ino)) }

func flag(b []byte, on bool) []byte {
	if on {
		return append(b, 1)
	}
	return append(b, 0)
}

// text is a name of up to 255 bytes with its length before it. A longer one loses its length, and is refused where it
// comes from.
func text(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func (r RemoveRequest) encode() []byte {
	return append(flag(text(number(nil, r.Dir), r.Name), r.SkipTrash), r.Threads)
}

func (r InfoRequest) encode() []byte {
	return flag(flag(flag(number(nil, r.Ino), r.Recursive), r.Raw), r.Strict)
}

func (r CloneRequest) encode() []byte {
	b := text(number(number(number(nil, r.Src), r.SrcDir), r.Dir), r.Name)
	b = binary.BigEndian.AppendUint16(b, r.Umask)
	mode := byte(0)
	if r.Preserve {
		mode = flagPreserve
	}
	return append(b, mode, r.Threads)
}

func (r SummaryRequest) encode() []byte {
	b := append(number(nil, r.Ino), r.Depth)
	return flag(binary.BigEndian.AppendUint32(b, r.Entries), r.Strict)
}

func (r CompactRequest) encode() []byte {
	return binary.BigEndian.AppendUint16(number(nil, r.Ino), r.Threads)
}

func (r WarmRequest) encode() []byte {
	paths := strings.Join(r.Paths, "\n")
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(paths))), paths...)
	return append(flag(binary.BigEndian.AppendUint16(b, r.Threads), r.Background), r.Action)
}

// frame puts the head before a payload.
func frame(r Request) []byte {
	payload := r.encode()
	b := binary.BigEndian.AppendUint32(nil, uint32(r.command()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

// reader takes a payload apart. What a client of an old version leaves out at the end is zero; what is missing of the
// rest makes it bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.bad = true
		return make([]byte, n)
	}
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) byte() uint8   { return r.take(1)[0] }
func (r *reader) word() uint16  { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) long() uint32  { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) ino() meta.Ino { return meta.Ino(binary.BigEndian.Uint64(r.take(8))) }
func (r *reader) text() string  { return string(r.take(int(r.byte()))) }

// lines is a text with 4 bytes of length before it.
func (r *reader) lines() string {
	n := r.long()
	if uint64(n) > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	return string(r.take(int(n)))
}

// extra is a byte that may be missing.
func (r *reader) extra() uint8 {
	if len(r.b) == 0 {
		return 0
	}
	return r.byte()
}

// parse reads a payload. Unknown commands and payloads that are too short are posix.EINVAL.
func parse(c Command, payload []byte) (Request, error) {
	r := &reader{b: payload}
	var q Request
	switch c {
	case CommandRemove:
		q = RemoveRequest{Dir: r.ino(), Name: r.text(), SkipTrash: r.extra()&1 != 0, Threads: r.extra()}
	case CommandInfo:
		q = InfoRequest{Ino: r.ino(), Recursive: r.byte() != 0, Raw: r.extra() != 0, Strict: r.extra() != 0}
	case CommandClone:
		q = parseClone(r)
	case CommandSummary:
		q = SummaryRequest{Ino: r.ino(), Depth: r.byte(), Entries: r.long(), Strict: r.extra() != 0}
	case CommandCompact:
		q = CompactRequest{Ino: r.ino(), Threads: r.word()}
	case CommandWarm:
		q = WarmRequest{Paths: strings.Split(r.lines(), "\n"), Threads: r.word(), Background: r.byte() != 0, Action: r.extra()}
	default:
		return nil, posix.EINVAL
	}
	if r.bad {
		return nil, posix.EINVAL
	}
	return q, nil
}

// parseClone reads either of two forms, of which the older lacks the source's directory: the length of the name and that
// of the payload fit one of them only, because the directory's number in the place of the older form's length of the name
// begins with a byte of 0.
func parseClone(r *reader) CloneRequest {
	const fixed = 1 + 2 + 1 // length of the name, umask, mode
	var q CloneRequest
	fits := func(at int) bool {
		if len(r.b) <= at {
			return false
		}
		rest := len(r.b) - at - fixed - int(r.b[at])
		return rest == 0 || rest == 1
	}
	switch {
	case fits(24):
		q.Src, q.SrcDir, q.Dir = r.ino(), r.ino(), r.ino()
	case fits(16):
		q.Src, q.Dir = r.ino(), r.ino()
	default:
		r.bad = true
		return q
	}
	q.Name, q.Umask = r.text(), r.word()
	q.Preserve = r.byte()&flagPreserve != 0
	q.Threads = r.extra()
	return q
}
