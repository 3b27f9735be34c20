package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"jfs/internal/testenv"
)

// TestE2EServers takes a volume on a database server through its life. No log and no error shows the password.
func TestE2EServers(t *testing.T) {
	t.Run("postgres", func(t *testing.T) {
		server := testenv.StartPostgres(t)
		address := func(password, database string) string {
			user := url.User(testenv.SQLGuest)
			if password != "" {
				user = url.UserPassword(testenv.SQLGuest, password)
			}
			u := url.URL{Scheme: "postgres", User: user, Host: server.Addr, Path: "/" + database}
			return u.String()
		}
		serverLife(t, server.Addr, address)
	})
	t.Run("mariadb", func(t *testing.T) {
		server := testenv.StartMariaDB(t)
		address := func(password, database string) string {
			if password != "" {
				password = ":" + password
			}
			return fmt.Sprintf("mysql://%s%s@(%s)/%s", testenv.SQLGuest, password, server.Addr, database)
		}
		serverLife(t, server.Addr, address)
	})
}

func serverLife(t *testing.T, addr string, address func(password, database string) string) {
	w := newWorld(t)
	db := address(testenv.SQLPassword, testenv.SQLGuest)
	silent := func(log string) {
		t.Helper()
		for _, secret := range []string{testenv.SQLPassword, url.PathEscape(testenv.SQLPassword), "falsch"} {
			if strings.Contains(log, secret) {
				t.Errorf("a password is shown:\n%s", log)
			}
		}
	}
	for _, c := range []struct{ url, says string }{
		{address("falsch", testenv.SQLGuest), "refuses the login"},
		{address(testenv.SQLPassword, "absent"), ""},
		{strings.Replace(db, addr, fmt.Sprintf("127.0.0.1:%d", testenv.ClosedPort(t)), 1), "is unreachable"},
		{address(testenv.SQLPassword, testenv.SQLUser), "lacks privileges"},
	} {
		r := w.run("format", "--bucket", "$/objects", c.url, "myjfs")
		if r.code != 1 || !strings.Contains(r.log, c.says) {
			t.Errorf("exit code %d, want %q in\n%s", r.code, c.says, r.log)
		}
		silent(r.log)
	}

	r := w.run("format", "--bucket", "$/objects", "--trash-days", "0", db, "myjfs")
	if r.code != 0 {
		t.Fatalf("format: %s", r.log)
	}
	silent(r.log)
	mount := []string{"mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", db, "$/mnt"}
	w.ok(mount...)
	files := map[string][]byte{"mnt/big": content(9<<20+17, 1)}
	for i := range 40 {
		files[fmt.Sprintf("mnt/dir%d/sub/small%d", i%4, i)] = content(500*i+1, byte(i))
	}
	for name, data := range files {
		w.write(name, data)
	}
	if err := os.Rename(w.path("mnt/dir0"), w.path("mnt/moved")); err != nil {
		t.Fatal(err)
	}
	if ss := w.sessions(db); len(ss) != 1 {
		t.Errorf("sessions %+v", ss)
	}
	w.ok("umount", "$/mnt")
	if got := w.ok("fsck", "--path", "/", "-r", "--sync-dir-stat", db); !strings.Contains(got, "Checked 9 directories, 0 with faults") {
		t.Errorf("fsck: %q", got)
	}
	var tree struct {
		Setting  struct{ Name string }
		Counters struct{ UsedInodes int }
	}
	if err := json.Unmarshal([]byte(w.ok("dump", db)), &tree); err != nil || tree.Setting.Name != "myjfs" || tree.Counters.UsedInodes != 41+8 {
		t.Errorf("dump: %v %+v", err, tree)
	}
	// With the password from the environment.
	w.env = []string{envMetaPassword + "=" + testenv.SQLPassword}
	mount[len(mount)-2] = address("", testenv.SQLGuest)
	w.ok(mount...)
	for name, data := range files {
		w.holds(strings.Replace(name, "dir0", "moved", 1), data)
	}
	w.ok("umount", "$/mnt")
	log, err := os.ReadFile(w.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	silent(string(log))
}
