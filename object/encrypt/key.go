package encrypt

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/youmark/pkcs8"
)

var (
	// ErrPassphrase: the private key is protected, and the pass phrase is missing or wrong.
	ErrPassphrase = errors.New("the private key cannot be unlocked")
	// ErrKey: what should be a private key is none that this package can use.
	ErrKey = errors.New("not a usable private key")
)

// minKeyBytes is the size of the smallest RSA key accepted, 2,048 bits. A data key of 32 bytes would fit into
// smaller ones, but those can be broken.
const minKeyBytes = 256

// ParseKey reads an RSA private key in PEM form, PKCS#1 or PKCS#8; passphrase is for one that is protected.
func ParseKey(text, passphrase string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("%w: it is not in PEM form", ErrKey)
	}
	der := block.Bytes
	legacy := x509.IsEncryptedPEMBlock(block) //nolint:staticcheck // volumes have such keys
	if (legacy || block.Type == "ENCRYPTED PRIVATE KEY") && passphrase == "" {
		return nil, fmt.Errorf("%w without its pass phrase", ErrPassphrase)
	}
	var key any
	var err error
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY":
		if key, err = pkcs8.ParsePKCS8PrivateKey(der, []byte(passphrase)); err != nil {
			return nil, fmt.Errorf("%w with the pass phrase given", ErrPassphrase)
		}
	case legacy:
		if der, err = x509.DecryptPEMBlock(block, []byte(passphrase)); err != nil { //nolint:staticcheck // as above
			return nil, fmt.Errorf("%w with the pass phrase given", ErrPassphrase)
		}
		key, err = parseDER(der)
	default:
		key, err = parseDER(der)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	private, ok := key.(*rsa.PrivateKey)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: it is for another algorithm than RSA", ErrKey)
	case private.Size() < minKeyBytes:
		return nil, fmt.Errorf("%w: it has %d bits, %d are the least", ErrKey, 8*private.Size(), 8*minKeyBytes)
	}
	return private, nil
}

func parseDER(der []byte) (any, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	return x509.ParsePKCS8PrivateKey(der)
}
