package redis

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// logged opens an engine and gives what it logs.
func logged(t *testing.T, url string, o Options) string {
	t.Helper()
	var out strings.Builder
	o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	open(t, url, o)
	return out.String()
}

func TestInspect(t *testing.T) {
	s := start(t, "--maxmemory-policy", "allkeys-lru", "--save", "3600 1")
	e := open(t, s.empty(), Options{})
	policy, err := raw(t, e, "CONFIG", "GET", "maxmemory-policy").AsStrMap()
	if err != nil || policy["maxmemory-policy"] != "noeviction" {
		t.Errorf("policy is %q, %v", policy, err)
	}
	log := logged(t, s.empty(), Options{})
	if !strings.Contains(log, "Ping redis latency: ") || strings.Contains(log, "noeviction") || strings.Contains(log, "on disk") {
		t.Errorf("log of a server that is well:\n%s", log)
	}

	raw(t, e, "CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
	raw(t, e, "CONFIG", "SET", "save", "")
	raw(t, e, "ACL", "SETUSER", "plain", "on", ">word", "~*", "+@all", "-config|set")
	log = logged(t, "redis://plain:word@"+s.addr+"/1", Options{})
	if !strings.Contains(log, "level=WARN") || !strings.Contains(log, "set maxmemory-policy to noeviction") {
		t.Errorf("log of a server that evicts:\n%s", log)
	}
	if !strings.Contains(log, "keeps nothing on disk") {
		t.Errorf("log of a server without persistence:\n%s", log)
	}
	raw(t, e, "ACL", "SETUSER", "plain", "-info")
	if log = logged(t, "redis://plain:word@"+s.addr+"/1", Options{}); !strings.Contains(log, "does not tell its version") {
		t.Errorf("log of a server without INFO:\n%s", log)
	}
}

func TestCheckServer(t *testing.T) {
	for version, want := range map[string]string{"3.2.12": "too old", "4.0.0": "", "255.255.255": "", "": ""} {
		err := checkServer(parseInfo("# Server\r\nredis_version:" + version + "\r\n"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("version %q: %v", version, err)
		}
	}
}

func TestOpenHonoursContext(t *testing.T) {
	p := newProxy(t, start(t).addr)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, p.url(), Options{}); err == nil {
		t.Error("opened under a context that has ended")
	}
}

func TestClosed(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	for range 2 {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := e.View(t.Context(), wantNothing, nil); !errors.Is(err, errClosed) {
		t.Error(err)
	}
	if err := e.Update(t.Context(), wantNothing, nil); !errors.Is(err, errClosed) {
		t.Error(err)
	}
	if _, err := e.Reserve(t.Context(), 0, 1); !errors.Is(err, errClosed) {
		t.Error(err)
	}
}
