package s3_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"jfs/internal/testenv"
	"jfs/object"
	"jfs/object/objecttest"
	"jfs/object/s3"
)

func noEnv(string) string { return "" }

func open(t testing.TB, o s3.Options) *s3.Store {
	t.Helper()
	if o.Getenv == nil {
		o.Getenv = noEnv
	}
	s, err := s3.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	endpoint, access, secret := testenv.VersityGW(t)
	buckets := 0
	objecttest.Run(t, func(t *testing.T) object.Store {
		buckets++
		return open(t, s3.Options{Bucket: fmt.Sprintf("%s/bucket-%d", endpoint, buckets), AccessKey: access, SecretKey: secret})
	})
}

func TestManyPages(t *testing.T) {
	endpoint, access, secret := testenv.VersityGW(t)
	s := open(t, s3.Options{Bucket: strings.TrimPrefix(endpoint, "http://") + "/pages", Minio: true, AccessKey: access, SecretKey: secret})
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	const n = 1100 // more than one answer of the server holds
	var g errgroup.Group
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error { return s.Put(t.Context(), fmt.Sprintf("k/%05d", i), strings.NewReader("x")) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	infos, more, err := s.List(t.Context(), "k/", "", n-1)
	if err != nil || !more || len(infos) != n-1 || infos[n-2].Key != fmt.Sprintf("k/%05d", n-2) {
		t.Fatalf("%d of %d, more %v, %v", len(infos), n-1, more, err)
	}
	infos, more, err = s.List(t.Context(), "k/", "", 5*n)
	if err != nil || more || len(infos) != n {
		t.Fatalf("%d of %d, more %v, %v", len(infos), n, more, err)
	}
}

func TestAnswersOfAServer(t *testing.T) {
	endpoint, access, secret := testenv.VersityGW(t)
	ctx := t.Context()
	at := endpoint + "/bucket"
	if err := open(t, s3.Options{Bucket: at, AccessKey: access, SecretKey: secret}).Create(ctx); err != nil {
		t.Fatal(err)
	}
	const wrong = "wrong-secret-key"
	for name, c := range map[string]struct {
		o    s3.Options
		want error
	}{
		"missing bucket":  {s3.Options{Bucket: endpoint + "/absent", AccessKey: access, SecretKey: secret}, object.ErrNotFound},
		"wrong secret":    {s3.Options{Bucket: at, AccessKey: access, SecretKey: wrong}, object.ErrDenied},
		"unknown user":    {s3.Options{Bucket: at, AccessKey: "nobody-knows", SecretKey: wrong}, object.ErrDenied},
		"nobody":          {s3.Options{Bucket: at, AccessKey: "anonymous"}, object.ErrDenied},
		"nobody, no keys": {s3.Options{Bucket: at, Getenv: noFiles}, object.ErrDenied},
	} {
		s := open(t, c.o)
		_, getErr := s.Get(ctx, "key", 0, -1)
		_, headErr := s.Head(ctx, "key")
		_, _, listErr := s.List(ctx, "", "", 10)
		putErr := s.Put(ctx, "key", strings.NewReader("data"))
		deleteErr := s.Delete(ctx, "key")
		if errors.Is(headErr, object.ErrNotFound) {
			headErr = c.want // the answer to HEAD has a status and no code
		}
		for op, err := range map[string]error{"get": getErr, "head": headErr, "list": listErr, "put": putErr, "delete": deleteErr} {
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %s: %v", name, op, err)
				continue
			}
			if text := err.Error(); strings.Contains(text, wrong) || strings.Contains(text, secret) || strings.Contains(text, "\n") {
				t.Errorf("%s: %s: %q", name, op, text)
			}
		}
	}
}

// noFiles is an environment that hides the configuration files of this machine.
func noFiles(name string) string {
	if strings.HasSuffix(name, "_FILE") {
		return "/nonexistent"
	}
	return ""
}

func TestKeysFromTheEnvironment(t *testing.T) {
	endpoint, access, secret := testenv.VersityGW(t)
	for name, o := range map[string]s3.Options{
		"aws": {Bucket: endpoint + "/one", Getenv: func(name string) string {
			return map[string]string{"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}[name]
		}},
		"minio": {Bucket: endpoint + "/two", Minio: true, Getenv: func(name string) string {
			return map[string]string{"MINIO_ACCESS_KEY": access, "MINIO_SECRET_KEY": secret, "MINIO_REGION": "us-east-1"}[name]
		}},
	} {
		if err := open(t, o).Create(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnreachableServerFailsInTime(t *testing.T) {
	closed := fmt.Sprintf("http://127.0.0.1:%d/bucket", testenv.ClosedPort(t))
	s := object.Retry(open(t, s3.Options{Bucket: closed, AccessKey: "a", SecretKey: "b"}), object.RetryOptions{
		Attempts: 3, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	_, err := s.Get(t.Context(), "key", 0, -1)
	if err == nil || !strings.Contains(err.Error(), "connection refused") || !strings.Contains(err.Error(), closed[:len(closed)-len("/bucket")]) {
		t.Errorf("got %v", err)
	}
}

func TestSilentServerFailsInTime(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := object.Retry(open(t, s3.Options{Bucket: "http://" + l.Addr().String() + "/bucket", AccessKey: "a", SecretKey: "b"}), object.RetryOptions{
		Attempts: 2, GetTimeout: 20 * time.Millisecond, PutTimeout: 20 * time.Millisecond,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	_, getErr := s.Get(t.Context(), "key", 0, -1)
	putErr := s.Put(t.Context(), "key", strings.NewReader("data"))
	for _, err := range []error{getErr, putErr} {
		if !errors.Is(err, object.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []s3.Options{
		{Bucket: ""},
		{Bucket: "http://127.0.0.1:9000/bucket", AccessKey: "only"},
		{Bucket: "http://127.0.0.1:9000/bucket", SecretKey: "only-the-secret"},
	} {
		o.Getenv = noEnv
		_, err := s3.New(t.Context(), o)
		if !errors.Is(err, object.ErrInvalid) || strings.Contains(err.Error(), "only-the-secret") {
			t.Errorf("%+v: %v", o.Bucket, err)
		}
	}
}
