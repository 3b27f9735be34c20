package block

import "testing"

func TestNames(t *testing.T) {
	const mib = 1 << 20
	for i, want := range []string{"chunks/0/0/3_0_4194304", "chunks/0/0/3_1_4194304", "chunks/0/0/3_2_2097152"} {
		if got := KeyAt(3, 10*mib, uint32(i), 4*mib).Name(false); got != want {
			t.Errorf("block %d: %s, want %s", i, got, want)
		}
	}
	for _, c := range []struct {
		key  Key
		hash bool
		want string
	}{
		{Key{1234567, 0, 100}, false, "chunks/1/1234/1234567_0_100"},
		{Key{1234567, 2, 100}, true, "chunks/87/1/1234567_2_100"},
		{Key{3, 0, 4194304}, true, "chunks/03/0/3_0_4194304"},
		{Key{255, 0, 1}, true, "chunks/FF/0/255_0_1"},
	} {
		if got := c.key.Name(c.hash); got != c.want {
			t.Errorf("%+v: %s, want %s", c.key, got, c.want)
		}
	}
}

func TestCount(t *testing.T) {
	for _, c := range [][3]uint32{{0, 4096, 0}, {1, 4096, 1}, {4096, 4096, 1}, {4097, 4096, 2}, {1<<32 - 1, 65536, 65536}} {
		if got := Count(c[0], c[1]); got != c[2] {
			t.Errorf("%d bytes in blocks of %d: %d, want %d", c[0], c[1], got, c[2])
		}
	}
}
