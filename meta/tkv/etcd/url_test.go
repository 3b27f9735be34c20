package etcd

import (
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func contains(err error, what string) bool { return err != nil && strings.Contains(err.Error(), what) }

func TestURL(t *testing.T) {
	for url, want := range map[string]string{
		"etcd://h":                        `[http://h:2379] "\xfd"  128`,
		"etcd://h/":                       `[http://h:2379] "/\xfd"  128`,
		"etcd://h:1,i/jfs?max-txn-ops=5":  `[http://h:1 http://i:2379] "/jfs\xfd"  5`,
		"etcd://tom@h/a/b":                `[http://h:2379] "/a/b\xfd" tom:pw 128`,
		"etcd://tom:x@h/a?server-name=n":  `[https://h:2379] "/a\xfd" tom:x 128`,
		"etcd://h?insecure-skip-verify=1": `[https://h:2379] "\xfd"  128`,
		"etcd://h?cacert=/none":           "certificates of the etcd URL",
		"etcd://h?max-txn-ops=0":          "max-txn-ops=0",
		"redis://h":                       `unknown scheme "redis"`,
		"etcd://":                         "names no host",
	} {
		tg, err := parse(url, Options{Password: "pw"})
		login := ""
		if tg.user != "" {
			login = tg.user + ":" + tg.password
		}
		got := fmt.Sprintf("%v %q %s %d", tg.endpoints, tg.prefix, login, tg.maxOps)
		if err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !contains(err, want)) {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
	if _, err := parse("etcd://tom@h", Options{}); !contains(err, "META_PASSWORD") {
		t.Errorf("a user without a password: %v", err)
	}
}

// TestUsers: errors of a server that knows its users say what to do, and no password.
func TestUsers(t *testing.T) {
	s := start(t, "--bcrypt-cost", "4")
	admin := store(t, s.empty(), Options{}).client
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(admin.UserAdd(ctx, "root", "rootpw"))
	must(admin.UserGrantRole(ctx, "root", "root"))
	must(admin.UserAdd(ctx, "tom", "geheim"))
	must(admin.RoleAdd(ctx, "mine"))
	must(admin.RoleGrantPermission(ctx, "mine", "/mine\xfd", "/mine\xfe", clientv3.PermissionType(clientv3.PermReadWrite)))
	must(admin.UserGrantRole(ctx, "tom", "mine"))
	must(admin.AuthEnable(ctx))

	for _, c := range []struct{ login, path, password, want string }{
		{"tom@", "/mine", "geheim", ""},
		{"tom:geheim@", "/mine", "other", ""},
		{"tom@", "/mine", "falsch", "wrong user or password"},
		{"nobody@", "/mine", "geheim", "wrong user or password"},
		{"", "/mine", "geheim", "want a user"},
		{"tom@", "/other", "geheim", "may not read"},
	} {
		e, err := Open(ctx, "etcd://"+c.login+s.Addr+c.path, Options{Password: c.password})
		switch {
		case err == nil && c.want == "":
			if err := e.Init(ctx); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
		case c.want == "" || !contains(err, c.want) || contains(err, "geheim") || contains(err, "falsch"):
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
