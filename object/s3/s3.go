// Package s3 is an object store in a bucket of Amazon S3 or of a server that speaks its protocol.
//
// Every method sends one request; wrappers of package object repeat, limit and measure.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"jfs/object"
)

// setupTimeout bounds what New asks the network: where a bucket is, and for credentials.
const setupTimeout = 10 * time.Second

// defaultRegion is where S3 looks for a bucket of which nothing is known; other servers mostly ignore it.
const defaultRegion = "us-east-1"

// Options says where the bucket is and who asks. Only Bucket is needed.
type Options struct {
	// Bucket is the volume's Bucket field: "name", "https://name.host", "https://host/name",
	// "http://127.0.0.1:9000/name".
	Bucket string

	// AccessKey and SecretKey go together. Without them, the environment and the shared configuration
	// files of the AWS tools are asked, for AWS itself also the other ways of the SDK (roles, instance
	// metadata); a server that is not AWS is then used anonymously. AccessKey "anonymous" says so.
	AccessKey, SecretKey, SessionToken string

	Region       string // empty: from the host name, the environment, or AWS, else us-east-1
	StorageClass string // of new objects; empty: the bucket's default

	// Minio reads Bucket as the storage type "minio" does: path style, plain HTTP by default, and
	// MINIO_ACCESS_KEY, MINIO_SECRET_KEY in the environment.
	Minio bool

	Getenv func(string) string // nil means os.Getenv
}

// Store is a bucket.
type Store struct {
	client  *s3.Client
	http    *http.Client
	at      location
	region  string
	class   types.StorageClass
	put     []func(*s3.Options)
	secrets []string // never to be shown
	noBulk  atomic.Bool
}

var _ object.Store = (*Store)(nil)

// New makes a store. It asks the network only for a bucket at AWS whose region or credentials are not
// given, for at most ten seconds.
func New(ctx context.Context, o Options) (*Store, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	at, err := locate(o.Bucket, o.Minio)
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()

	client := newHTTP()
	region := first(o.Region, at.region, o.Getenv("AWS_REGION"), o.Getenv("AWS_DEFAULT_REGION"), o.Getenv("MINIO_REGION"))
	if region == "" && at.aws {
		region = discover(ctx, client, "https://s3.amazonaws.com/"+url.PathEscape(at.bucket))
	}
	region = first(region, defaultRegion)
	creds, err := credentials(ctx, o, at, region)
	if err != nil {
		client.CloseIdleConnections()
		return nil, fmt.Errorf("s3: %w", err)
	}
	if at.endpoint == "" {
		at.endpoint = awsEndpoint(region)
	}

	s := &Store{http: client, at: at, region: region, class: types.StorageClass(o.StorageClass)}
	for _, secret := range []string{o.SecretKey, o.SessionToken, o.AccessKey} {
		if len(secret) >= 4 { // shorter ones would blot out ordinary words
			s.secrets = append(s.secrets, secret)
		}
	}
	s.client = s3.New(s3.Options{
		BaseEndpoint: aws.String(at.endpoint),
		Region:       region,
		UsePathStyle: at.pathStyle,
		Credentials:  creds,
		HTTPClient:   client,
		Retryer:      aws.NopRetryer{}, // object.Retry knows the caller's limits
		// Servers other than AWS refuse or ignore the newer checksum trailers.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		// Waiting for "100 Continue" would cost each block a round trip, and some servers never answer it.
		ContinueHeaderThresholdBytes:              -1,
		DisableLogOutputChecksumValidationSkipped: true,
	})
	s.put = putOptions(at.endpoint)
	return s, nil
}

// String names the bucket, and the server unless it is AWS.
func (s *Store) String() string {
	if s.at.aws {
		return "s3://" + s.at.bucket + "/"
	}
	_, host, _ := strings.Cut(s.at.endpoint, "://")
	return "s3://" + host + "/" + s.at.bucket + "/"
}

// Close closes idle connections. Requests that are under way go on.
func (s *Store) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Create makes the bucket unless it is there and may be used.
func (s *Store) Create(ctx context.Context) error {
	head := func() error {
		_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.at.bucket})
		return err
	}
	err := head()
	if err == nil {
		return nil
	}
	if !errors.Is(kindOf(err), object.ErrNotFound) {
		return s.fail(ctx, object.OpCreate, "", err)
	}
	in := &s3.CreateBucketInput{Bucket: &s.at.bucket}
	if s.region != defaultRegion { // S3 refuses its default as a constraint
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(s.region)}
	}
	_, err = s.client.CreateBucket(ctx, in)
	switch code, _ := codeOf(err); code {
	case "BucketAlreadyOwnedByYou":
		return nil
	case "BucketAlreadyExists": // somebody else's, or made by us a moment ago on a server that does not tell
		if head() == nil {
			return nil
		}
	}
	if err != nil {
		return s.fail(ctx, object.OpCreate, "", err)
	}
	return nil
}

// Head describes an object.
func (s *Store) Head(ctx context.Context, key string) (object.Info, error) {
	if key == "" {
		return object.Info{}, s.noKey(object.OpHead, object.ErrNotFound)
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.at.bucket, Key: &key})
	if err != nil {
		return object.Info{}, s.fail(ctx, object.OpHead, key, err)
	}
	return object.Info{Key: key, Size: aws.ToInt64(out.ContentLength), Modified: aws.ToTime(out.LastModified)}, nil
}

// Delete removes an object.
func (s *Store) Delete(ctx context.Context, key string) error {
	if key == "" {
		return s.noKey(object.OpDelete, object.ErrInvalid)
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.at.bucket, Key: &key})
	if err == nil {
		return nil
	}
	if code, _ := codeOf(err); errors.Is(kindOf(err), object.ErrNotFound) && code != "NoSuchBucket" {
		return nil
	}
	return s.fail(ctx, object.OpDelete, key, err)
}

func (s *Store) noKey(op object.Op, kind error) error {
	return fmt.Errorf("s3: %s in bucket %s: the key is empty: %w", op, s.at.bucket, kind)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
