package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The keys of the root user of every VersityGW.
const (
	S3AccessKey = "testaccess"
	S3SecretKey = "testsecretkey"
)

// VersityGW starts an S3 server without buckets, and returns its URL (http://host:port) and the keys of
// its root user. Buckets are addressed by path.
func VersityGW(tb testing.TB) (endpoint, accessKey, secretKey string) {
	tb.Helper()
	s := StartVersityGW(tb)
	return "http://" + s.Addr, S3AccessKey, S3SecretKey
}

// StartVersityGW is VersityGW for tests that stop, kill or start it again; its objects survive that.
func StartVersityGW(tb testing.TB) *Server {
	tb.Helper()
	binary, err := findVersityGW()
	if err != nil {
		tb.Fatalf("versitygw is not there (%v): run `make tools`", err)
	}
	dir := tb.TempDir()
	return launch(tb, &Server{
		name:   "versitygw",
		binary: binary,
		args: func(addr string) []string {
			return []string{"--port", addr, "--keep-alive", "--quiet", "posix", dir}
		},
		env:   []string{"ROOT_ACCESS_KEY=" + S3AccessKey, "ROOT_SECRET_KEY=" + S3SecretKey},
		ready: httpReady,
	})
}

// findVersityGW looks where JFS_TEST_VERSITYGW says, else where `make tools` puts it, else in PATH.
func findVersityGW() (string, error) {
	if path := os.Getenv("JFS_TEST_VERSITYGW"); path != "" {
		return exec.LookPath(path)
	}
	if root, err := moduleRoot(); err == nil {
		if path, err := exec.LookPath(filepath.Join(root, ".build", "bin", "versitygw")); err == nil {
			return path, nil
		}
	}
	return exec.LookPath("versitygw")
}

// moduleRoot is the directory of go.mod; tests run in the directory of their package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod above the working directory: %w", os.ErrNotExist)
		}
		dir = parent
	}
}

// httpReady takes any answer, also a refusal.
func httpReady(ctx context.Context, addr string) error {
	_, err := httpStatus(ctx, addr, "/")
	return err
}
