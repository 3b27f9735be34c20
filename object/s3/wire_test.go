package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"jfs/object"
)

// serve makes a store of a server that answers as told, and keeps the requests.
func serve(t *testing.T, answer http.HandlerFunc) (*Store, *[]*http.Request) {
	t.Helper()
	var seen []*http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Clone(context.Background()))
		answer(w, r)
	}))
	s, err := New(t.Context(), Options{
		Bucket: srv.URL + "/bucket", AccessKey: "AKIDEXAMPLE", SecretKey: "s3cr3tvalue", StorageClass: "STANDARD_IA",
		Getenv: func(string) string { return "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); srv.Close() })
	return s, &seen
}

func fault(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
	}
}

func TestPutIsOnePlainRequest(t *testing.T) {
	var got string
	s, seen := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got = fmt.Sprintf("%d", len(data))
	})
	const size = 4 << 20
	if err := s.Put(t.Context(), "vol/chunks/a b", strings.NewReader(strings.Repeat("x", size))); err != nil {
		t.Fatal(err)
	}
	if len(*seen) != 1 {
		t.Fatalf("%d requests", len(*seen))
	}
	r := (*seen)[0]
	if r.Method != http.MethodPut || r.URL.Path != "/bucket/vol/chunks/a b" || r.ContentLength != size || got != fmt.Sprint(size) {
		t.Errorf("%s %s, length %d, body %s", r.Method, r.URL.Path, r.ContentLength, got)
	}
	for _, h := range []string{"Expect", "Content-Encoding", "X-Amz-Trailer", "X-Amz-Sdk-Checksum-Algorithm", "X-Amz-Checksum-Crc32"} {
		if v := r.Header.Get(h); v != "" {
			t.Errorf("header %s: %s", h, v)
		}
	}
	if len(r.TransferEncoding) != 0 || r.Header.Get("X-Amz-Storage-Class") != "STANDARD_IA" || len(r.Header.Get("X-Amz-Content-Sha256")) != 64 {
		t.Errorf("transfer %v, headers %v", r.TransferEncoding, r.Header)
	}
}

func TestPayloadIsUnsignedOnlyUnderTLS(t *testing.T) {
	if len(putOptions("https://host")) != 1 || len(putOptions("http://host")) != 0 {
		t.Error("the choice does not follow the scheme")
	}
	s, seen := serve(t, func(http.ResponseWriter, *http.Request) {})
	s.put = putOptions("https://host")
	if err := s.Put(t.Context(), "key", strings.NewReader("data")); err != nil {
		t.Fatal(err)
	}
	if v := (*seen)[0].Header.Get("X-Amz-Content-Sha256"); v != "UNSIGNED-PAYLOAD" {
		t.Errorf("hash %q", v)
	}
}

func TestAnswersAreClassified(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   error
	}{
		{404, "NoSuchKey", object.ErrNotFound}, {404, "NoSuchBucket", object.ErrNotFound}, {404, "Whatever", object.ErrNotFound},
		{403, "AccessDenied", object.ErrDenied}, {403, "InvalidAccessKeyId", object.ErrDenied}, {403, "SignatureDoesNotMatch", object.ErrDenied},
		{403, "Whatever", object.ErrDenied}, {401, "Whatever", object.ErrDenied}, {400, "ExpiredToken", object.ErrDenied},
		{503, "SlowDown", object.ErrThrottled}, {503, "Whatever", object.ErrThrottled}, {429, "TooManyRequests", object.ErrThrottled},
		{400, "InvalidBucketName", object.ErrInvalid}, {301, "PermanentRedirect", object.ErrInvalid}, {400, "AuthorizationHeaderMalformed", object.ErrInvalid},
		{400, "RequestTimeout", nil}, {500, "InternalError", nil}, {502, "BadGateway", nil},
	} {
		s, seen := serve(t, fault(c.status, c.code, "in words\n of two lines"))
		_, err := s.Get(t.Context(), "vol/key", 0, -1)
		if err == nil {
			t.Errorf("%s: no error", c.code)
			continue
		}
		for _, kind := range []error{object.ErrNotFound, object.ErrDenied, object.ErrThrottled, object.ErrInvalid} {
			if errors.Is(err, kind) != errors.Is(kind, c.want) {
				t.Errorf("%d %s: %v", c.status, c.code, err)
			}
		}
		text := err.Error()
		for _, part := range []string{"get vol/key", "bucket", s.at.endpoint, c.code, "in words of two lines"} {
			if !strings.Contains(text, part) {
				t.Errorf("%q does not tell %q", text, part)
			}
		}
		if len(*seen) != 1 {
			t.Errorf("%s: %d requests", c.code, len(*seen))
		}
	}
}

