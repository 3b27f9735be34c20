package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

const (
	// memoryInodes is the size of the smaller of two volumes, whose other one is four times as large.
	memoryInodes = 8_000
	// memoryGrowth bounds by how many bytes more a process may need for the larger one, which has 24,000 inodes more: the
	// garbage collector's moments differ by less, and a kilobyte for each inode would be twice that.
	memoryGrowth = 12 << 20
)

// TestE2EDumpMemory: the memory of dump and load does not grow with the volume.
func TestE2EDumpMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.format()
	var empty struct{ Setting json.RawMessage }
	must(t, json.Unmarshal([]byte(w.ok("dump", "sqlite3://$/m.db")), &empty))
	peak := map[string][2]int{}
	for i, inodes := range []int{memoryInodes, 4 * memoryInodes} {
		db := fmt.Sprintf("sqlite3://$/large%d.db", i)
		text, out := io.Pipe()
		go func() { out.CloseWithError(writeDump(out, empty.Setting, inodes)) }()
		load := w.command(os.Getenv(programEnv), "load", db)
		loaded := w.peak(load, text, io.Discard)

		dump := w.command(os.Getenv(programEnv), "dump", db)
		var entries counter
		dumped := w.peak(dump, nil, &entries)
		if entries.n != inodes {
			t.Fatalf("%d entries are dumped, want %d", entries.n, inodes)
		}
		for what, bytes := range map[string]int{"load": loaded, "dump": dumped} {
			both := peak[what]
			both[i] = bytes
			peak[what] = both
		}
	}
	for what, both := range peak {
		t.Logf("%s: %d KiB for %d inodes, %d KiB for four times as many", what, both[0]>>10, memoryInodes, both[1]>>10)
		if both[1]-both[0] > memoryGrowth {
			t.Errorf("%s grows with the volume: %d bytes for %d inodes, %d bytes for four times as many", what, both[0], memoryInodes, both[1])
		}
	}
}

// counter counts the attributes in a dump.
type counter struct {
	n    int
	rest []byte
}

func (c *counter) Write(b []byte) (int, error) {
	mark := []byte(`"attr":`)
	all := append(c.rest, b...)
	c.n += bytes.Count(all, mark)
	c.rest = append([]byte(nil), all[max(0, len(all)-len(mark)+1):]...)
	return len(b), nil
}

// peak runs a program, and gives the largest resident set that it has had, in bytes. The kernel is asked for it whenever some of
// the input has gone or some of the output has come; what a process leaves behind for wait4 counts the memory of who started it.
func (w *world) peak(cmd *exec.Cmd, in io.Reader, out io.Writer) (bytes int) {
	w.t.Helper()
	look := func() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		must(w.t, err)
		if _, rest, ok := strings.Cut(string(text), "VmHWM:"); ok { // gone when the process has ended
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			must(w.t, err)
			bytes = max(bytes, kib<<10)
		}
	}
	input, err := cmd.StdinPipe()
	must(w.t, err)
	output, err := cmd.StdoutPipe()
	must(w.t, err)
	var log strings.Builder
	cmd.Stderr = &log
	cmd.Env = append(cmd.Environ(), "GOGC=20") // so that less of it is the garbage collector's choice
	must(w.t, cmd.Start())
	buf := make([]byte, 64<<10)
	pump := func(to io.Writer, from io.Reader) {
		for {
			n, err := from.Read(buf)
			look()
			if n > 0 {
				_, err := to.Write(buf[:n])
				must(w.t, err)
			}
			if errors.Is(err, io.EOF) {
				return
			}
			must(w.t, err)
		}
	}
	if in != nil {
		pump(input, in)
	}
	must(w.t, input.Close())
	pump(out, output)
	if err := cmd.Wait(); err != nil {
		w.t.Fatalf("%v: %s", err, log.String())
	}
	return bytes
}

// writeDump writes the dump of a volume with so many inodes: directories of 500 entries, files with a slice, some with an
// extended attribute, some with a second name, and some that share a slice.
func writeDump(to io.Writer, setting []byte, inodes int) error {
	w := bufio.NewWriter(to)
	attr := func(ino int, kind string, mode, links, length int) {
		fmt.Fprintf(w, `{"attr": {"inode":%d,"type":%q,"mode":%d,"uid":0,"gid":0,"atime":1,"mtime":2,"ctime":3,"nlink":%d,"length":%d}`, ino, kind, mode, links, length)
	}
	file := func(name string, ino, slice, links int) {
		fmt.Fprintf(w, "%q: ", name)
		attr(ino, "regular", 0o644, links, 1000)
		if ino%10 == 0 {
			fmt.Fprintf(w, `, "xattrs": [{"name": "user.x", "value": "%0100d"}]`, ino)
		}
		fmt.Fprintf(w, `, "chunks": [{"index":0,"slices":[{"id":%d,"size":1000,"len":1000}]}]}`, slice)
	}
	fmt.Fprintf(w, `{"Setting": %s, "Counters": {"nextInodes": %d, "nextChunk": %d}, "FSTree": `, setting, inodes+2, inodes+2)
	attr(1, "directory", 0o777, 2, 4096)
	fmt.Fprint(w, `, "entries": {`)
	const each = 500
	for dir := 2; dir <= inodes; dir += each {
		if dir > 2 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, "\"a directory with a number %d\": ", dir)
		attr(dir, "directory", 0o755, 2, 4096)
		fmt.Fprint(w, `, "entries": {`)
		for i := 1; i < each && dir+i <= inodes; i++ {
			if i > 1 {
				fmt.Fprint(w, ",\n")
			}
			ino, slice, links := dir+i, dir+i, 1
			switch i % 50 {
			case 7: // another name of the one before
				ino, slice = ino-1, slice-1
			case 9:
				slice--
			}
			if i%50 == 6 || i%50 == 7 {
				links = 2
			}
			file(fmt.Sprintf("a file that has a name of some length %d", dir+i), ino, slice, links)
		}
		fmt.Fprint(w, "}}")
	}
	fmt.Fprint(w, "}}}\n")
	return w.Flush()
}
