package address

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for raw, want := range map[string]string{
		"etcd://a":                              "etcd|||a:2379||",
		"etcd://a/":                             "etcd|||a:2379|/|",
		"ETCD://a:1,b,[::1]:3,[::1],::2/x":      "etcd|||a:1 b:2379 [::1]:3 [::1]:2379 [::2]:2379|/x|",
		"tikv://a:1, b:2/x/y?ca=/p/ca&key=k%20": "tikv|||a:1 b:2|/x/y|ca=%2Fp%2Fca&key=k+",
		"etcd://u:p@a/x":                        "etcd|u|p|a:2379|/x|",
		"etcd://u:p%40:/@a/x%2Fy":               "etcd|u|p@:/|a:2379|/x/y|",
		"etcd://u@a:5":                          "etcd|u||a:5||",
	} {
		a, err := Parse(raw, "2379")
		got := fmt.Sprintf("%s|%s|%s|%s|%s|%s", a.Scheme, a.User, a.Password, strings.Join(a.Hosts, " "), a.Path, a.Query.Encode())
		if err != nil || got != want {
			t.Errorf("%s: %s, want %s, %v", raw, got, want, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, raw := range []string{"a:1", "etcd://", "etcd://a:1,", "etcd://:5/x", "etcd://u:secret%@a", "etcd://u:secret@a?x=%", "etcd://u:secret@a/%zz", "etcd://[a]b", "etcd://a:b:c"} {
		a, err := Parse(raw, "2379")
		if err == nil {
			t.Errorf("%s: taken as %+v", raw, a)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the password: %v", raw, err)
		}
	}
}
