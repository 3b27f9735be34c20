package meta

import "testing"

func TestDeparted(t *testing.T) {
	var v Volume
	for round := range 3 {
		for i := range departedMost {
			ino := Ino(1000 + round*departedMost + i)
			v.departed.add(ino, Attr{Nlink: 2, UID: uint32(ino)}, Time{Sec: 7})
			v.departed.add(ino, Attr{Nlink: 2, UID: uint32(ino)}, Time{Sec: 7})
		}
	}
	if n := len(v.departed.attrs); n != departedMost {
		t.Errorf("%d inodes are remembered, want %d", n, departedMost)
	}
	last := Ino(1000 + 3*departedMost - 1)
	want := Attr{UID: uint32(last), Ctime: Time{Sec: 7}}
	if a, ok := v.Departed(last); !ok || a != want {
		t.Errorf("%+v, %v; want %+v", a, ok, want)
	}
	if _, ok := v.Departed(1000); ok {
		t.Error("the first one is still remembered")
	}
	if a, ok := v.Departed(last - departedMost + 1); !ok || a.Nlink != 0 {
		t.Errorf("the oldest one that fits: %+v, %v", a, ok)
	}
}
