package profiles

import (
	"fmt"
	"hash/fnv"
	"html"
	"html/template"
	"strings"
	"unicode/utf8"
)

// Measures of a flame graph, in pixels. What is narrower than half of one is left out.
const (
	flameWidth    = 1120.0
	flameRow      = 17.0
	flameNarrow   = 0.5
	flameLetter   = 6.3 // width of a letter of 11 pixels, on average
	flameColours  = 8
	flameMostRows = 80 // deeper stacks are cut off: a page of them cannot be read
)

// FlameStyle is the style of flame graphs, light and dark, for the page that they are in. A colour stands for a room;
// what is none of this program's is grey.
const FlameStyle = `
.flame rect { stroke: var(--back); stroke-width: .5; } .flame text { font-size: 11px; pointer-events: none; fill: var(--ink); }
.flame g:hover rect { opacity: .7; }
.f { fill: #d5d5d0; } .f0 { fill: #f4c27f; } .f1 { fill: #a9cdf5; } .f2 { fill: #a9dfbf; } .f3 { fill: #d9bdf0; } .f4 { fill: #f5b5b5; } .f5 { fill: #e3dd8f; } .f6 { fill: #a8dfe0; } .f7 { fill: #f3c4de; }
@media (prefers-color-scheme: dark) {
.f { fill: #45484d; } .f0 { fill: #86581b; } .f1 { fill: #2d5c91; } .f2 { fill: #2b6a47; } .f3 { fill: #613c85; } .f4 { fill: #863a3a; } .f5 { fill: #6b651f; } .f6 { fill: #27686a; } .f7 { fill: #7d3a60; } }
`

// Flame draws the tree of calls: callers above, the width of a function is what it and all below it have taken. What a
// function is, and how much it takes, shows when the pointer rests on it.
func (r *Report) Flame() template.HTML {
	if r.Total == 0 {
		return ""
	}
	var b strings.Builder
	depth := 0
	var draw func(n *node, x float64, row int)
	draw = func(n *node, x float64, row int) {
		width := flameWidth * float64(n.value) / float64(r.Total)
		if width < flameNarrow || row >= flameMostRows {
			return
		}
		depth = max(depth, row)
		class := "f"
		if n.room != "" {
			class = fmt.Sprintf("f f%d", colourOf(n.room))
		}
		fmt.Fprintf(&b, `<g><title>%s: %s, %s</title><rect x="%.1f" y="%.0f" width="%.1f" height="%.0f" class="%s"/>`,
			html.EscapeString(n.name), Value(r.Unit, float64(n.value)), share(n.value, r.Total), x, float64(row)*flameRow, width, flameRow, class)
		if text := fit(short(n.name), width); text != "" {
			fmt.Fprintf(&b, `<text x="%.1f" y="%.0f">%s</text>`, x+2, float64(row)*flameRow+12.5, html.EscapeString(text))
		}
		b.WriteString("</g>")
		for _, c := range n.sorted() {
			draw(c, x, row+1)
			x += flameWidth * float64(c.value) / float64(r.Total)
		}
	}
	draw(r.root, 0, 0)
	height := float64(depth+1) * flameRow
	return template.HTML(fmt.Sprintf(`<svg class="flame" viewBox="0 0 %.0f %.0f" width="%.0f" role="img" aria-label="%s">%s</svg>`,
		flameWidth, height, flameWidth, html.EscapeString(r.Kind.Title()+" by calls"), b.String()))
}

// fit cuts a text to a width; "" if nothing readable is left.
func fit(text string, width float64) string {
	n := int((width - 4) / flameLetter)
	switch {
	case n < 3:
		return ""
	case utf8.RuneCountInString(text) <= n:
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}

// colourOf gives every room the same colour in all pictures.
func colourOf(room string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(room)) // cannot fail
	return h.Sum32() % flameColours
}
