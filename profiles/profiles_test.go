package profiles

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

func TestOwner(t *testing.T) {
	for stack, want := range map[string][2]string{
		"syscall.Syscall jfs/object/file.(*Store).Put jfs/block.(*Store).Put runtime.goexit":     {"object/file", "jfs/object/file.(*Store).Put"},
		"runtime.scanobject runtime.gcBgMarkWorker":                                              {roomGC, "runtime.gcBgMarkWorker"},
		"runtime.scanobject runtime.gcAssistAlloc jfs/fs.(*FS).Read":                             {roomGC, "runtime.gcAssistAlloc"},
		"runtime.futex runtime.findRunnable runtime.schedule runtime.mcall":                      {roomScheduler, "runtime.futex"},
		"syscall.read github.com/hanwen/go-fuse/v2/fuse.(*Server).loop":                          {roomFUSE, "github.com/hanwen/go-fuse/v2/fuse.(*Server).loop"},
		"runtime.memmove github.com/mattn/go-sqlite3.(*conn).exec jfs/meta/sql.(*conn).one":      {"meta/sql", "jfs/meta/sql.(*conn).one"},
		"github.com/x/y.F[go.shape.int]":                                                         {"(github.com/x/y)", "github.com/x/y.F[go.shape.int]"},
		"runtime.memmove github.com/redis/rueidis.(*pipe).read":                                  {"(github.com/redis/rueidis)", "github.com/redis/rueidis.(*pipe).read"},
		"runtime.memmove main.(*tally).request github.com/hanwen/go-fuse/v2/fuse.(*Server).loop": {"cmd/jfs", "main.(*tally).request"},
		"jfs/internal/bytepool.get[jfs/fs.x] jfs/fs.(*FS).Read":                                  {"internal/bytepool", "jfs/internal/bytepool.get[jfs/fs.x]"},
		"runtime.usleep": {roomRuntime, "runtime.usleep"},
		"":               {roomRuntime, ""},
	} {
		in, function := owner(strings.Fields(stack))
		if in != want[0] || function != want[1] {
			t.Errorf("%s: %q, %q, want %q", stack, in, function, want)
		}
	}
}

// sample makes a CPU profile of stacks with their milliseconds, the leaf first.
func sample(stacks map[string]int64) *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1e7,
		Mapping: []*profile.Mapping{{ID: 1, BuildID: "abc"}},
	}
	known := map[string]*profile.Location{}
	for stack, ms := range stacks {
		s := &profile.Sample{Value: []int64{ms, ms * 1e6}}
		for name := range strings.FieldsSeq(stack) {
			l := known[name]
			if l == nil {
				f := &profile.Function{ID: uint64(len(known) + 1), Name: name}
				l = &profile.Location{ID: f.ID, Mapping: p.Mapping[0], Line: []profile.Line{{Function: f, Line: 1}}}
				p.Function, p.Location, known[name] = append(p.Function, f), append(p.Location, l), l
			}
			s.Location = append(s.Location, l)
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

func before() *profile.Profile {
	return sample(map[string]int64{
		"syscall.write jfs/cache.(*Disk).write jfs/fs.(*FS).Read": 60, "runtime.memmove jfs/fs.(*FS).Read": 30, "runtime.scan runtime.gcBgMarkWorker": 10,
		"jfs/fs.(*FS).Read jfs/fs.(*FS).Read": 0, // a recursion counts once
	})
}

func after() *profile.Profile {
	return sample(map[string]int64{"runtime.memmove jfs/fs.(*FS).Read": 30, "runtime.scan runtime.gcBgMarkWorker": 10})
}

func mustRead(t *testing.T, p *profile.Profile) *Report {
	t.Helper()
	r, err := Read(CPU, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRead(t *testing.T) {
	r := mustRead(t, before())
	if r.Total != 100e6 || r.Unit != "nanoseconds" || r.CumOf("jfs/fs.(*FS).Read") != 90e6 || r.CumOf("fs.(*FS).Read") != 90e6 || r.CumOf("none") != 0 {
		t.Errorf("%+v", r)
	}
	if len(r.Rooms) != 3 || r.Rooms[0].Name != "cache" || r.Rooms[0].Value != 60e6 || r.Rooms[0].Hottest[0].Name != "jfs/cache.(*Disk).write" || r.Rooms[2].Name != roomGC {
		t.Errorf("%+v", r.Rooms)
	}
	if r.Tops[0].Name != "syscall.write" || r.Tops[0].Flat != 60e6 || r.Tops[1].Name != "runtime.memmove" {
		t.Errorf("%+v", r.Tops)
	}
	var out strings.Builder
	if err := r.Print(&out, 2); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CPU: 100ms\n", "60.0%  60ms   cache                 cache.(*Disk).write 60.0%\n", "60ms  60.0%  60ms        60.0%        syscall.write\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "runtime.scan\n") {
		t.Error("more functions than were asked for")
	}
	if _, err := Read(Heap, before()); err == nil {
		t.Error("a CPU profile is read as one of memory")
	}
}

func TestFlame(t *testing.T) {
	d := xml.NewDecoder(strings.NewReader(string(mustRead(t, before()).Flame())))
	rects := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			rects++
		}
	}
	if rects != 7 { // all, and what is called by what
		t.Errorf("%d rectangles", rects)
	}
	if got := mustRead(t, sample(nil)).Flame(); got != "" {
		t.Errorf("of nothing: %s", got)
	}
}

func TestCompare(t *testing.T) {
	d, err := Compare(mustRead(t, before()), mustRead(t, after()), 10, 20)
	if err != nil {
		t.Fatal(err)
	}
	if d.Base != 10e6 || d.Now != 2e6 || d.Rooms[0].Name != "cache" || d.Rooms[0].Now != 0 || d.Functions[0].Name != "syscall.write" || d.Functions[0].Base != 6e6 {
		t.Errorf("%+v", d)
	}
	var out strings.Builder
	if err := d.Print(&out, 10); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "CPU, for each item: 2ms, was 10ms (0.20 times)") || !strings.Contains(text, "-6ms") {
		t.Error(text)
	}
}

