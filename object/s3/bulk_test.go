package s3

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"jfs/internal/testenv"
	"jfs/object"
)

func TestDeleteBulk(t *testing.T) {
	endpoint, access, secret := testenv.VersityGW(t)
	s, err := New(t.Context(), Options{Bucket: endpoint + "/bulk", AccessKey: access, SecretKey: secret, Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := []string{"absent", "a&b<c>", "with space/ünder", "quote'\"", "twice", "twice"}
	for i := len(keys); i < bulkLimit; i++ {
		keys = append(keys, fmt.Sprintf("k/%d", i))
	}
	var g errgroup.Group
	g.SetLimit(16)
	for _, key := range append(slices.Clone(keys[1:]), "kept") {
		g.Go(func() error { return s.Put(t.Context(), key, strings.NewReader("x")) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if errs := s.DeleteBulk(t.Context(), keys); errs != nil {
		t.Errorf("%v", errs)
	}
	infos, more, err := s.List(t.Context(), "", "", 10)
	if err != nil || more || len(infos) != 1 || infos[0].Key != "kept" {
		t.Errorf("left: %+v, %v, %v", infos, more, err)
	}
	if errs := s.DeleteBulk(t.Context(), make([]string, bulkLimit+1)); len(errs) != bulkLimit+1 || !errors.Is(errs[0], object.ErrInvalid) {
		t.Errorf("too many keys: %d answers", len(errs))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if errs := s.DeleteBulk(ctx, []string{"kept", "k"}); len(errs) != 2 || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("cancelled: %v", errs)
	}
	for _, bad := range []string{"absent-bucket", "bulk"} {
		other, err := New(t.Context(), Options{Bucket: endpoint + "/" + bad, AccessKey: access, SecretKey: map[string]string{"bulk": "wrong-secret-key", "absent-bucket": secret}[bad], Getenv: func(string) string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]error{"bulk": object.ErrDenied, "absent-bucket": object.ErrNotFound}[bad]
		if errs := other.DeleteBulk(t.Context(), []string{"a", "b"}); len(errs) != 2 || !errors.Is(errs[1], want) || other.BulkLimit() != bulkLimit {
			t.Errorf("%s: %v", bad, errs)
		}
		other.Close()
	}
}

func TestDeleteBulkIsOneRequestWithMD5(t *testing.T) {
	var body []byte
	s, seen := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		fmt.Fprint(w, `<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code><Message>locked s3cr3tvalue</Message></Error>
			<Error><Key>c</Key><Code>NoSuchKey</Code></Error><Error><Key>d</Key><Code>InternalError</Code><Message>try again</Message></Error></DeleteResult>`)
	})
	errs := s.DeleteBulk(t.Context(), []string{"a", "b", "c", "d", "with\x01control", "not\xffutf8", ""})
	if len(*seen) != 1 || len(errs) != 7 {
		t.Fatalf("%d requests, %d answers", len(*seen), len(errs))
	}
	r := (*seen)[0]
	sum := md5.Sum(body)
	if r.Method != http.MethodPost || !r.URL.Query().Has("delete") || r.Header.Get("Content-Md5") != base64.StdEncoding.EncodeToString(sum[:]) ||
		r.Header.Get("X-Amz-Checksum-Crc32") != "" || strings.Count(string(body), "<Object>") != 4 || !strings.Contains(string(body), "<Quiet>true</Quiet>") {
		t.Errorf("%s %s, headers %v, body %s", r.Method, r.URL, r.Header, body)
	}
	if errs[0] != nil || !errors.Is(errs[1], object.ErrDenied) || strings.Contains(errs[1].Error(), "s3cr3t") || errs[2] != nil || errs[3] == nil {
		t.Errorf("%v", errs[:4])
	}
	for _, err := range errs[4:] {
		if !errors.Is(err, object.ErrInvalid) {
			t.Errorf("a key that XML cannot name: %v", err)
		}
	}
}

func TestServerWithoutBulkIsRemembered(t *testing.T) {
	s, seen := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			fault(http.StatusNotImplemented, "NotImplemented", "no")(w, r)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	store := object.Retry(s, object.RetryOptions{})
	for _, want := range []int{4, 7} { // the first time one more
		if errs := object.DeleteAll(t.Context(), store, make(chan struct{}, 1), []string{"a", "b", "c"}); errs != nil {
			t.Error(errs)
		}
		if len(*seen) != want {
			t.Errorf("%d requests, want %d", len(*seen), want)
		}
	}
}
