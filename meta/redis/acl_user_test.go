package redis

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/metatest"
)

// leastACL is what a user needs at least, as docs/redis.md has it.
const leastACL = "~* +@read +@write +@connection -@dangerous +eval +evalsha +script|load +info +config|get"

// TestLeastACL works over TLS as a user who may do nothing else.
func TestLeastACL(t *testing.T) {
	certs := testenv.MakeCertificates(t)
	user := append([]string{"--databases", "1000", "--user", "tom", "on", ">geheim"}, strings.Fields(leastACL)...)
	s := testenv.StartRedisTLS(t, certs, user...)
	q := url.Values{"tls-ca-cert-file": {certs.CA}, "tls-cert-file": {certs.ClientCert}, "tls-key-file": {certs.ClientKey}}
	n := 0
	metatest.RunEngine(t, func(t *testing.T) meta.Engine {
		n++
		e := open(t, "rediss://tom:geheim@"+s.Addr+"/"+decimal(int64(n))+"?"+q.Encode(), Options{})
		if !e.Coherent() {
			t.Error("the server does not tell of changes")
		}
		return prompt{e}
	})
}

// TestMissingPermission takes rights away one by one. What is told names what to grant.
func TestMissingPermission(t *testing.T) {
	s := start(t)
	admin := open(t, s.empty(), Options{NoTracking: true})
	rules := append([]string{"ACL", "SETUSER", "tom", "reset", "on", ">geheim"}, strings.Fields(leastACL)...)
	for _, c := range []struct{ without, named string }{
		{"-get", "+get "},
		{"-mget", "+mget "},
		{"-evalsha", "+evalsha "},
		{"-ping", "+ping "},
		{"-hset", "+@write "},
		{"resetkeys", "~*"},
		{"-select", "+select "},
	} {
		raw(t, admin, append(rules, c.without)...)
		raw(t, admin, "FLUSHALL")
		err := func() error {
			e, err := Open(t.Context(), "redis://tom:geheim@"+s.addr+"/1", Options{NoTracking: true})
			if err != nil {
				return err
			}
			defer e.Close()
			if err := e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
				tx.SetEntry(1, "x", meta.Entry{Ino: 2})
				return nil
			}); err != nil {
				return err
			}
			return e.View(t.Context(), meta.Want{Attrs: []meta.Ino{1, 2}}, func(r meta.Reader) error {
				_, _, err := r.Attr(3)
				return err
			})
		}()
		if !errors.Is(err, errPermission) || !strings.Contains(err.Error(), c.named) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", c.without, err)
		}
	}
	for _, c := range []struct{ without, named string }{{"-client|tracking", "+client|tracking "}, {"-config|get", "+config|get "}} {
		raw(t, admin, append(rules, c.without)...)
		if log := logged(t, "redis://tom:geheim@"+s.addr+"/1", Options{}); !strings.Contains(log, c.named) {
			t.Errorf("%s: %s", c.without, log)
		}
	}
}

func TestTLSErrors(t *testing.T) {
	certs, others := testenv.MakeCertificates(t), testenv.MakeCertificates(t)
	s := testenv.StartRedisTLS(t, certs)
	plain := start(t)
	all := url.Values{"tls-ca-cert-file": {certs.CA}, "tls-cert-file": {certs.ClientCert}, "tls-key-file": {certs.ClientKey}}
	with := func(changes ...string) string {
		q := url.Values{}
		for k, v := range all {
			q[k] = v
		}
		for i := 0; i+1 < len(changes); i += 2 {
			if q.Set(changes[i], changes[i+1]); changes[i+1] == "" {
				q.Del(changes[i])
			}
		}
		return q.Encode()
	}
	base := "rediss://:geheim@" + s.Addr + "/0?"
	for u, hint := range map[string]string{
		base + with("tls-ca-cert-file", ""):                                  "tls-ca-cert-file",
		base + with("tls-ca-cert-file", others.CA):                           "tls-ca-cert-file",
		base + with("tls-server-name", "redis.example"):                      "tls-server-name",
		base + with("tls-cert-file", "", "tls-key-file", ""):                 "tls-cert-file",
		"rediss://:geheim@" + plain.addr + "/0?dial-timeout=300ms&" + with(): "does not speak TLS",
		"redis://" + s.Addr + "/0":                                           "rediss://",
		base + with("tls-cert-file", certs.ClientKey):                        "load client certificate",
		base + with("tls-ca-cert-file", certs.ClientKey):                     "PEM",
	} {
		_, err := Open(t.Context(), u, Options{})
		if err == nil || !strings.Contains(err.Error(), hint) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", strings.ReplaceAll(u, "geheim", "***"), err)
		}
	}
	for _, q := range []string{with("tls-server-name", "localhost"), with("tls-ca-cert-file", "", "insecure-skip-verify", "true")} {
		u := strings.Replace(base, ":geheim@", "", 1) + q
		e := open(t, u, Options{})
		withDir(t, e, 1)
		if !e.Coherent() {
			t.Errorf("%s: the server does not tell of changes", q)
		}
	}
}
