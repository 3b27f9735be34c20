package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"jfs/internal/redact"
	"jfs/meta"
	"jfs/meta/redis"
	"jfs/meta/sql"
)

// This file and those named wire_* build the parts of a client, and nothing else does. What is built here is
// closed by its builder's caller, in the reverse order.

const (
	// envMetaPassword holds the password of the database, for those who do not want it in a command line.
	envMetaPassword = "META_PASSWORD"
	// envSentinelPassword holds that of Redis Sentinels.
	envSentinelPassword = "SENTINEL_PASSWORD"
	// inFile is behind the name of either for one that names a file with the password.
	inFile = "_FILE"
)

// secret gives a password from the environment, or from the file that it names.
func (a *app) secret(env string) (string, error) {
	if value := a.getenv(env); value != "" {
		return value, nil
	}
	path := a.getenv(env + inFile)
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the password of %s: %w", env+inFile, err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// openMeta connects to the database of a META-URL. Without a scheme it is the address of a Redis server.
func (a *app) openMeta(ctx context.Context, url string) (meta.Engine, error) {
	return a.openEngine(ctx, url, redis.Options{NoTracking: true}, nil)
}

// openWatchedMeta is openMeta for a client that lives long enough to be told of changes, and counts its round trips.
func (a *app) openWatchedMeta(ctx context.Context, url string, t *tally) (meta.Engine, error) {
	engine, err := a.openEngine(ctx, url, redis.Options{OnTrip: func(int) { t.trip() }}, t.trip)
	if remote, ok := engine.(*sql.Remote); ok {
		t.tripsOf = func() int64 { return remote.Stats().Trips }
	}
	return engine, err
}

func (a *app) openEngine(ctx context.Context, url string, ro redis.Options, onTrip func()) (meta.Engine, error) {
	full := withScheme(url)
	scheme, _, _ := strings.Cut(full, "://")
	a.log.Info("Meta address: " + redact.URL(full))
	password, err := "", error(nil)
	if !inDirectory(full) {
		if password, err = a.secret(envMetaPassword); err != nil {
			return nil, err
		}
	}
	var engine meta.Engine
	switch scheme {
	case "redis", "rediss", "unix":
		ro.Password, ro.Logger = password, a.log
		if ro.SentinelPassword, err = a.secret(envSentinelPassword); err == nil {
			engine, err = redis.Open(ctx, full, ro)
		}
	case "sqlite3":
		engine, err = sql.Open(ctx, full, sql.Options{Log: a.log})
	case "postgres", "postgresql", "mysql":
		engine, err = sql.OpenServer(ctx, full, sql.Options{Password: password, Log: a.log})
	case "etcd", "tikv", "badger":
		engine, err = a.openKeySpace(ctx, scheme, full, password, onTrip)
	default:
		return nil, fmt.Errorf("databases of scheme %s:// are not supported: use redis://, rediss://, unix://, etcd://, tikv://, badger://, sqlite3://, postgres:// or mysql://", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", redact.URL(full), err)
	}
	return engine, nil
}

func withScheme(url string) string {
	if strings.Contains(url, "://") {
		return url
	}
	return "redis://" + url
}

// explainUnformatted tells what to do about a database without a volume.
func explainUnformatted(err error, url string) error {
	if errors.Is(err, meta.ErrNotFormatted) {
		return fmt.Errorf("%w, please run \"jfs format %s NAME\" first", err, redact.URL(url))
	}
	return err
}

// closer closes what was built, last first.
type closer struct {
	parts []part
}

type part struct {
	name  string
	close func(context.Context) error
}

func (c *closer) add(name string, close func(context.Context) error) {
	c.parts = append(c.parts, part{name, close})
}

// close ends all parts even if one fails, each within what is left of ctx.
func (c *closer) close(ctx context.Context, log *slog.Logger) error {
	var failed []error
	for i := len(c.parts) - 1; i >= 0; i-- {
		p := c.parts[i]
		log.Debug("close " + p.name)
		if err := p.close(ctx); err != nil {
			failed = append(failed, fmt.Errorf("close %s: %w", p.name, err))
		}
	}
	c.parts = nil
	return errors.Join(failed...)
}

// plain is a Close without ctx as a part's.
func plain(close func() error) func(context.Context) error {
	return func(context.Context) error { return close() }
}
