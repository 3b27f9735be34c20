package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"jfs/profiles"
)

// TestAgentRecords: the agent records for as long as it is asked to, for one at a time, and nothing goes on after the one
// who has asked is gone.
func TestAgentRecords(t *testing.T) {
	a := startAgent(slog.New(slog.DiscardHandler))
	defer func() { must(t, a.close(context.Background())) }()
	agent, err := profiles.Dial(t.Context(), a.address)
	must(t, err)
	var trace bytes.Buffer
	r, err := agent.Record(t.Context(), &trace)
	must(t, err)
	if _, err := agent.Record(t.Context(), nil); !errors.Is(err, profiles.ErrAgent) || !strings.Contains(err.Error(), "somebody else is recording") {
		t.Errorf("a second recording: %v", err)
	}
	set, err := r.End(t.Context())
	must(t, err)
	for _, kind := range profiles.Kinds() {
		if set[kind] == nil {
			t.Errorf("no profile of %s", kind)
			continue
		}
		if _, err := profiles.Read(kind, set[kind]); err != nil {
			t.Error(err)
		}
	}
	if !bytes.HasPrefix(trace.Bytes(), []byte("go 1.")) {
		t.Errorf("a trace of %d bytes", trace.Len())
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err = agent.Record(ctx, nil)
	must(t, err)
	cancel()
	if _, err := r.End(ctx); err == nil {
		t.Error("a recording that was given up gives profiles")
	}
	for { // the agent notices it a moment later
		if r, err = agent.Record(t.Context(), nil); err == nil {
			break
		}
		if !strings.Contains(err.Error(), "somebody else") {
			t.Fatal(err)
		}
	}
	_, err = r.End(t.Context())
	must(t, err)
	if _, err := profiles.Dial(t.Context(), "127.0.0.1:1"); !errors.Is(err, profiles.ErrAgent) {
		t.Error(err)
	}
}
