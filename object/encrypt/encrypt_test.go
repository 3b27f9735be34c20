package encrypt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/youmark/pkcs8"
	"golang.org/x/crypto/chacha20poly1305"

	"jfs/object"
	"jfs/object/faulty"
	"jfs/object/mem"
	"jfs/object/objecttest"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newCipher(t *testing.T, algorithm string) *Cipher {
	t.Helper()
	c, err := NewCipher(testKey(), algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) {
	for _, algorithm := range []string{AES, ChaCha} {
		t.Run(algorithm, func(t *testing.T) {
			objecttest.Run(t, func(t *testing.T) object.Store { return New(mem.New(), newCipher(t, algorithm)) })
		})
	}
}

// TestContainer takes an object apart by hand.
func TestContainer(t *testing.T) {
	key := testKey()
	for algorithm, newAEAD := range map[string]func([]byte) (cipher.AEAD, error){
		AES: func(k []byte) (cipher.AEAD, error) {
			b, err := aes.NewCipher(k)
			if err != nil {
				return nil, err
			}
			return cipher.NewGCM(b)
		},
		ChaCha: chacha20poly1305.New,
	} {
		o, err := newCipher(t, algorithm).Seal([]byte("front"), []byte("some data"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(o, []byte("front\x01\x00\x0c")) || len(o) != 5+3+256+12+9+16 {
			t.Fatalf("object of %d bytes begins % x", len(o), o[:8])
		}
		o = o[8:]
		secret, err := rsa.DecryptOAEP(sha256.New(), nil, key, o[:256], []byte("keys"))
		if err != nil || len(secret) != 32 {
			t.Fatalf("data key of %d bytes: %v", len(secret), err)
		}
		aead, err := newAEAD(secret)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := aead.Open(nil, o[256:268], o[268:], nil); err != nil || string(data) != "some data" {
			t.Errorf("%s: %q, %v", algorithm, data, err)
		}
	}
}

// TestOpenForeign: the order of things in an object that was made by hand.
func TestOpenForeign(t *testing.T) {
	secret, nonce := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{9}, 12)
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &testKey().PublicKey, secret, []byte("keys"))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := chacha20poly1305.New(secret)
	if err != nil {
		t.Fatal(err)
	}
	o := append([]byte{1, 0, 12}, wrapped...)
	o = aead.Seal(append(o, nonce...), nonce, []byte("foreign"), nil)
	if data, err := newCipher(t, ChaCha).Open(o); err != nil || string(data) != "foreign" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestDamage(t *testing.T) {
	c := newCipher(t, AES)
	whole, err := c.Seal(nil, []byte("data that matters"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if i != 0 && i != 1 && i != 2 && i%16 != 0 && i < len(whole)-40 {
			continue // a decryption with RSA each: not all of them
		}
		if _, err := c.Open(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for n := range whole {
		if n > 300 || n < 20 {
			if _, err := c.Open(bytes.Clone(whole[:n])); !errors.Is(err, ErrCorrupt) {
				t.Errorf("cut to %d bytes: %v", n, err)
			}
		}
	}
	if _, err := newCipher(t, ChaCha).Open(bytes.Clone(whole)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("with another cipher: %v", err)
	}
}

// TestDamagedBody: what came damaged fails when it is read, so that its reader asks for it again as for one that broke off.
func TestDamagedBody(t *testing.T) {
	inner := mem.New()
	s := New(inner, newCipher(t, AES))
	if err := s.Put(t.Context(), "k", strings.NewReader("data")); err != nil {
		t.Fatal(err)
	}
	body, err := inner.Get(t.Context(), "k", 0, 290)
	if err != nil {
		t.Fatal(err)
	}
	cut, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := inner.Put(t.Context(), "k", bytes.NewReader(cut)); err != nil {
		t.Fatal(err)
	}
	if body, err = s.Get(t.Context(), "k", 0, -1); err != nil {
		t.Fatalf("the request itself: %v", err)
	}
	if _, err := io.ReadAll(body); !errors.Is(err, ErrCorrupt) {
		t.Errorf("reading: %v", err)
	}
}

func TestSizes(t *testing.T) {
	inner := mem.New()
	s := New(inner, newCipher(t, AES))
	if err := s.Put(t.Context(), "k", bytes.NewReader(make([]byte, 1000))); err != nil {
		t.Fatal(err)
	}
	if info, err := inner.Head(t.Context(), "k"); err != nil || info.Size != 1000+3+256+12+16 {
		t.Errorf("stored %d bytes, %v", info.Size, err)
	}
	if info, err := s.Head(t.Context(), "k"); err != nil || info.Size != 1000 {
		t.Errorf("size %d, %v", info.Size, err)
	}
}

// TestInPlace: an object is encrypted and decrypted without copies of its data.
func TestDeletesInBulk(t *testing.T) {
	f := faulty.New(mem.NewBulk(10))
	if errs := object.DeleteAll(t.Context(), New(f, newCipher(t, AES)), make(chan struct{}, 1), []string{"a", "b", "c"}); errs != nil || f.Calls(faulty.Delete) != 1 {
		t.Errorf("%v after %d requests", errs, f.Calls(faulty.Delete))
	}
}

func TestInPlace(t *testing.T) {
	c := newCipher(t, AES)
	const size = 4 << 20
	front := c.Overhead() - tagSize
	b := make([]byte, front+size, front+size+tagSize)
	o, err := c.Seal(b[:0], b[front:])
	if err != nil || &o[0] != &b[0] {
		t.Fatalf("the object is elsewhere: %v", err)
	}
	data, err := c.Open(o)
	if err != nil || &data[0] != &o[front] || len(data) != size {
		t.Fatalf("the data is elsewhere: %v", err)
	}
}

func TestParseKey(t *testing.T) {
	key := testKey()
	p8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	locked8, err := pkcs8.MarshalPrivateKey(key, []byte("word"), nil)
	if err != nil {
		t.Fatal(err)
	}
	locked1, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), []byte("word"), x509.PEMCipherAES256) //nolint:staticcheck // such keys are in use
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	protected1, protected8 := string(pem.EncodeToMemory(locked1)), text("ENCRYPTED PRIVATE KEY", locked8)
	for _, c := range []struct {
		name, text, word string
		err              error
	}{
		{"pkcs1", text("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), "", nil},
		{"pkcs8", text("PRIVATE KEY", p8), "", nil},
		{"pkcs1 with a word too many", text("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), "word", nil},
		{"protected pkcs1", protected1, "word", nil},
		{"protected pkcs8", protected8, "word", nil},
		{"protected pkcs1 without a word", protected1, "", ErrPassphrase},
		{"protected pkcs8 without a word", protected8, "", ErrPassphrase},
		{"protected pkcs8 with a wrong word", protected8, "sword", ErrPassphrase},
		{"no pem", "hello", "", ErrKey},
		{"another algorithm", text("PRIVATE KEY", ec), "", ErrKey},
		{"damaged", text("PRIVATE KEY", p8[:100]), "", ErrKey},
	} {
		got, err := ParseKey(c.text, c.word)
		if !errors.Is(err, c.err) || err == nil && !got.Equal(key) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && c.word != "" && strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: the error tells the pass phrase", c.name)
		}
	}
	if _, err := NewCipher(key, "rot13"); err == nil {
		t.Error("a cipher that is not there")
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, algorithm := range []string{AES, ChaCha} {
		b.Run(algorithm, func(b *testing.B) {
			c, err := NewCipher(testKey(), algorithm)
			if err != nil {
				b.Fatal(err)
			}
			const size = 4 << 20
			front := c.Overhead() - tagSize
			buf := make([]byte, front+size, front+size+tagSize)
			b.SetBytes(size)
			for b.Loop() {
				if _, err := c.Seal(buf[:0], buf[front:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
