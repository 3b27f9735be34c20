package accesslog

import (
	"strings"
	"testing"
	"time"
)

const lookup = "2026.11.23 11:48:11.362848 [uid:0,gid:7,pid:8386] lookup (1,name): (3,[drwxr-xr-x:0040755,2,0,0,1,2,3,4096]) - OK <0.000682>\n"

func TestParse(t *testing.T) {
	e, ok := Parse(lookup)
	want := Entry{time.Date(2026, 11, 23, 11, 48, 11, 362848000, time.Local), 0, 7, 8386, "lookup", 682 * time.Microsecond}
	if !ok || e != want {
		t.Errorf("%+v, %v", e, ok)
	}
	odd := strings.Replace(lookup, "name", "x] y <9.0> - OK (", 1)
	if e, ok := Parse(odd); !ok || e != want {
		t.Errorf("odd name: %+v, %v", e, ok)
	}
	for _, bad := range []string{
		"", "#", "# 3 lines were lost", "2026.11.23", lookup[:60], strings.Replace(lookup, "uid:0", "uid:x", 1),
		strings.Replace(lookup, "<0.000682>", "<NaN>", 1), strings.Replace(lookup, "gid:7,", "", 1), strings.Replace(lookup, "2026", "x026", 1),
	} {
		if e, ok := Parse(bad); ok {
			t.Errorf("%q: %+v", bad, e)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(lookup)
	f.Fuzz(func(t *testing.T, line string) {
		if e, ok := Parse(line); ok && (e.Op == "" || e.Took < 0 || e.UID >= 1<<32) {
			t.Errorf("%q: %+v", line, e)
		}
	})
}

func TestProfile(t *testing.T) {
	var p, more Profile
	filter := Filter{UIDs: []uint64{0, 5}, PIDs: []uint64{1}}
	for _, e := range []Entry{
		{UID: 0, PID: 1, Op: "read", Took: 30 * time.Microsecond}, {UID: 5, PID: 1, Op: "read", Took: 10 * time.Microsecond},
		{UID: 5, PID: 1, Op: "write", Took: 60 * time.Microsecond}, {UID: 6, PID: 1, Op: "write"}, {UID: 5, PID: 2, Op: "write"},
	} {
		if filter.Counts(e) {
			p.Add(e)
		}
	}
	more.Merge(p)
	more.Merge(Profile{})
	if p.Count() != 3 || more.Count() != 3 {
		t.Errorf("%d and %d requests", p.Count(), more.Count())
	}
	var out strings.Builder
	if err := more.Print(&out); err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Fields(line))
	}
	want := []string{"Operation Count Average(us) Total(us) Percent(%)", "write 1 60 60 60.0", "read 2 20 40 40.0"}
	for i, line := range want {
		if i >= len(got) || strings.Join(got[i], " ") != line {
			t.Errorf("line %d is not %q in\n%s", i, line, out.String())
		}
	}
}
