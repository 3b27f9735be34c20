// Package logging prints log records as the lines that users of the official client know and filter:
//
//	2006/01/02 15:04:05.000000 jfs[PID] <LEVEL>: message key=value [func@file:line]
package logging

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Levels beyond those of slog.
const (
	LevelTrace = slog.LevelDebug - 4
	LevelFatal = slog.LevelError + 4 // the last line of a program that gives up
)

const timeForm = "2006/01/02 15:04:05.000000"

// Options say how lines look. The zero value prints INFO and above without colour.
type Options struct {
	Program string       // name before the process id; empty: "jfs"
	PID     int          // process id of every line
	ID      string       // put before every line, to find one client's lines among many; empty: nothing
	Level   slog.Leveler // least level to be printed; nil: slog.LevelInfo
	Colour  bool         // colour the level, for a terminal
	Bare    bool         // begin with the level, for a receiver that adds time and process by itself
}

// Handler prints records, each in one line and with one Write.
type Handler struct {
	out    *output
	opt    Options
	attrs  string // of WithAttrs, printed
	prefix string // of WithGroup: "group.", put before keys
}

var _ slog.Handler = (*Handler)(nil)

// output is shared by a Handler and those derived from it.
type output struct {
	mu sync.Mutex // guards w, so that lines do not mix
	w  io.Writer
}

// New makes a handler that writes to w.
func New(w io.Writer, o Options) *Handler {
	if o.Program == "" {
		o.Program = "jfs"
	}
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	return &Handler{out: &output{w: w}, opt: o}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.opt.Level.Level() }

// Handle implements slog.Handler.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if !h.opt.Bare {
		if h.opt.ID != "" {
			b.WriteString(h.opt.ID + " ")
		}
		at := r.Time
		if at.IsZero() {
			at = time.Now()
		}
		b.WriteString(at.Format(timeForm) + " " + h.opt.Program + "[" + strconv.Itoa(h.opt.PID) + "] ")
	}
	b.WriteString(h.level(r.Level) + ": " + oneLine(r.Message) + h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, h.prefix, a)
		return true
	})
	b.WriteString(source(r.PC) + "\n")

	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := io.WriteString(h.out.w, b.String())
	return err
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		appendAttr(&b, h.prefix, a)
	}
	derived := *h
	derived.attrs += b.String()
	return &derived
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	derived := *h
	if name != "" {
		derived.prefix += name + "."
	}
	return &derived
}

func (h *Handler) level(l slog.Level) string {
	name, colour := levelName(l)
	if !h.opt.Colour {
		return "<" + name + ">"
	}
	return "<\x1b[" + colour + "m" + name + "\x1b[0m>"
}

// levelName gives the name of a level and the number of its colour.
func levelName(l slog.Level) (name, colour string) {
	switch {
	case l < slog.LevelDebug:
		return "TRACE", "37"
	case l < slog.LevelInfo:
		return "DEBUG", "37"
	case l < slog.LevelWarn:
		return "INFO", "36"
	case l < slog.LevelError:
		return "WARNING", "33"
	case l < LevelFatal:
		return "ERROR", "31"
	}
	return "FATAL", "35"
}

func appendAttr(b *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, m := range v.Group() {
			appendAttr(b, prefix, m)
		}
		return
	}
	b.WriteString(" " + prefix + a.Key + "=" + quoted(v.String()))
}

// quoted keeps a value one word, so that lines can be taken apart.
func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " \t\r\n\"=") {
		return strconv.Quote(s)
	}
	return s
}

// oneLine joins the lines of a message: joined errors have one for each, and a record is one line.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines, "; ")
}

// source names the place in the program that wrote a record.
func source(pc uintptr) string {
	if pc == 0 {
		return ""
	}
	f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	if f.File == "" {
		return ""
	}
	name := f.Function[strings.LastIndexByte(f.Function, '/')+1:]
	_, name, _ = strings.Cut(name, ".") // the package is told by the file
	if _, method, ok := strings.Cut(name, ")."); ok {
		name = method
	}
	return " [" + name + "@" + filepath.Base(f.File) + ":" + strconv.Itoa(f.Line) + "]"
}
