package logging

import (
	"context"
	"io"
	"log/slog"
	"log/syslog"
	"strings"
)

// SyslogWriter takes lines by severity; *syslog.Writer is one.
type SyslogWriter interface {
	Debug(line string) error
	Info(line string) error
	Warning(line string) error
	Err(line string) error
	Crit(line string) error
}

var _ SyslogWriter = (*syslog.Writer)(nil)

// DialSyslog connects to the machine's syslog. Where there is none the error says so; most callers do
// without it then.
func DialSyslog(program string) (*syslog.Writer, error) {
	return syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, program)
}

// Syslog is a handler that sends records to syslog, with their severity. Time and process id are added there.
type Syslog struct {
	w    SyslogWriter
	opt  Options
	line func(*Handler) *Handler // repeats the WithAttrs and WithGroup calls on the handler of a line
}

var _ slog.Handler = (*Syslog)(nil)

// NewSyslog makes a handler that sends to w. Of the options ID and Level are used.
func NewSyslog(w SyslogWriter, o Options) *Syslog {
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	o.Bare, o.Colour = true, false
	return &Syslog{w: w, opt: o, line: func(h *Handler) *Handler { return h }}
}

// Enabled implements slog.Handler.
func (s *Syslog) Enabled(_ context.Context, l slog.Level) bool { return l >= s.opt.Level.Level() }

// Handle implements slog.Handler.
func (s *Syslog) Handle(ctx context.Context, r slog.Record) error {
	var b strings.Builder
	var out io.Writer = &b
	if err := s.line(New(out, s.opt)).Handle(ctx, r); err != nil {
		return err
	}
	line := strings.TrimSuffix(b.String(), "\n")
	if s.opt.ID != "" {
		line = s.opt.ID + " " + line
	}
	switch {
	case r.Level < slog.LevelInfo:
		return s.w.Debug(line)
	case r.Level < slog.LevelWarn:
		return s.w.Info(line)
	case r.Level < slog.LevelError:
		return s.w.Warning(line)
	case r.Level < LevelFatal:
		return s.w.Err(line)
	}
	return s.w.Crit(line)
}

// WithAttrs implements slog.Handler.
func (s *Syslog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return s.with(func(h *Handler) *Handler { return h.WithAttrs(attrs).(*Handler) })
}

// WithGroup implements slog.Handler.
func (s *Syslog) WithGroup(name string) slog.Handler {
	return s.with(func(h *Handler) *Handler { return h.WithGroup(name).(*Handler) })
}

func (s *Syslog) with(next func(*Handler) *Handler) slog.Handler {
	derived := *s
	derived.line = func(h *Handler) *Handler { return next(s.line(h)) }
	return &derived
}
