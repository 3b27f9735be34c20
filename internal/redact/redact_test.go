package redact

import "testing"

func TestURL(t *testing.T) {
	tests := []struct{ in, want string }{
		{"redis://tom:pw@host:6379/1", "redis://tom:****@host:6379/1"},
		{"redis://:pw@host/1", "redis://:****@host/1"},
		{"redis://tom@host/1", "redis://tom@host/1"},
		{"redis://host:6379/1", "redis://host:6379/1"},
		{"rediss://tom:p@ss:w/o?r#d@host/1", "rediss://tom:****@host/1"},
		{"tom:pw@host:6379/1", "tom:****@host:6379/1"},
		{"host:6379", "host:6379"},
		{"mysql://u:p@(h:3306)/db", "mysql://u:****@(h:3306)/db"},
		{"postgres://u:p@h:5432/db?sslmode=disable", "postgres://u:****@h:5432/db?sslmode=disable"},
		{"postgres://u@h/db?password=p&sslmode=disable", "postgres://u@h/db?password=****&sslmode=disable"},
		{"sqlite3:///srv/a:b@c.db", "sqlite3:///srv/a:b@c.db"},
		{"unix:///run/redis@1.sock?db=1", "unix:///run/redis@1.sock?db=1"},
		{"", ""},
	}
	for _, tt := range tests {
		if got := URL(tt.in); got != tt.want {
			t.Errorf("URL(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestSplit(t *testing.T) {
	tests := []struct{ in, without, password string }{
		{"redis://tom:pw@host:6379/1", "redis://tom@host:6379/1", "pw"},
		{"redis://:p%40ss@host/1", "redis://host/1", "p@ss"},
		{"redis://tom@host/1", "redis://tom@host/1", ""},
		{"redis://tom:@host/1", "redis://tom:@host/1", ""},
		{"redis://host:6379/1", "redis://host:6379/1", ""},
		{"mysql://u:p@(h:3306)/db", "mysql://u@(h:3306)/db", "p"},
		{"mysql://u:p%41@(h:3306)/db", "mysql://u@(h:3306)/db", "p%41"},
		{"sqlite3://a:b@c.db", "sqlite3://a:b@c.db", ""},
		{"redis://:100%@host", "redis://host", "100%"},
	}
	for _, tt := range tests {
		without, password := Split(tt.in)
		if without != tt.without || password != tt.password {
			t.Errorf("Split(%q) = %q, %q, want %q, %q", tt.in, without, password, tt.without, tt.password)
		}
	}
}

func FuzzURL(f *testing.F) {
	f.Add("tom", "pw", "host:6379/1")
	f.Fuzz(func(t *testing.T, user, password, host string) {
		in := "redis://" + user + ":" + password + "@" + host
		if URL(URL(in)) != URL(in) {
			t.Errorf("URL of %q is not stable: %q, then %q", in, URL(in), URL(URL(in)))
		}
	})
}
