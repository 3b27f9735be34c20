package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"jfs/object"
)

// listPage is the most that S3 lists in one answer.
const listPage = 1000

// Get opens a range of an object.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	switch {
	case key == "":
		return nil, s.noKey(object.OpGet, object.ErrNotFound)
	case off < 0:
		return nil, fmt.Errorf("s3: get %s: offset %d is negative: %w", key, off, object.ErrInvalid)
	case n == 0: // no range can say this
		if _, err := s.Head(ctx, key); err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(nil)), nil
	case n > math.MaxInt64-off:
		n = -1
	}
	in := &s3.GetObjectInput{Bucket: &s.at.bucket, Key: &key}
	switch {
	case n > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	case off > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", off))
	}
	out, err := s.client.GetObject(ctx, in)
	if err != nil {
		if code, status := codeOf(err); in.Range != nil && (code == "InvalidRange" || status == 416) {
			return io.NopCloser(bytes.NewReader(nil)), nil
		}
		return nil, s.fail(ctx, object.OpGet, key, err)
	}
	body := &body{ctx: ctx, key: key, rc: out.Body, r: out.Body}
	if in.Range != nil && out.ContentRange == nil { // the server sends the whole object
		if err := body.narrow(off, n); err != nil {
			out.Body.Close()
			return nil, err
		}
	}
	return body, nil
}

// body is a Get's answer. It fails at once when ctx ends, whatever the connection has buffered.
type body struct {
	ctx context.Context
	key string
	rc  io.ReadCloser
	r   io.Reader // rc, or a part of it
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, fmt.Errorf("s3: read %s: %w", b.key, err)
	}
	n, err := b.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := b.ctx.Err(); cause != nil {
			err = cause
		}
		err = fmt.Errorf("s3: read %s: %w", b.key, err)
	}
	return n, err
}

func (b *body) Close() error { return b.rc.Close() }

func (b *body) narrow(off, n int64) error {
	if _, err := io.CopyN(io.Discard, b, off); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n >= 0 {
		b.r = io.LimitReader(b.rc, n)
	}
	return nil
}

// Put stores an object.
func (s *Store) Put(ctx context.Context, key string, body io.ReadSeeker) error {
	if key == "" {
		return s.noKey(object.OpPut, object.ErrInvalid)
	}
	n, err := object.Remaining(body)
	if err != nil {
		return fmt.Errorf("s3: put %s: %w", key, err)
	}
	held := &held{body: body}
	_, err = s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.at.bucket, Key: &key, Body: held, ContentLength: &n, StorageClass: s.class,
	}, s.put...)
	if bodyErr := held.drop(); bodyErr != nil && err != nil {
		return fmt.Errorf("s3: put %s: read the body: %w", key, bodyErr)
	}
	if err != nil {
		return s.fail(ctx, object.OpPut, key, err)
	}
	return nil
}

// putOptions lets TLS alone protect the bytes where there is TLS: hashing each block to sign it costs more
// than encrypting it. Plain HTTP keeps the signed hash.
func putOptions(endpoint string) []func(*s3.Options) {
	if !strings.HasPrefix(endpoint, "https://") {
		return nil
	}
	return []func(*s3.Options){s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)}
}

// held lends a body to the HTTP client, whose sending goroutine may outlive a request that failed. After
// drop nothing touches the caller's memory.
type held struct {
	mu   sync.Mutex // guards the rest
	body io.ReadSeeker
	err  error
}

var errDropped = errors.New("the request has ended")

func (h *held) Read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.body == nil {
		return 0, errDropped
	}
	n, err := h.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		h.err = err
	}
	return n, err
}

func (h *held) Seek(offset int64, whence int) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.body == nil {
		return 0, errDropped
	}
	return h.body.Seek(offset, whence)
}

// drop ends the loan and returns the error that the body gave, if any.
func (h *held) drop() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.body = nil
	return h.err
}

// List returns a page of the bucket.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, bool, error) {
	if limit <= 0 {
		return nil, false, fmt.Errorf("s3: list %s: limit %d is not positive: %w", prefix, limit, object.ErrInvalid)
	}
	infos := make([]object.Info, 0, min(limit, listPage))
	for {
		in := &s3.ListObjectsV2Input{
			Bucket: &s.at.bucket, Prefix: &prefix, MaxKeys: aws.Int32(int32(min(limit-len(infos), listPage))),
		}
		if after != "" {
			in.StartAfter = aws.String(after)
		}
		out, err := s.client.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, false, s.fail(ctx, object.OpList, prefix, err)
		}
		for _, o := range out.Contents {
			key := aws.ToString(o.Key)
			if key <= after || len(infos) == limit {
				return nil, false, fmt.Errorf("s3: list %s in bucket %s: the server does not keep to the order, start or size asked for", prefix, s.at.bucket)
			}
			infos = append(infos, object.Info{Key: key, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)})
			after = key
		}
		switch {
		case !aws.ToBool(out.IsTruncated):
			return infos, false, nil
		case len(infos) == limit:
			return infos, true, nil
		case len(out.Contents) == 0:
			return nil, false, fmt.Errorf("s3: list %s in bucket %s: the server promises more after %q and gives nothing", prefix, s.at.bucket, after)
		}
	}
}
