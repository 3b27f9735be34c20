package redis

import (
	"math/big"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"jfs/internal/testenv"
	"jfs/meta"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		url  string
		want target
	}{
		{"redis://host", target{network: "tcp", addr: "host:6379"}},
		{"redis://host/", target{network: "tcp", addr: "host:6379"}},
		{"redis:///3", target{network: "tcp", addr: "localhost:6379", db: 3}},
		{"redis://host:7000/12", target{network: "tcp", addr: "host:7000", db: 12}},
		{"redis://:pw@host/1", target{network: "tcp", addr: "host:6379", password: "pw", db: 1}},
		{"redis://user:p%40w@[::1]:7000/1", target{network: "tcp", addr: "[::1]:7000", user: "user", password: "p@w", db: 1}},
		{"unix:///run/redis.sock?db=2", target{network: "unix", addr: "/run/redis.sock", db: 2}},
		{"unix://user:pw@/run/redis.sock", target{network: "unix", addr: "/run/redis.sock", user: "user", password: "pw"}},
		{"redis://m,a,b:26380/2", target{form: formSentinel, network: "tcp", master: "m", seeds: []string{"a:26380", "b:26380"}, db: 2}},
		{"redis://:pw@m,a:1,b,[::1]", target{form: formSentinel, network: "tcp", master: "m", password: "pw", seeds: []string{"a:1", "b:26379", "[::1]:26379"}}},
		{"redis://a:7000,b,[::1]:7002/3", target{form: formCluster, network: "tcp", seeds: []string{"a:7000", "b:6379", "[::1]:7002"}, db: 3}},
		{"redis://h/1?read_timeout=3s&dial-timeout=7&write-timeout=9s&max-retries=0&min-retry-backoff=5ms&max_retry_backoff=1s&pool_size=9&route-read=replica",
			target{network: "tcp", addr: "h:6379", db: 1, replica: true, tuning: tuning{connect: 7 * time.Second, answer: 9 * time.Second, retries: -1, least: 5 * time.Millisecond, most: time.Second}}},
	} {
		got, err := parseURL(c.url, "")
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", c.url, got, err)
		}
	}
	if got, _ := parseURL("redis://user@host", "from outside"); got.password != "from outside" || got.user != "user" {
		t.Errorf("password from outside: %+v", got)
	}
	if got, _ := parseURL("redis://:own@host", "from outside"); got.password != "own" {
		t.Errorf("password of the URL: %+v", got)
	}
	got, err := parseURL("rediss://host/1?insecure-skip-verify=true", "")
	if err != nil || got.tls == nil || !got.tls.InsecureSkipVerify || got.tlsFor("host:1").ServerName != "host" {
		t.Errorf("TLS: %+v, %v", got, err)
	}
	if got, _ := parseURL("rediss://host/1", ""); got.tls == nil || got.tls.InsecureSkipVerify {
		t.Errorf("TLS: %+v", got)
	}
}

func TestBadURL(t *testing.T) {
	for u, hint := range map[string]string{
		"redis://:se%cret@host/1":                                          "META_PASSWORD",
		"redis://:se/cret@host/1":                                          "META_PASSWORD",
		"redis:secret":                                                     "META_PASSWORD",
		"http://:secret@host/1":                                            "redis[s]://",
		"redis://:secret@host/one":                                         "not a number",
		"redis://:secret@host/-1":                                          "not a number",
		"redis://:6/cret@host/1":                                           "META_PASSWORD",
		"redis://:6?cret@host/1":                                           "META_PASSWORD",
		"redis://:secret@a:1,,b:2/1":                                       "empty host",
		"redis://:secret@,b:2/1":                                           "MASTER",
		"redis://:secret@a:1,b:70000/1":                                    "META_PASSWORD",
		"redis://:secret@host/1?read-timeout=fast":                         "500ms",
		"redis://:secret@host/1?read-timeout=1s&read_timeout=2s":           "twice",
		"redis://:secret@host/1?max-retries=-2":                            "max-retries",
		"redis://:secret@host/1?route-read=random":                         "master or replica",
		"redis://:secret@host/1?min-retry-backoff=3s&max-retry-backoff=1s": "more than",
		"redis://:secret@host/1?insecure-skip-verify=true":                 "rediss://",
		"redis://:secret@host/1?colour=blue":                               "colour",
		"rediss://:secret@host/1?tls-cert-file=x":                          "both",
		"rediss://:secret@host/1?tls-ca-cert-file=/nowhere/ca.pem":         "/nowhere/ca.pem",
		"rediss://:secret@host/1?insecure-skip-verify=perhaps":             "true or false",
		"unix://:secret@relative/redis.sock":                               "absolute",
	} {
		_, err := Open(t.Context(), u, Options{})
		if err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", u, err)
		} else if strings.Contains(err.Error(), "cret") {
			t.Errorf("the password is in %q", err)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "redis.sock")
	start(t, "--unixsocket", socket)
	e := open(t, "unix://"+socket+"?db=5", Options{})
	withDir(t, e, 1)
	if _, ok := attrOf(t, e, 1); !ok {
		t.Error("nothing stored")
	}
}

func TestConnectErrors(t *testing.T) {
	s := start(t)
	locked := start(t, "--requirepass", "secret")
	cluster := start(t, "--cluster-enabled", "yes", "--databases", "1")
	for u, hint := range map[string]string{
		"redis://127.0.0.1:" + strings.TrimPrefix(freeAddr(t), "127.0.0.1:"): "is the server running",
		"redis://" + s.addr + "/100000":                                      "database 100000",
		"redis://" + locked.addr:                                             "META_PASSWORD",
		"redis://:wrong-cret@" + locked.addr:                                 "wrong user or password",
		"redis://somebody:wrong-cret@" + locked.addr:                         "wrong user or password",
		"redis://" + cluster.addr:                                            "is the cluster complete",
	} {
		_, err := Open(t.Context(), u, Options{})
		if err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", u, err)
		} else if strings.Contains(err.Error(), "cret") {
			t.Errorf("the password is in %q", err)
		}
	}
	e := open(t, "redis://"+locked.addr, Options{Password: "secret"})
	withDir(t, e, 1)
	raw(t, e, "ACL", "SETUSER", "fs", "on", ">word", "~*", "+@all")
	f := open(t, "redis://fs:word@"+locked.addr, Options{})
	if _, ok := attrOf(t, f, meta.RootIno); !ok {
		t.Error("a user of the ACL does not see the database")
	}
	// A user without the dangerous commands can work too.
	raw(t, e, "ACL", "SETUSER", "plain", "on", ">word", "~*", "+@all", "-@dangerous", "-@admin", "-script")
	raw(t, e, "SCRIPT", "FLUSH")
	g := open(t, "redis://plain:word@"+locked.addr, Options{})
	withDir(t, g, 2)
}

func freeAddr(t *testing.T) string {
	return net.JoinHostPort("127.0.0.1", big.NewInt(int64(testenv.ClosedPort(t))).String())
}