// A differential flame graph shows what is gone as well as what is new, and says both values of everything.
func TestDiffFlame(t *testing.T) {
	now := sample(map[string]int64{
		"runtime.memmove jfs/fs.(*FS).Read": 30, "runtime.scan runtime.gcBgMarkWorker": 10, "jfs/block.<new>": 5,
	})
	d, err := Compare(mustRead(t, before()), mustRead(t, now), 10, 10)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{} // by title: colour
	title := ""
	decoder := xml.NewDecoder(strings.NewReader(string(d.Flame())))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.CharData:
			if title == "" {
				title = string(e)
			}
		case xml.StartElement:
			for _, a := range e.Attr {
				if e.Name.Local == "rect" && a.Name.Local == "class" {
					got[title] = a.Value
				}
			}
			if e.Name.Local == "g" {
				title = ""
			}
		}
	}
	want := map[string]string{
		"all: 4.5ms, was 10ms (0.45 times)":                 "l2",
		"jfs/block.<new>: 500µs, was 0s":                    "m3",
		"jfs/fs.(*FS).Read: 3ms, was 9ms (0.33 times)":      "l3",
		"jfs/cache.(*Disk).write: 0s, was 6ms (0.00 times)": "l3",
		"syscall.write: 0s, was 6ms (0.00 times)":           "l3",
		"runtime.memmove: 3ms, was 3ms (1.00 times)":        "d",
		"runtime.gcBgMarkWorker: 1ms, was 1ms (1.00 times)": "d",
		"runtime.scan: 1ms, was 1ms (1.00 times)":           "d",
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
	base := &Capture{Program: "<a>", Phases: []Phase{{Name: "Read", Items: 10, set: Set{CPU: before()}}}}
	other := &Capture{Program: "b", Phases: []Phase{{Name: "Read", Items: 20, set: Set{CPU: after()}}}}
	var page bytes.Buffer
	if err := DiffPage(&page, base, other); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"CPU, for each item: 2ms, was 10ms (0.20 times)", "-6ms", "base: &lt;a&gt;", "<svg", "prefers-color-scheme: dark"} {
		if !strings.Contains(page.String(), text) {
			t.Errorf("no %q", text)
		}
	}
	if strings.Contains(page.String(), "http") || strings.Contains(page.String(), "<script") {
		t.Error("the page needs something else")
	}
	base.Phases = append(base.Phases, Phase{Name: "Write"})
	other.Phases[0].Name = "Stat"
	if err := DiffPage(io.Discard, base, other); !errors.Is(err, ErrNothingInCommon) {
		t.Error(err)
	}
}

func TestForCompiler(t *testing.T) {
	c := &Capture{Phases: []Phase{{set: Set{CPU: before()}}, {set: Set{CPU: after()}}, {set: Set{}}}}
	p, err := ForCompiler([]*Capture{c}, 2)
	if err != nil {
		t.Fatal(err)
	}
	// memmove: 30 of 100 in the one and 30 of 40 in the other.
	if len(p.Sample) != 2 || p.Sample[0].Value[1] != 1050e6 || p.Sample[1].Value[1] != 600e6 {
		t.Errorf("%v", p.Sample)
	}
	if c.Phases[0].set[CPU].Mapping[0].BuildID != "abc" {
		t.Error("the capture was changed")
	}
	if _, err := ForCompiler(nil, 0); err == nil {
		t.Error("nothing is merged")
	}
}

func TestCapture(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	c, err := NewCapture(dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Path = "/mnt/<x>"
	trace, err := c.Trace("Read: big/small")
	if err != nil {
		t.Fatal(err)
	}
	trace.Close()
	for range 2 {
		if err := c.Add("Read: big/small", Set{CPU: before()}, 5, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewCapture(dir); err == nil {
		t.Error("a directory with a capture is taken for another")
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Phases[0]; p.Dir != "01-read--big-small" || p.Rounds != 2 || p.Items != 10 || p.Elapsed != 2*time.Second || mustRead(t, p.Set()[CPU]).Total != 200e6 {
		t.Errorf("%+v", p)
	}
	var page bytes.Buffer
	if err := got.Page(&page); err != nil || !strings.Contains(page.String(), "Profiles of /mnt/&lt;x&gt;") || strings.Count(page.String(), "<svg") != 1 || strings.Contains(page.String(), "http") {
		t.Errorf("%v\n%s", err, page.String())
	}
	one, err := Load(filepath.Join(dir, "01-read--big-small", "cpu.pprof"))
	if err != nil || len(one.Phases) != 1 || one.Phases[0].Set()[CPU] == nil {
		t.Errorf("%+v, %v", one, err)
	}
	if _, err := Load(filepath.Dir(dir)); !errors.Is(err, ErrCapture) {
		t.Error(err)
	}
	for name, text := range map[string]string{
		"junk": "{", "older": `{"format": 0}`, "elsewhere": `{"format": 1, "phases": [{"name": "x", "dir": "../.."}]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, indexFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); !errors.Is(err, ErrCapture) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Load(filepath.Join(dir, indexFile)); !errors.Is(err, ErrCapture) {
			t.Errorf("%s as a profile: %v", name, err)
		}
	}
}
