package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"jfs/object"
)

// kinds says what S3's error codes mean to a caller; codes that are not here are judged by their status.
func kinds(code string) error {
	switch code {
	case "NoSuchKey", "NoSuchBucket", "NotFound":
		return object.ErrNotFound
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidAccessKeyId", "SignatureDoesNotMatch",
		"ExpiredToken", "InvalidToken", "InvalidObjectState", "BucketAlreadyExists",
		"XAdminUserNotFound": // versitygw's answer to an unknown access key, with status 404
		return object.ErrDenied
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "TooManyRequests",
		"RequestLimitExceeded", "ServiceUnavailable":
		return object.ErrThrottled
	case "InvalidBucketName", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException",
		"InvalidLocationConstraint", "InvalidRegion", "InvalidStorageClass", "KeyTooLongError", "EntityTooLarge", "MethodNotAllowed", "NotImplemented":
		return object.ErrInvalid
	}
	return nil
}

// kindOf returns the sentinel for an error of the SDK, nil if it is one that may pass.
func kindOf(err error) error {
	code, status := codeOf(err)
	if kind := kinds(code); kind != nil {
		return kind
	}
	switch status {
	case http.StatusNotFound:
		return object.ErrNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return object.ErrDenied
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return object.ErrThrottled
	case http.StatusMovedPermanently, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return object.ErrInvalid
	}
	return nil
}

// codeOf returns S3's error code and the HTTP status, empty and 0 where there was no answer.
func codeOf(err error) (code string, status int) {
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) {
		status = resp.HTTPStatusCode()
	}
	return code, status
}

// fail makes the one line that people read: operation, key, S3's code and words, bucket and server.
func (s *Store) fail(ctx context.Context, op object.Op, key string, err error) error {
	where := fmt.Sprintf("bucket %s at %s", s.at.bucket, s.at.endpoint)
	what := strings.TrimSpace(op.String() + " " + key)
	code, status := codeOf(err)
	kind := kindOf(err)
	if code == "" && status == 0 {
		if cause := ctx.Err(); cause != nil {
			return fmt.Errorf("s3: %s: %w", what, cause)
		}
		return fmt.Errorf("s3: %s (%s): %w", what, where, inner(err))
	}

	text := code
	if text == "" {
		text = http.StatusText(status)
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorMessage() != "" && api.ErrorMessage() != code {
		text += ": " + s.clean(api.ErrorMessage())
	}
	var resp *awshttp.ResponseError
	if errors.Is(kind, object.ErrInvalid) && errors.As(err, &resp) && resp.HTTPResponse() != nil {
		if region := resp.HTTPResponse().Header.Get(regionHeader); region != "" && region != s.region {
			text += fmt.Sprintf(" (the bucket is in region %s, not %s)", region, s.region)
		}
	}
	if kind == nil {
		return fmt.Errorf("s3: %s (%s): %s, status %d", what, where, text, status)
	}
	return fmt.Errorf("s3: %s (%s): %s: %w", what, where, text, kind)
}

// inner drops the SDK's layers of words around a failure of the network.
func inner(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	var o *smithy.OperationError
	if errors.As(err, &o) {
		return o.Err
	}
	return err
}

// clean makes one line of a server's text and blots out the keys, which some servers repeat.
func (s *Store) clean(text string) string {
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return strings.Join(strings.Fields(text), " ")
}
