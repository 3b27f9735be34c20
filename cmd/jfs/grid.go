package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// grid is a table with lines around its cells: a row of headings in the middle of their columns, then rows on the
// right of theirs.
type grid struct {
	head []string
	rows [][]string
	left []int // columns whose rows are on the left
}

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

func (g *grid) print(w io.Writer) error {
	widths := make([]int, len(g.head))
	for _, row := range append([][]string{g.head}, g.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	rule := func() {
		for _, n := range widths {
			b.WriteString("+" + strings.Repeat("-", n+2))
		}
		b.WriteString("+\n")
	}
	rule()
	for i, cell := range g.head {
		free := widths[i] - utf8.RuneCountInString(cell)
		b.WriteString("| " + strings.Repeat(" ", free-free/2) + cell + strings.Repeat(" ", free/2) + " ")
	}
	b.WriteString("|\n")
	rule()
	for _, row := range g.rows {
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if slices.Contains(g.left, i) {
				b.WriteString("| " + cell + space + " ")
			} else {
				b.WriteString("| " + space + cell + " ")
			}
		}
		b.WriteString("|\n")
	}
	if len(g.rows) > 0 {
		rule()
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tenths prints a size as tables do: "1.0 GiB", "12 B".
func tenths(n int64) string {
	value, power := float64(max(n, 0)), 0
	for value >= 1024 && power < 6 {
		value /= 1024
		power++
	}
	switch {
	case power == 0:
		return fmt.Sprintf("%d B", max(n, 0))
	case value < 9.95:
		return fmt.Sprintf("%.1f %ciB", value, " KMGTPE"[power])
	}
	return fmt.Sprintf("%.0f %ciB", value, " KMGTPE"[power])
}

// grouped prints a number with commas between thousands.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
