package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificates are files of a CA of one test, and of what it has signed: for servers at 127.0.0.1, and for clients.
type Certificates struct {
	CA, Cert, Key         string
	ClientCert, ClientKey string
	Client                *tls.Config // of a client that shows its certificate
}

// MakeCertificates makes a CA and signs with it.
func MakeCertificates(tb testing.TB) *Certificates {
	tb.Helper()
	dir := tb.TempDir()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatalf("make certificates: %v", err)
		}
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	sign := func(c, parent *x509.Certificate, with *ecdsa.PrivateKey) (der []byte, key *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		if with == nil {
			with = key
		}
		der, err = x509.CreateCertificate(rand.Reader, c, parent, key.Public(), with)
		must(err)
		return der, key
	}
	template := func(n int64, name string, use x509.ExtKeyUsage) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}}
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	der, caKey := sign(ca, ca, nil)
	c := &Certificates{CA: write("ca.pem", "CERTIFICATE", der)}
	pair := func(name string, t *x509.Certificate) (cert, key string) {
		der, k := sign(t, ca, caKey)
		secret, err := x509.MarshalPKCS8PrivateKey(k)
		must(err)
		return write(name+".pem", "CERTIFICATE", der), write(name+"-key.pem", "PRIVATE KEY", secret)
	}
	server := template(2, "server", x509.ExtKeyUsageServerAuth)
	server.ExtKeyUsage = append(server.ExtKeyUsage, x509.ExtKeyUsageClientAuth) // a server is a client of others
	c.Cert, c.Key = pair("server", server)
	c.ClientCert, c.ClientKey = pair("client", template(3, "client", x509.ExtKeyUsageClientAuth))
	own, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
	must(err)
	pool := x509.NewCertPool()
	text, err := os.ReadFile(c.CA)
	must(err)
	pool.AppendCertsFromPEM(text)
	c.Client = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: "127.0.0.1", Certificates: []tls.Certificate{own}}
	return c
}