func TestErrorsTellNoSecrets(t *testing.T) {
	s, _ := serve(t, fault(403, "SignatureDoesNotMatch", "key AKIDEXAMPLE with s3cr3tvalue"))
	err := s.Put(t.Context(), "key", strings.NewReader("data"))
	if text := err.Error(); strings.Contains(text, "AKIDEXAMPLE") || strings.Contains(text, "s3cr3tvalue") {
		t.Error(text)
	}
}

func TestErrorNamesTheRightRegion(t *testing.T) {
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(regionHeader, "eu-west-1")
		fault(301, "PermanentRedirect", "use the other endpoint")(w, r)
	})
	_, err := s.Head(t.Context(), "key")
	if !errors.Is(err, object.ErrInvalid) || !strings.Contains(err.Error(), "region eu-west-1, not us-east-1") {
		t.Error(err)
	}
}

func TestServerWithoutRanges(t *testing.T) {
	s, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "0123456789") })
	for _, c := range []struct {
		off, n int64
		want   string
	}{{0, -1, "0123456789"}, {3, 4, "3456"}, {0, 2, "01"}, {8, 10, "89"}, {20, 1, ""}, {7, -1, "789"}} {
		body, err := s.Get(t.Context(), "key", c.off, c.n)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(body)
		body.Close()
		if err != nil || string(data) != c.want {
			t.Errorf("[%d, +%d): %q, %v", c.off, c.n, data, err)
		}
	}
}

func TestListDistrustsTheServer(t *testing.T) {
	for name, xml := range map[string]string{
		"no progress": `<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>`,
		"before":      `<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>`,
		"unordered":   `<ListBucketResult><Contents><Key>c</Key></Contents><Contents><Key>b</Key></Contents></ListBucketResult>`,
		"too many":    `<ListBucketResult><Contents><Key>c</Key></Contents><Contents><Key>d</Key></Contents><Contents><Key>e</Key></Contents></ListBucketResult>`,
	} {
		s, seen := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, xml) })
		if infos, _, err := s.List(t.Context(), "", "b", 2); err == nil {
			t.Errorf("%s: %+v", name, infos)
		}
		if len(*seen) != 1 {
			t.Errorf("%s: %d requests", name, len(*seen))
		}
	}
}

func TestCreate(t *testing.T) {
	for _, c := range []struct {
		name     string
		head     []int
		put      string
		want     error
		requests int
	}{
		{"there", []int{200}, "", nil, 1},
		{"new", []int{404}, "ok", nil, 2},
		{"ours by a race", []int{404}, "BucketAlreadyOwnedByYou", nil, 2},
		{"there after all", []int{404, 200}, "BucketAlreadyExists", nil, 3},
		{"somebody's", []int{404, 403}, "BucketAlreadyExists", object.ErrDenied, 3},
		{"denied", []int{403}, "", object.ErrDenied, 1},
	} {
		heads := 0
		s, seen := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodHead:
				w.WriteHeader(c.head[heads])
				heads++
			case c.put != "ok":
				fault(409, c.put, "taken")(w, r)
			}
		})
		if err := s.Create(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if len(*seen) != c.requests {
			t.Errorf("%s: %d requests", c.name, len(*seen))
		}
	}
}

func TestDiscover(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && r.Header.Get("Authorization") == "" {
			w.Header().Set(regionHeader, "eu-central-1")
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	client := newHTTP()
	if got := discover(t.Context(), client, srv.URL+"/bucket"); got != "eu-central-1" {
		t.Errorf("region %q", got)
	}
	client.CloseIdleConnections()
	srv.Close()
	if got := discover(t.Context(), client, srv.URL+"/bucket"); got != "" {
		t.Errorf("region %q of a closed server", got)
	}
}

func TestAWSNeedsNoNetworkWhenAllIsGiven(t *testing.T) {
	for bucket, want := range map[string]string{
		"mybucket": "https://s3.eu-west-3.amazonaws.com",
		"https://mybucket.s3.eu-west-3.amazonaws.com": "https://s3.eu-west-3.amazonaws.com",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // a request would fail
		s, err := New(ctx, Options{Bucket: bucket, AccessKey: "key", SecretKey: "secret", Getenv: func(name string) string {
			return map[string]string{"AWS_REGION": "eu-west-3"}[name]
		}})
		if err != nil {
			t.Fatal(err)
		}
		if s.at.endpoint != want || s.region != "eu-west-3" || s.String() != "s3://mybucket/" {
			t.Errorf("%s: %s, %s, %s", bucket, s.at.endpoint, s.region, s)
		}
	}
	if got := awsEndpoint("cn-north-1"); got != "https://s3.cn-north-1.amazonaws.com.cn" {
		t.Error(got)
	}
}
