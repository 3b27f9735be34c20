package meta

import "testing"

func TestTrashedName(t *testing.T) {
	for _, c := range []struct {
		name   string
		parent Ino
		orig   string
		ok     bool
	}{
		{"1-2-f", 1, "f", true},
		{"12-345-a-b-c", 12, "a-b-c", true},
		{"1-2--", 1, "-", true},
		{"1-2-", 1, "", false},
		{"1-2", 1, "", false},
		{"x-2-f", 0, "f", false},
		{"0-2-f", 0, "f", false},
		{"-1-2-f", 0, "2-f", false},
		{"9223372032828243969-2-f", TrashIno + 1, "f", false},
		{"", 0, "", false},
	} {
		parent, orig, ok := trashed(c.name)
		if ok != c.ok || ok && (parent != c.parent || orig != c.orig) {
			t.Errorf("%q: %d, %q, %v; want %d, %q, %v", c.name, parent, orig, ok, c.parent, c.orig, c.ok)
		}
	}
	if parent, orig, ok := trashed(trashName(5, 6, "a-b")); !ok || parent != 5 || orig != "a-b" {
		t.Errorf("name made by a removal: %d, %q, %v", parent, orig, ok)
	}
}
