package profiles

import (
	"fmt"
	"html"
	"html/template"
	"maps"
	"math"
	"slices"
	"strings"
)

// DiffStyle is the style of differential flame graphs, light and dark: red costs more than before, blue less.
const DiffStyle = `
.flame .d { fill: #e4e4df; } .flame .m1 { fill: #fbd9d3; } .flame .m2 { fill: #f6b3a8; } .flame .m3 { fill: #ee8676; } .flame .l1 { fill: #d6e5f8; } .flame .l2 { fill: #aecdf2; } .flame .l3 { fill: #7fb0ea; }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin: 0 4px 0 10px; vertical-align: -1px; } .key.more { background: #ee8676; } .key.less { background: #7fb0ea; } .key.same { background: #e4e4df; }
@media (prefers-color-scheme: dark) {
.flame .d { fill: #3c3f44; } .flame .m1 { fill: #5a3733; } .flame .m2 { fill: #83392f; } .flame .m3 { fill: #ae3b2b; } .flame .l1 { fill: #2c4059; } .flame .l2 { fill: #28527f; } .flame .l3 { fill: #2466ad; }
.key.more { background: #ae3b2b; } .key.less { background: #2466ad; } .key.same { background: #3c3f44; } }
`

// both is a function called by another, in two profiles.
type both struct {
	name      string
	base, now float64 // for each item
	// width is its share of the picture: of what it does itself the larger of both, and all that it calls. So what is
	// gone is still seen, and what is new.
	width    float64
	children []*both
}

// merged puts two trees of calls over each other; either may be nil.
func merged(a, b *node, per, nowPer float64) *both {
	m := &both{}
	names := map[string]bool{}
	ownBase, ownNow := 0.0, 0.0
	if a != nil {
		m.name, m.base = a.name, float64(a.value)/per
		ownBase = m.base
		for name := range a.children {
			names[name] = true
		}
	}
	if b != nil {
		m.name, m.now = b.name, float64(b.value)/nowPer
		ownNow = m.now
		for name := range b.children {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		var x, y *node
		if a != nil {
			x = a.children[name]
		}
		if b != nil {
			y = b.children[name]
		}
		c := merged(x, y, per, nowPer)
		ownBase, ownNow = ownBase-c.base, ownNow-c.now
		m.width += c.width
		m.children = append(m.children, c)
	}
	m.width += max(ownBase, ownNow, 0)
	return m
}

// Steps of the colours of a difference. What changes the whole by less than diffSmall is grey, however large a part of
// its own it is: a sample or two more or less say nothing.
const (
	diffSmall = 0.002
	diffStep1 = 0.05
	diffStep2 = 0.25
	diffStep3 = 0.6
)

// class gives the colour of a difference: by what part of the larger value it is.
func (m *both) class(total float64) string {
	by := m.now - m.base
	part := math.Abs(by) / max(m.base, m.now)
	letter := "m"
	if by < 0 {
		letter = "l"
	}
	switch {
	case math.Abs(by) < diffSmall*total || part < diffStep1:
		return "d"
	case part < diffStep2:
		return letter + "1"
	case part < diffStep3:
		return letter + "2"
	}
	return letter + "3"
}

// Flame draws both trees of calls over each other, callers above. What is red takes more for each item than before,
// what is blue less; both values show when the pointer rests on it.
func (d *Diff) Flame() template.HTML {
	if d.root == nil || d.root.width == 0 {
		return ""
	}
	var b strings.Builder
	depth := 0
	total := max(d.Base, d.Now)
	var draw func(m *both, x float64, row int)
	draw = func(m *both, x float64, row int) {
		width := flameWidth * m.width / d.root.width
		if width < flameNarrow || row >= flameMostRows {
			return
		}
		depth = max(depth, row)
		fmt.Fprintf(&b, `<g><title>%s: %s, was %s%s</title><rect x="%.1f" y="%.0f" width="%.1f" height="%.0f" class="%s"/>`,
			html.EscapeString(m.name), Value(d.Unit, m.now), Value(d.Unit, m.base), ratio(m.now, m.base), x, float64(row)*flameRow, width, flameRow, m.class(total))
		if text := fit(short(m.name), width); text != "" {
			fmt.Fprintf(&b, `<text x="%.1f" y="%.0f">%s</text>`, x+2, float64(row)*flameRow+12.5, html.EscapeString(text))
		}
		b.WriteString("</g>")
		for _, c := range m.children {
			draw(c, x, row+1)
			x += flameWidth * c.width / d.root.width
		}
	}
	draw(d.root, 0, 0)
	height := float64(depth+1) * flameRow
	return template.HTML(fmt.Sprintf(`<svg class="flame" viewBox="0 0 %.0f %.0f" width="%.0f" role="img" aria-label="%s">%s</svg>`,
		flameWidth, height, flameWidth, html.EscapeString("difference of "+d.Kind.Title()+" by calls"), b.String()))
}
