package sql

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/metatest"
)

// place is a server with room for any number of volumes.
type place struct {
	*testenv.Server
	name string
	n    atomic.Int64
}

func startPostgres(t *testing.T) *place {
	return &place{Server: testenv.StartPostgres(t), name: "postgres"}
}

func startMariaDB(t *testing.T) *place {
	return &place{Server: testenv.StartMariaDB(t), name: "mysql"}
}

// forServers runs a test on each kind of server.
func forServers(t *testing.T, run func(t *testing.T, p *place)) {
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		run(t, startPostgres(t))
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		run(t, startMariaDB(t))
	})
}

// url is that of a new schema or database, at an address that leads to the server.
func (p *place) url(t testing.TB, addr string) string {
	t.Helper()
	name := fmt.Sprintf("vol%d", p.n.Add(1))
	if p.name == "postgres" {
		p.say(t, "CREATE SCHEMA "+name)
		return fmt.Sprintf("postgres://%s@%s/%s?search_path=%s", testenv.SQLUser, addr, testenv.SQLUser, name)
	}
	p.say(t, "CREATE DATABASE "+name)
	return fmt.Sprintf("mysql://%s@(%s)/%s", testenv.SQLUser, addr, name)
}

// withParam adds a parameter to a URL.
func withParam(url, param string) string {
	if strings.Contains(url, "?") {
		return url + "&" + param
	}
	return url + "?" + param
}

// admin is a URL of the database that is there from the beginning.
func (p *place) admin() string {
	if p.name == "postgres" {
		return fmt.Sprintf("postgres://%s@%s/%s", testenv.SQLUser, p.Addr, testenv.SQLUser)
	}
	return fmt.Sprintf("mysql://%s@(%s)/%s", testenv.SQLUser, p.Addr, testenv.SQLUser)
}

// say runs a statement without rows.
func (p *place) say(t testing.TB, text string) { p.ask(t, call{text: text}) }

func (p *place) ask(t testing.TB, calls ...call) {
	t.Helper()
	askAt(t, p.admin(), calls...)
}

// askAt runs statements on a connection of their own.
func askAt(t testing.TB, url string, calls ...call) {
	t.Helper()
	target, err := parseServer(url, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	l, err := target.connect(ctx, new(atomic.Int64))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if _, err := l.trip(ctx, calls); err != nil {
		t.Fatal(err)
	}
}

func openRemote(t testing.TB, url string, o Options) *Remote {
	t.Helper()
	e, err := OpenServer(context.WithoutCancel(t.Context()), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// database gives volumes whose clients have connections of their own, as those of two machines.
func (p *place) database(params ...string) metatest.Database {
	return func(t *testing.T) func() meta.Engine {
		url := p.url(t, p.Addr)
		for _, param := range params {
			url = withParam(url, param)
		}
		return func() meta.Engine { return openRemote(t, url, Options{}) }
	}
}

func TestServers(t *testing.T) {
	forServers(t, func(t *testing.T, p *place) {
		t.Run("Conformance", func(t *testing.T) { metatest.Run(t, p.database()) })
		t.Run("TwoClients", func(t *testing.T) {
			metatest.RunShared(t, func(t *testing.T) (a, b meta.Engine) {
				client := p.database("table_prefix=Vol2", "max_open_conns=2", "max_idle_conns=1", "max_idle_time=1", "max_life_time=2")(t)
				return client(), client()
			})
		})
	})
}
