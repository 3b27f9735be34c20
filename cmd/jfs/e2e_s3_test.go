package main

import (
	"strings"
	"testing"

	"jfs/internal/testenv"
)

// TestE2EObjectStore: a volume in buckets of a server that speaks S3, which format makes.
func TestE2EObjectStore(t *testing.T) {
	w := newWorld(t)
	endpoint, access, secret := testenv.VersityGW(t)
	w.env = []string{envAccessKey + "=" + access}
	w.refused("access denied", "format", "--storage", "minio", "--bucket", endpoint+"/first", "--secret-key", "falsch", "sqlite3://$/m.db", "myjfs")

	w.env = append(w.env, envSecretKey+"="+secret)
	w.ok("format", "--storage", "s3", "--shards", "2", "--hash-prefix", "--compress", "zstd", "--bucket", endpoint+"/shard-%d", "sqlite3://$/m.db", "myjfs")
	w.env = nil // from here on the keys are those of the volume
	if status := w.ok("status", "sqlite3://$/m.db"); strings.Contains(status, secret) || !strings.Contains(status, `"KeyEncrypted"`) && !strings.Contains(status, `"SecretKey": "removed"`) {
		t.Errorf("status: %s", status)
	}
	w.mount()
	data := content(9<<20, 1)
	w.write("mnt/dir/big", data)
	w.ok("umount", "$/mnt")
	w.mount("--cache-dir", "memory", "--upload-limit", "800", "--download-limit", "800")
	w.holds("mnt/dir/big", data)
	w.ok("umount", "$/mnt")
	w.refused("is not empty", "format", "--storage", "s3", "--shards", "2", "--access-key", access, "--secret-key", secret,
		"--bucket", endpoint+"/shard-%d", "sqlite3://$/other.db", "myjfs")
	w.refused("access denied", "config", "--secret-key", "falsch", "sqlite3://$/m.db")
}
