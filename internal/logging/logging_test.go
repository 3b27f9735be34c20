package logging

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func record(level slog.Level, msg string, attrs ...slog.Attr) slog.Record {
	r := slog.NewRecord(time.Date(2026, 11, 23, 10, 25, 8, 89832000, time.UTC), level, msg, 0)
	r.AddAttrs(attrs...)
	return r
}

func TestLine(t *testing.T) {
	tests := []struct {
		name   string
		opt    Options
		record slog.Record
		want   string
	}{
		{"plain", Options{PID: 42}, record(slog.LevelInfo, "hello"),
			"2026/11/23 10:25:08.089832 jfs[42] <INFO>: hello\n"},
		{"attributes", Options{PID: 42}, record(slog.LevelWarn, "slow", slog.Int("n", 3), slog.String("path", "/a b"), slog.Any("err", errors.New(`x "y"`))),
			"2026/11/23 10:25:08.089832 jfs[42] <WARNING>: slow n=3 path=\"/a b\" err=\"x \\\"y\\\"\"\n"},
		{"group", Options{PID: 1}, record(slog.LevelError, "m", slog.Group("g", slog.Int("a", 1), slog.Group("", slog.Int("b", 2)))),
			"2026/11/23 10:25:08.089832 jfs[1] <ERROR>: m g.a=1 g.b=2\n"},
		{"several lines become one", Options{PID: 1}, record(LevelFatal, "one\ntwo\r\nthree"),
			"2026/11/23 10:25:08.089832 jfs[1] <FATAL>: one; two; three\n"},
		{"id and program", Options{PID: 1, ID: "vol7", Program: "x"}, record(slog.LevelDebug, "m"),
			"vol7 2026/11/23 10:25:08.089832 x[1] <DEBUG>: m\n"},
		{"trace", Options{PID: 1}, record(LevelTrace, "m"),
			"2026/11/23 10:25:08.089832 jfs[1] <TRACE>: m\n"},
		{"colour", Options{PID: 1, Colour: true}, record(slog.LevelError, "m"),
			"2026/11/23 10:25:08.089832 jfs[1] <\x1b[31mERROR\x1b[0m>: m\n"},
		{"bare", Options{Bare: true, ID: "x"}, record(slog.LevelInfo, "m"), "<INFO>: m\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := New(&b, tt.opt).Handle(context.Background(), tt.record); err != nil {
				t.Fatal(err)
			}
			if b.String() != tt.want {
				t.Errorf("got  %q\nwant %q", b.String(), tt.want)
			}
		})
	}
}

func TestLevelAndSource(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(New(&b, Options{Level: slog.LevelWarn}))
	log.Info("not shown")
	log.With("a", 1).WithGroup("g").With("b", 2).Warn("shown", "c", 3)
	line := b.String()
	if strings.Count(line, "\n") != 1 || !strings.Contains(line, "<WARNING>: shown a=1 g.b=2 g.c=3 [TestLevelAndSource@logging_test.go:") {
		t.Errorf("got %q", line)
	}
}

type severities map[string][]string

func (s severities) Debug(line string) error   { s["debug"] = append(s["debug"], line); return nil }
func (s severities) Info(line string) error    { s["info"] = append(s["info"], line); return nil }
func (s severities) Warning(line string) error { s["warning"] = append(s["warning"], line); return nil }
func (s severities) Err(line string) error     { s["err"] = append(s["err"], line); return nil }
func (s severities) Crit(line string) error    { s["crit"] = append(s["crit"], line); return nil }

func TestSyslog(t *testing.T) {
	got := severities{}
	h := NewSyslog(got, Options{ID: "vol7", Level: slog.LevelDebug})
	derived := h.WithGroup("g").WithAttrs([]slog.Attr{slog.Int("a", 1)})
	for _, r := range []struct {
		h slog.Handler
		r slog.Record
	}{
		{h, record(slog.LevelDebug, "d")},
		{h, record(slog.LevelInfo, "i")},
		{derived, record(slog.LevelWarn, "w", slog.Int("b", 2))},
		{h, record(slog.LevelError, "e")},
		{h, record(LevelFatal, "f")},
	} {
		if err := r.h.Handle(context.Background(), r.r); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{
		"debug": "vol7 <DEBUG>: d", "info": "vol7 <INFO>: i", "warning": "vol7 <WARNING>: w g.a=1 g.b=2",
		"err": "vol7 <ERROR>: e", "crit": "vol7 <FATAL>: f",
	}
	for severity, line := range want {
		if len(got[severity]) != 1 || got[severity][0] != line {
			t.Errorf("%s: got %q, want %q", severity, got[severity], line)
		}
	}
	if h.Enabled(context.Background(), LevelTrace) {
		t.Error("trace is enabled at level debug")
	}
}
