package compress

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

func codec(t testing.TB, name string) Codec {
	t.Helper()
	c, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{"": "none", "none": "none", "lz4": "lz4", "zstd": "zstd"} {
		if got := codec(t, name).Name(); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
	if _, err := New("gzip"); err == nil || !strings.Contains(err.Error(), `"gzip"`) {
		t.Errorf("got %v", err)
	}
}

// Objects that the official client wrote of "hello world " times 500.
var vectors = map[string]string{
	"lz4":  "cf68656c6c6f20776f726c64200c00" + strings.Repeat("ff", 23) + "63506f726c6420",
	"zstd": "28b52ffd607016a500006068656c6c6f20776f726c6420010061f7be2401",
}

func TestOfficialObjects(t *testing.T) {
	text := []byte(strings.Repeat("hello world ", 500))
	for name, text16 := range vectors {
		object, err := hex.DecodeString(text16)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, len(text))
		n, err := codec(t, name).Decompress(dst, object)
		if err != nil || !bytes.Equal(dst[:n], text) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		if _, err := codec(t, name).Decompress(make([]byte, len(text)-1), object); err == nil {
			t.Errorf("%s: fits into less than its size", name)
		}
	}
}

// samples are data of all kinds around the edges of the formats.
func samples() map[string][]byte {
	s := map[string][]byte{}
	noise := rand.NewChaCha8([32]byte{1})
	for _, n := range []int{0, 1, 12, 14, 15, 16, 17, 269, 270, 271, 525, 4095, 4096, 65535, 65536, 1 << 20, 4<<20 + 1} {
		random := make([]byte, n)
		noise.Read(random)
		s[fmt.Sprintf("noise %d", n)] = random
		s[fmt.Sprintf("zeros %d", n)] = make([]byte, n)
		s[fmt.Sprintf("text %d", n)] = []byte(strings.Repeat("a line of text\n", n/15+1))[:n]
	}
	return s
}

func TestRoundTrip(t *testing.T) {
	for _, name := range []string{"none", "lz4", "zstd"} {
		c := codec(t, name)
		for kind, src := range samples() {
			packed := make([]byte, c.Bound(len(src)))
			n, err := c.Compress(packed, src)
			if err != nil || n > len(packed) || (n == 0 && name != "none") {
				t.Errorf("%s, %s: %d of %d bytes, %v", name, kind, n, len(packed), err)
				continue
			}
			dst := make([]byte, len(src))
			m, err := c.Decompress(dst, packed[:n])
			if err != nil || !bytes.Equal(dst[:m], src) {
				t.Errorf("%s, %s: back %d bytes, %v", name, kind, m, err)
			}
			if strings.HasPrefix(kind, "zeros") && name != "none" && len(src) >= 4096 && n > len(src)/10 {
				t.Errorf("%s, %s: %d bytes are not compressed", name, kind, n)
			}
		}
	}
}

// The own encoding for what the library refuses is a valid block.
func TestLiterals(t *testing.T) {
	c := codec(t, "lz4")
	for kind, src := range samples() {
		packed := make([]byte, literalBound(len(src)))
		n := literals(packed, src)
		dst := make([]byte, len(src))
		if m, err := c.Decompress(dst, packed[:n]); err != nil || !bytes.Equal(dst[:m], src) {
			t.Errorf("%s: %d bytes, %v", kind, m, err)
		}
	}
}

func TestZstdFrame(t *testing.T) {
	c := codec(t, "zstd")
	src := make([]byte, 4<<20)
	dst := make([]byte, c.Bound(len(src)))
	n, err := c.Compress(dst, src)
	if err != nil || n < 6 {
		t.Fatal(n, err)
	}
	// Magic number, then the descriptor: bit 5 is the single segment, the upper two the size of the size.
	if !bytes.Equal(dst[:4], []byte{0x28, 0xb5, 0x2f, 0xfd}) || dst[4]&0x20 == 0 {
		t.Errorf("frame begins % x", dst[:6])
	}
	if size := uint32(dst[5]) | uint32(dst[6])<<8 | uint32(dst[7])<<16 | uint32(dst[8])<<24; dst[4]>>6 != 2 || size != 4<<20 {
		t.Errorf("content size %d, descriptor %#x", size, dst[4])
	}
}

func TestShortBuffers(t *testing.T) {
	src := make([]byte, 1000)
	rand.NewChaCha8([32]byte{2}).Read(src)
	for _, name := range []string{"none", "lz4", "zstd"} {
		c := codec(t, name)
		if _, err := c.Compress(make([]byte, 500), src); err == nil {
			t.Errorf("%s: compressed noise into half of its size", name)
		}
		packed := make([]byte, c.Bound(len(src)))
		n, err := c.Compress(packed, src)
		if err != nil {
			t.Fatal(err)
		}
		short := make([]byte, 999, 2000) // the room behind it must not be used
		if m, err := c.Decompress(short, packed[:n]); err == nil {
			t.Errorf("%s: %d bytes fit into 999", name, m)
		}
	}
}

func TestDamagedData(t *testing.T) {
	for _, name := range []string{"lz4", "zstd"} {
		c := codec(t, name)
		for _, src := range [][]byte{nil, {}, []byte("\xff\xff\xff"), []byte("no compressed data at all, but text")} {
			if n, err := c.Decompress(make([]byte, 100), src); err == nil {
				t.Errorf("%s: %q gives %d bytes", name, src, n)
			}
		}
	}
	c := codec(t, "zstd")
	src := []byte(strings.Repeat("checksums find this ", 100))
	packed := make([]byte, c.Bound(len(src)))
	n, err := c.Compress(packed, src)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		packed[i] ^= 0x10
		dst := make([]byte, len(src))
		if m, err := c.Decompress(dst, packed[:n]); err == nil && !bytes.Equal(dst[:m], src) {
			t.Errorf("a flipped bit in byte %d goes through", i)
		}
		packed[i] ^= 0x10
	}
}

func TestConcurrentUse(t *testing.T) {
	for _, name := range []string{"lz4", "zstd"} {
		c := codec(t, name)
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				src := bytes.Repeat([]byte{byte(g), 1, 2, byte(g)}, 5000)
				packed, dst := make([]byte, c.Bound(len(src))), make([]byte, len(src))
				for range 20 {
					n, err := c.Compress(packed, src)
					if err != nil {
						t.Error(err)
					}
					if m, err := c.Decompress(dst, packed[:n]); err != nil || !bytes.Equal(dst[:m], src) {
						t.Error("other data", err)
					}
				}
			})
		}
		wg.Wait()
	}
}

func FuzzDecompress(f *testing.F) {
	for _, v := range vectors {
		object, err := hex.DecodeString(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(object)
	}
	codecs := []Codec{codec(f, "lz4"), codec(f, "zstd")}
	f.Fuzz(func(t *testing.T, src []byte) {
		buf := make([]byte, 8192)
		for _, c := range codecs {
			n, err := c.Decompress(buf[:4096], src)
			if err == nil && n > 4096 {
				t.Errorf("%s: %d bytes", c.Name(), n)
			}
			if !bytes.Equal(buf[4096:], make([]byte, 4096)) {
				t.Fatalf("%s wrote behind the buffer", c.Name())
			}
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	src := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{3}).Read(src[:2<<20])
	for _, name := range []string{"lz4", "zstd"} {
		c := codec(b, name)
		packed, dst := make([]byte, c.Bound(len(src))), make([]byte, len(src))
		n, err := c.Compress(packed, src)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/compress", func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Compress(packed, src); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/decompress", func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Decompress(dst, packed[:n]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
