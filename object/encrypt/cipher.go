// Package encrypt keeps objects encrypted in the store beneath it: each under a key of its own, which is wrapped
// with the volume's RSA key and stored in front of the data (volume format, 11.4).
package encrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// The algorithms, as the volume's setting names them.
const (
	AES    = "aes256gcm-rsa" // AES-256-GCM
	ChaCha = "chacha20-rsa"  // ChaCha20-Poly1305
)

// ErrCorrupt: an object is not what was stored under the key, or was stored with another RSA key.
var ErrCorrupt = errors.New("object cannot be decrypted")

const (
	keySize    = 32
	nonceSize  = 12
	tagSize    = 16
	headSize   = 3 // length of the wrapped key, 2 bytes, most significant first, and of the nonce, 1 byte
	oaepLabel  = "keys"
	maxWrapped = 1 << 11 // bytes, of an RSA key of 16,384 bits
)

// Cipher encrypts and decrypts. It is safe for concurrent use.
type Cipher struct {
	key *rsa.PrivateKey
	new func(key []byte) (cipher.AEAD, error)
}

// NewCipher makes a Cipher; "" as the algorithm means AES.
func NewCipher(key *rsa.PrivateKey, algorithm string) (*Cipher, error) {
	c := &Cipher{key: key}
	switch algorithm {
	case AES, "":
		c.new = func(key []byte) (cipher.AEAD, error) {
			b, err := aes.NewCipher(key)
			if err != nil {
				return nil, err
			}
			return cipher.NewGCM(b)
		}
	case ChaCha:
		c.new = chacha20poly1305.New
	default:
		return nil, fmt.Errorf("cipher %q is not supported: use %s or %s", algorithm, AES, ChaCha)
	}
	return c, nil
}

// Overhead is how many bytes an object has more than what it holds.
func (c *Cipher) Overhead() int { return headSize + c.key.Size() + nonceSize + tagSize }

// Seal appends data to dst in encrypted form. The two must not share memory, unless data begins len(dst)+Overhead()
// less the tag's 16 bytes behind the beginning of dst, where its encrypted form is going to be.
func (c *Cipher) Seal(dst, data []byte) ([]byte, error) {
	var secret [keySize]byte
	var nonce [nonceSize]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, err
	}
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, err
	}
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &c.key.PublicKey, secret[:], []byte(oaepLabel))
	if err != nil {
		return nil, fmt.Errorf("wrap the data key: %w", err)
	}
	aead, err := c.new(secret[:])
	if err != nil {
		return nil, err
	}
	dst = slices.Grow(dst, c.Overhead()+len(data))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(wrapped)))
	dst = append(dst, nonceSize)
	dst = append(append(dst, wrapped...), nonce[:]...)
	return aead.Seal(dst, nonce[:], data, nil), nil
}

// Open decrypts an object in its own memory.
func (c *Cipher) Open(object []byte) ([]byte, error) {
	if len(object) < headSize {
		return nil, fmt.Errorf("%w: it has %d bytes only", ErrCorrupt, len(object))
	}
	k, n := int(binary.BigEndian.Uint16(object)), int(object[2])
	rest := object[headSize:]
	if k == 0 || k > maxWrapped || n != nonceSize || len(rest) < k+n+tagSize {
		return nil, fmt.Errorf("%w: it does not begin like an encrypted object", ErrCorrupt)
	}
	secret, err := rsa.DecryptOAEP(sha256.New(), nil, c.key, rest[:k], []byte(oaepLabel))
	if err != nil || len(secret) != keySize {
		return nil, fmt.Errorf("%w: its data key was wrapped with another RSA key, or is damaged", ErrCorrupt)
	}
	aead, err := c.new(secret)
	if err != nil {
		return nil, err
	}
	nonce, text := rest[k:k+n], rest[k+n:]
	data, err := aead.Open(text[:0], nonce, text, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: the data is damaged, or was encrypted with another cipher", ErrCorrupt)
	}
	return data, nil
}
