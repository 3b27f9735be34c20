package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/youmark/pkcs8"

	"jfs/object/encrypt"
)

// TestE2EEncrypted: nothing of what a volume with encrypted data holds can be read in its store, and nothing can be
// done with the volume without the pass phrase of its key.
func TestE2EEncrypted(t *testing.T) {
	for _, algorithm := range []string{encrypt.AES, encrypt.ChaCha} {
		t.Run(algorithm, func(t *testing.T) { encrypted(t, algorithm) })
	}
}

func encrypted(t *testing.T, algorithm string) {
	const passphrase = "open sesame"
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pkcs8.MarshalPrivateKey(key, []byte(passphrase), nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))
	format := []string{"format", "--bucket", "$/objects", "--compress", "lz4", "--encrypt-rsa-key", "$/key.pem", "--encrypt-algo", algorithm, "sqlite3://$/m.db", "myjfs"}
	w.refused("JFS_RSA_PASSPHRASE", format...)
	w.env = []string{envPassphrase + "=wrong"}
	w.refused("JFS_RSA_PASSPHRASE", format...)
	w.env = []string{envPassphrase + "=" + passphrase}
	w.refused("no such file", "format", "--bucket", "$/objects", "--encrypt-rsa-key", "$/no.pem", "sqlite3://$/m.db", "myjfs")
	w.ok(format...)

	w.mount()
	text, big := bytes.Repeat([]byte("plain text "), 1000), content(9<<20, 1)
	w.write("mnt/dir/text", text)
	w.write("mnt/dir/big", big)
	w.ok("umount", "$/mnt")
	w.mount("--cache-dir", "memory")
	w.holds("mnt/dir/big", big)
	w.holds("mnt/dir/text", text)
	w.ok("umount", "$/mnt")
	w.ok("fsck", "sqlite3://$/m.db")
	if out := w.ok("gc", "sqlite3://$/m.db"); !strings.Contains(out, " 0 leaked") {
		t.Errorf("gc: %s", out)
	}
	if status := w.ok("status", "sqlite3://$/m.db"); strings.Contains(status, "PRIVATE KEY") || !strings.Contains(status, algorithm) {
		t.Errorf("status: %s", status)
	}
	none := func(root string, secrets ...string) {
		t.Helper()
		err := filepath.WalkDir(w.path(root), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			for _, s := range secrets {
				if bytes.Contains(b, []byte(s)) {
					t.Errorf("%s can be read in %s", s, path)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	none("objects", "plain text", string(big[:16]))
	none("m.db", "PRIVATE KEY", passphrase)

	w.env = nil
	w.refused("JFS_RSA_PASSPHRASE", "mount", "--cache-dir", "$/cache", "sqlite3://$/m.db", "$/mnt")
	w.refused("JFS_RSA_PASSPHRASE", "fsck", "sqlite3://$/m.db")
}

// TestE2ELoadEncrypted: a backup in the store of such a volume can be loaded.
func TestE2ELoadEncrypted(t *testing.T) {
	w := newWorld(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pkcs8.MarshalPrivateKey(key, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	w.format("--encrypt-rsa-key", "$/key.pem")
	w.ok("dump", "sqlite3://$/m.db", "$/dump.json.gz")
	plain, err := os.ReadFile(w.path("dump.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := encrypt.NewCipher(key, "")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := c.Seal(nil, plain)
	if err != nil {
		t.Fatal(err)
	}
	w.write("backup.json.gz", sealed)
	w.refused("backup.json.gz", "load", "sqlite3://$/other.db", "$/backup.json.gz")
	w.ok("load", "--encrypt-rsa-key", "$/key.pem", "sqlite3://$/other.db", "$/backup.json.gz")
	if status := w.ok("status", "sqlite3://$/other.db"); !strings.Contains(status, `"myjfs"`) {
		t.Errorf("status: %s", status)
	}
}
