package sql

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// TestCompound: what a trip of writes says without rows is what it says with them, and its checks lock what they look at.
func TestCompound(t *testing.T) {
	t.Parallel()
	p := startMariaDB(t)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	connect := func() *mysqlLink {
		target, err := parseServer(p.admin(), "")
		if err != nil {
			t.Fatal(err)
		}
		l, err := target.connect(ctx, new(atomic.Int64))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.close)
		return l.(*mysqlLink)
	}
	a, b := connect(), connect()
	if !a.compound {
		t.Fatal("MariaDB is not known as such")
	}
	d := mysqlDialect()
	check := func(from string, untrue error) call {
		return call{text: d.server.guard(from, d.server.share), dest: []any{new(number)}, untrue: untrue}
	}
	write := func(text string, args ...any) call { return call{text: text, args: args} }
	commit := call{text: "COMMIT"}
	if _, err := a.trip(ctx, []call{
		write("CREATE TABLE compound (id INT PRIMARY KEY, name VARBINARY(20)) ENGINE=InnoDB"),
		write("INSERT INTO compound VALUES (?, ?)", 1, []byte("it's; END \\")),
		write("INSERT INTO compound VALUES (?, ?)", 2, []byte(nil)), commit,
	}); err != nil {
		t.Fatal(err)
	}
	var name []byte
	if _, err := b.trip(ctx, []call{{text: "SELECT name FROM compound WHERE id = 1", dest: []any{&name}}}); err != nil || string(name) != "it's; END \\" {
		t.Fatalf("%q, %v", name, err)
	}
	other := errStale
	for _, c := range []struct {
		name  string
		calls []call
		quiet bool
		done  int
		fault fault
	}{
		{"failed check", []call{write("START TRANSACTION"), write("DELETE FROM compound WHERE id = 1"), check("FROM compound WHERE id = 2", errStale),
			check("FROM compound WHERE id = 3", errStale), commit}, true, 2, faultGuard},
		{"failed check of two kinds", []call{write("START TRANSACTION"), check("FROM compound WHERE id = 2", errAgain),
			check("FROM compound WHERE id = 3", other), commit}, false, 2, faultGuard},
		{"change without a row", append([]call{write("START TRANSACTION")}, append(withCheck(d.server.must("UPDATE compound SET name = 'x' WHERE id = 3")), commit)...), true, 2, faultGuard},
		{"duplicate", []call{write("START TRANSACTION"), check("FROM compound WHERE id = 2", errStale), write("INSERT INTO compound (id) VALUES (1)"), commit}, true, 3, faultDuplicate},
		{"text", []call{write("START TRANSACTION"), write("INSERT INTO nothing VALUES (1)"), commit}, true, 2, faultTable},
	} {
		if silent(c.calls) != c.quiet {
			t.Errorf("%s: silent %t", c.name, !c.quiet)
		}
		done, err := a.trip(ctx, c.calls)
		if classifyMySQL(err) != c.fault || done != c.done {
			t.Errorf("%s: %d done, %v", c.name, done, err)
		}
		if _, err := a.trip(ctx, []call{write("ROLLBACK")}); err != nil {
			t.Fatal(err)
		}
	}
	var n number
	if _, err := b.trip(ctx, []call{{text: "SELECT count(*) FROM compound WHERE name = 'x' OR id = 1", dest: []any{&n}}}); err != nil || n != 1 {
		t.Errorf("%d rows after all was rolled back, %v", n, err)
	}
	if _, err := a.trip(ctx, []call{write("START TRANSACTION"), check("FROM compound WHERE id = 2", errStale), write("DO 1")}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.trip(ctx, []call{{text: "SELECT id FROM compound WHERE id = 2 FOR UPDATE NOWAIT", dest: []any{&n}}}); classifyMySQL(err) != faultBusy {
		t.Errorf("lock on what is checked: %v", err)
	}
}

func withCheck(parts []statement) []call {
	return []call{{text: parts[0].text}, {text: parts[1].text, dest: []any{new(number)}, untrue: errStale}}
}
