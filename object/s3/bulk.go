package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"jfs/object"
)

// bulkLimit is the most keys that S3 takes in one DeleteObjects.
const bulkLimit = 1000

var _ object.BulkDeleter = (*Store)(nil)

// BulkLimit is S3's, and 0 once the server has said that it does not know the request.
func (s *Store) BulkLimit() int {
	if s.noBulk.Load() {
		return 0
	}
	return bulkLimit
}

// DeleteBulk removes objects. Keys that its request, which is XML, cannot name are ErrInvalid.
func (s *Store) DeleteBulk(ctx context.Context, keys []string) []error {
	if len(keys) > bulkLimit {
		return failed(len(keys), fmt.Errorf("s3: delete %d objects of bucket %s: one request takes %d: %w", len(keys), s.at.bucket, bulkLimit, object.ErrInvalid))
	}
	var errs []error
	fail := func(i int, err error) {
		if errs == nil {
			errs = make([]error, len(keys))
		}
		errs[i] = err
	}
	places := make(map[string]int, len(keys)) // a key that is given twice needs to be named once
	ids := make([]types.ObjectIdentifier, 0, len(keys))
	for i, key := range keys {
		if !nameable(key) {
			fail(i, fmt.Errorf("s3: delete %q in bucket %s: not for a bulk request: %w", key, s.at.bucket, object.ErrInvalid))
			continue
		}
		if _, ok := places[key]; !ok {
			places[key] = i
			ids = append(ids, types.ObjectIdentifier{Key: &keys[i]})
		}
	}
	if len(ids) == 0 {
		return errs
	}
	out, err := s.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
		Bucket: &s.at.bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
	}, s3.WithAPIOptions(contentMD5))
	if err != nil {
		if errors.Is(kindOf(err), object.ErrInvalid) {
			s.noBulk.Store(true)
		}
		return failed(len(keys), s.fail(ctx, object.OpDelete, fmt.Sprintf("%s and %d more", *ids[0].Key, len(ids)-1), err))
	}
	for _, e := range out.Errors {
		key, code := aws.ToString(e.Key), aws.ToString(e.Code)
		i, ok := places[key]
		switch kind := kinds(code); {
		case !ok:
			return failed(len(keys), fmt.Errorf("s3: delete %d objects in bucket %s: the server's answer is about %q, which was not asked", len(keys), s.at.bucket, key))
		case code == "NoSuchKey" || code == "NotFound":
		case kind == nil:
			fail(i, fmt.Errorf("s3: delete %s (bucket %s at %s): %s: %s", key, s.at.bucket, s.at.endpoint, code, s.clean(aws.ToString(e.Message))))
		default:
			fail(i, fmt.Errorf("s3: delete %s (bucket %s at %s): %s: %s: %w", key, s.at.bucket, s.at.endpoint, code, s.clean(aws.ToString(e.Message)), kind))
		}
	}
	return errs
}

// failed is the answer of a request that failed as a whole.
func failed(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// nameable says whether a key can stand in XML 1.0.
func nameable(key string) bool {
	return key != "" && utf8.ValidString(key) && !strings.ContainsFunc(key, func(r rune) bool {
		return r < ' ' || r == 0xFFFE || r == 0xFFFF
	})
}

// contentMD5 sends the checksum that all servers understand in the place of the newer one, which only some do. The
// request must have one of them.
func contentMD5(stack *middleware.Stack) error {
	for _, id := range []string{"AWSChecksum:ComputeInputPayloadChecksum", "addInputChecksumTrailer"} {
		if _, ok := stack.Finalize.Get(id); ok {
			if _, err := stack.Finalize.Remove(id); err != nil {
				return err
			}
		}
	}
	if _, ok := stack.Initialize.Get("AWSChecksum:SetupInputContext"); ok {
		if _, err := stack.Initialize.Remove("AWSChecksum:SetupInputContext"); err != nil {
			return err
		}
	}
	return smithyhttp.AddContentChecksumMiddleware(stack)
}
