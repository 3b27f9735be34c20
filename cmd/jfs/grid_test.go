package main

import (
	"strings"
	"testing"
)

func TestGrid(t *testing.T) {
	g := grid{head: []string{"Path", "Size", "Used", "Use%", "Inodes", "IUsed", "IUse%"}, left: []int{0}}
	g.add("/test", "1.0 GiB", "1.6 MiB", "0%", "unlimited", "314", "")
	g.add("/ä", "9 B", "12 KiB", "0%", "1,000", "1", "0%")
	var b strings.Builder
	if err := g.print(&b); err != nil {
		t.Fatal(err)
	}
	want := `
+-------+---------+---------+------+-----------+-------+-------+
|  Path |   Size  |   Used  | Use% |   Inodes  | IUsed | IUse% |
+-------+---------+---------+------+-----------+-------+-------+
| /test | 1.0 GiB | 1.6 MiB |   0% | unlimited |   314 |       |
| /ä    |     9 B |  12 KiB |   0% |     1,000 |     1 |    0% |
+-------+---------+---------+------+-----------+-------+-------+
`
	if got := "\n" + b.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10 << 20: "10 MiB", 1<<30 + 1<<29: "1.5 GiB", -5: "0 B", 1 << 60: "1.0 EiB"} {
		if got := tenths(n); got != want {
			t.Errorf("tenths %d: %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped %d: %q, want %q", n, got, want)
		}
	}
}
