package sql

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"jfs/internal/testenv"
	"jfs/meta"
)

func TestParseServer(t *testing.T) {
	for _, c := range []struct{ url, where, user, password, prefix string }{
		{"postgres://tom:p%40w@h:5433/db", "postgres://h:5433/db", "tom", "p@w", "jfs_"},
		{"postgresql://tom:p@w/1@h/db?sslmode=disable&table_prefix=X&search_path=s", "postgres://h:5432/db", "tom", "p@w/1", "jfs_X_"},
		{"postgres://tom@/db?host=/run/pg", "postgres:///run/pg:5432/db", "tom", "env", "jfs_"},
		{"mysql://tom:p%40w@(h:3307)/db", "mysql://h:3307/db", "tom", "p%40w", "jfs_"},
		{"mysql://tom:a@b/c?@tcp(h)/db?timeout=1s", "mysql://h:3306/db", "tom", "a@b/c?", "jfs_"},
		{"mysql://tom@h:3306/db?table_prefix=Y", "mysql://h:3306/db", "tom", "env", "jfs_Y_"},
		{"mysql://tom@unix(/run/my.sock)/db", "mysql:///run/my.sock/db", "tom", "env", "jfs_"},
	} {
		s, err := parseServer(c.url, "env")
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		password := ""
		if s.postgres != nil {
			password = s.postgres.Password
		} else {
			password = s.mysql.Passwd
		}
		if strings.ReplaceAll(strings.ReplaceAll(s.where, "[", ""), "]", "") != c.where || s.user != c.user || password != c.password || s.prefix != c.prefix {
			t.Errorf("%s: %q %q %q %q", c.url, s.where, s.user, password, s.prefix)
		}
	}
	s, err := parseServer("mysql://u@h/d?max_open_conns=3&max_idle_conns=2&max_idle_time=30&max_life_time=1h", "")
	if err != nil || s.maxOpen != 3 || s.maxIdle != 2 || s.idleTime != 30*time.Second || s.lifeTime != time.Hour {
		t.Errorf("%+v %v", s, err)
	}
	for _, c := range []struct{ url, says string }{
		{"postgres://tom:geheim@h", "database is missing"},
		{"postgres://tom:geheim@h:x/db", "malformed"},
		{"postgres://tom:geheim@h/db?search_path=a,b", "more than one schema"},
		{"postgres://tom:geheim@h/db?table_prefix=a-b", "letters, digits"},
		{"postgres://tom:geheim@h/db?max_open_conns=x", "whole number"},
		{"mysql://tom:geheim@(h)/db?max_idle_time=x", "number of seconds"},
		{"mysql://tom:geheim@(h)", "database is missing"},
		{"mysql://tom:geheim@udp(h)/db", "malformed address"},
		{"mysql://tom:geheim@(h)/db?parseTime=x", "malformed"},
		{"oracle://tom:geheim@h/db", "want postgres:// or mysql://"},
		{"tom:geheim@h/db", "without a scheme"},
		{"postgres://tom:geheim@h/db?a=%zz", "malformed parameters"},
	} {
		if _, err := parseServer(c.url, ""); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v, want %q", c.url, err, c.says)
		}
	}
}

// TestOpenServer: what keeps a client from its volume is told apart, and no password is told.
func TestOpenServer(t *testing.T) {
	forServers(t, func(t *testing.T, p *place) {
		address := func(addr, user, password, database string) string {
			if p.name == "postgres" {
				return fmt.Sprintf("postgres://%s:%s@%s/%s", user, url.PathEscape(password), addr, database)
			}
			return fmt.Sprintf("mysql://%s:%s@(%s)/%s", user, password, addr, database)
		}
		const pw = testenv.SQLPassword
		for _, c := range []struct {
			name, url string
			want      error
		}{
			{"unreachable", address(fmt.Sprintf("127.0.0.1:%d", testenv.ClosedPort(t)), testenv.SQLGuest, pw, testenv.SQLGuest), ErrUnreachable},
			{"wrong password", address(p.Addr, testenv.SQLGuest, "falsch", testenv.SQLGuest), ErrLogin},
			{"missing database", address(p.Addr, testenv.SQLUser, "any", "absent"), ErrNoDatabase},
			{"nothing there", address(p.Addr, testenv.SQLGuest, pw, testenv.SQLGuest), nil},
		} {
			e, err := OpenServer(t.Context(), c.url, Options{})
			if p.name == "mysql" && c.name == "missing database" { // SQLUser has no password there
				e, err = OpenServer(t.Context(), strings.Replace(c.url, ":any@", "@", 1), Options{})
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
			if err != nil && (strings.Contains(err.Error(), pw) || strings.Contains(err.Error(), "falsch") || strings.Contains(err.Error(), url.PathEscape(pw))) {
				t.Errorf("%s: the password is told: %v", c.name, err)
			}
			if e != nil {
				if err := e.View(t.Context(), meta.Want{Attrs: []meta.Ino{1}}, func(r meta.Reader) error {
					_, _, err := r.Attr(1)
					return err
				}); !errors.Is(err, meta.ErrNotFormatted) {
					t.Errorf("a database without a volume: %v", err)
				}
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		// A user who may only read.
		e := openRemote(t, address(p.Addr, testenv.SQLGuest, pw, testenv.SQLUser), Options{})
		if err := e.Init(t.Context()); !errors.Is(err, ErrPrivilege) {
			t.Errorf("init without privileges: %v", err)
		}
		socket := fmt.Sprintf("mysql://%s@unix(%s/mysql.sock)/%s", testenv.SQLUser, p.Dir(), testenv.SQLUser)
		if p.name == "postgres" {
			socket = fmt.Sprintf("postgres://%s@/%s?host=%s&port=%s", testenv.SQLUser, testenv.SQLUser, p.Dir(), p.Port())
		}
		openRemote(t, socket, Options{})
	})
}
