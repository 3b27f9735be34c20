package redact

import "testing"

func TestText(t *testing.T) {
	m := NewMasker()
	for in, want := range map[string]string{
		"connect to redis://tom:pw@host:6379/1: refused":   "connect to redis://tom:****@host:6379/1: refused",
		`{"SecretKey": "abc/def+", "Name": "x"}`:           `{"SecretKey": "****", "Name": "x"}`,
		"jfs format --secret-key topsecret --access-key=a": "jfs format --secret-key **** --access-key=****",
		"META_PASSWORD=pw HOME=/root":                      "META_PASSWORD=**** HOME=/root",
		`"EncryptKey":"-----BEGIN"`:                        `"EncryptKey":"****"`,
		"a line without any":                               "a line without any",
		"postgres://u@h/db?password=p&sslmode=disable x":   "postgres://u@h/db?password=****&sslmode=disable x",
	} {
		if got := string(m.Text([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
