package control

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"jfs/internal/posix"
)

// TestFrames: the bytes are an interface between clients and mounts of different makers.
func TestFrames(t *testing.T) {
	tests := []struct {
		request Request
		want    string
	}{
		{RemoveRequest{Dir: 1, Name: "ab", SkipTrash: true, Threads: 50}, "\x00\x00\x03\xea\x00\x00\x00\x0d" + "\x00\x00\x00\x00\x00\x00\x00\x01\x02ab\x01\x32"},
		{InfoRequest{Ino: 0x102, Recursive: true, Strict: true}, "\x00\x00\x03\xed\x00\x00\x00\x0b" + "\x00\x00\x00\x00\x00\x00\x01\x02\x01\x00\x01"},
		{CloneRequest{Src: 2, SrcDir: 2, Dir: 3, Name: "x", Umask: 0o22, Preserve: true, Threads: 4}, "\x00\x00\x03\xee\x00\x00\x00\x1e" +
			"\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03\x01x\x00\x12\x02\x04"},
		{SummaryRequest{Ino: 9, Depth: 2, Entries: 10}, "\x00\x00\x03\xef\x00\x00\x00\x0e" + "\x00\x00\x00\x00\x00\x00\x00\x09\x02\x00\x00\x00\x0a\x00"},
		{WarmRequest{Paths: []string{"/a", "inode:7"}, Threads: 50, Background: true, Action: 2}, "\x00\x00\x03\xec\x00\x00\x00\x12" +
			"\x00\x00\x00\x0a/a\ninode:7\x00\x32\x01\x02"},
		{CompactRequest{Ino: 9, Threads: 258}, "\x00\x00\x03\xf0\x00\x00\x00\x0a" + "\x00\x00\x00\x00\x00\x00\x00\x09\x01\x02"},
	}
	for _, tt := range tests {
		b := frame(tt.request)
		if !bytes.Equal(b, []byte(tt.want)) {
			t.Errorf("%+v: % x, want % x", tt.request, b, tt.want)
		}
		if got, err := parse(tt.request.command(), b[8:]); err != nil || !reflect.DeepEqual(got, tt.request) {
			t.Errorf("%+v: read as %+v, %v", tt.request, got, err)
		}
		if _, err := parse(tt.request.command(), b[8:14]); !errors.Is(err, posix.EINVAL) {
			t.Errorf("%T cut off: %v", tt.request, err)
		}
	}
	if _, err := parse(1001, nil); !errors.Is(err, posix.EINVAL) {
		t.Errorf("unknown command: %v", err)
	}
}

// TestOlder: what clients of older versions leave out.
func TestOlder(t *testing.T) {
	const ino = "\x00\x00\x00\x00\x00\x00\x00\x07"
	tests := []struct {
		command Command
		payload string
		want    Request
	}{
		{CommandRemove, ino + "\x01x", RemoveRequest{Dir: 7, Name: "x"}},
		{CommandRemove, ino + "\x01x\x01", RemoveRequest{Dir: 7, Name: "x", SkipTrash: true}},
		{CommandInfo, ino + "\x01", InfoRequest{Ino: 7, Recursive: true}},
		{CommandInfo, ino + "\x00\x01", InfoRequest{Ino: 7, Raw: true}},
		{CommandClone, ino + ino + "\x02xy\x00\x12\x02", CloneRequest{Src: 7, Dir: 7, Name: "xy", Umask: 0o22, Preserve: true}},
		{CommandClone, ino + ino + ino + "\x02xy\x00\x12\x00", CloneRequest{Src: 7, SrcDir: 7, Dir: 7, Name: "xy", Umask: 0o22}},
		{CommandClone, ino + ino + "\x7f", nil},
		{CommandClone, ino, nil},
	}
	for _, tt := range tests {
		got, err := parse(tt.command, []byte(tt.payload))
		if got != tt.want || (err != nil) != (tt.want == nil) {
			t.Errorf("%d % x: %+v, %v, want %+v", tt.command, tt.payload, got, err, tt.want)
		}
	}
}

// FuzzParse: nothing that anybody writes into the file may end the mount.
func FuzzParse(f *testing.F) {
	for _, q := range []Request{RemoveRequest{Name: "x"}, InfoRequest{}, CloneRequest{Name: "x"}, SummaryRequest{}, CompactRequest{}} {
		f.Add(uint32(q.command()), q.encode())
	}
	f.Fuzz(func(t *testing.T, command uint32, payload []byte) {
		q, err := parse(Command(command), payload)
		if (q == nil) == (err == nil) {
			t.Errorf("%+v, %v", q, err)
		}
	})
}
