package html

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// drawing collects the elements of a picture. Colours are classes, which the page gives light and dark values.
type drawing struct {
	strings.Builder
	width, height float64
	label         string // for those who do not see it
}

func newDrawing(width, height float64, label string) *drawing {
	return &drawing{width: width, height: height, label: label}
}

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(&d.Builder, format, args...) }

func (d *drawing) text(x, y float64, class, anchor, text string) {
	d.add(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, html.EscapeString(text))
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	d.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x1, y1, x2, y2, class)
}

// bar is a rectangle that tells what it is when the pointer rests on it.
func (d *drawing) bar(x, y, w, h float64, class, title string) {
	d.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2" class="%s"><title>%s</title></rect>`, x, y, math.Max(w, 1), h, class, html.EscapeString(title))
}

func (d *drawing) dot(x, y float64, class, title string) {
	d.add(`<circle cx="%.1f" cy="%.1f" r="3" class="%s"><title>%s</title></circle>`, x, y, class, html.EscapeString(title))
}

// done gives the picture. All text in it was escaped.
func (d *drawing) done() template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %.0f %.0f" width="%.0f" role="img" aria-label="%s">%s</svg>`,
		d.width, d.height, d.width, html.EscapeString(d.label), d.String()))
}

// colour is the class of the i-th configuration.
func colour(i int) string { return fmt.Sprintf("c%d", i%6) }

// ticks gives round values for an axis from 0 to top.
func ticks(top float64) []float64 {
	if top <= 0 || math.IsInf(top, 0) || math.IsNaN(top) {
		return []float64{0}
	}
	step := math.Pow(10, math.Floor(math.Log10(top)))
	switch {
	case top/step < 2:
		step /= 5
	case top/step < 5:
		step /= 2
	}
	var list []float64
	for v := 0.0; v <= top*1.0001; v += step {
		list = append(list, v)
	}
	return list
}
