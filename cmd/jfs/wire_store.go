package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"jfs/meta"
	"jfs/object"
	"jfs/object/encrypt"
	"jfs/object/file"
	"jfs/object/s3"
)

// storeOptions are what a client wants of the object store beyond the volume's settings.
type storeOptions struct {
	retry object.RetryOptions
	// up and down hold the bandwidth; nil: no limit
	up, down *rate.Limiter
	told     object.Observer // of requests, besides the log; nil: nobody
	away     distance        // that the store is made to have
}

// envPassphrase unlocks the private key of a volume with encrypted data.
const envPassphrase = "JFS_RSA_PASSPHRASE"

// openStore builds the store of a volume's objects; keys are those below the volume's name.
func (a *app) openStore(ctx context.Context, f meta.Format, o storeOptions) (object.Store, error) {
	o.retry.Log = a.log
	shards := make([]object.Store, max(f.Shards, 1))
	for i := range shards {
		bucket := f.Bucket
		if f.Shards > 1 {
			bucket = strings.ReplaceAll(bucket, "%d", fmt.Sprint(i))
		}
		raw, err := openBucket(ctx, f, bucket)
		if err != nil {
			return nil, err
		}
		shards[i] = object.Measure(object.Limit(object.Retry(o.away.before(raw), o.retry), o.up, o.down), requestLog{a.log, o.told})
	}
	store := shards[0]
	if len(shards) > 1 {
		store = object.Sharded(shards)
	}
	store = object.Prefix(store, f.Name+"/")
	if f.EncryptKey == "" {
		return store, nil
	}
	c, err := a.openCipher(f.EncryptKey, f.EncryptAlgo)
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", f.Name, err)
	}
	return encrypt.New(store, c), nil
}

// openCipher makes the cipher of a private key in PEM form, with the pass phrase of the environment.
func (a *app) openCipher(key, algorithm string) (*encrypt.Cipher, error) {
	private, err := encrypt.ParseKey(key, a.getenv(envPassphrase))
	if errors.Is(err, encrypt.ErrPassphrase) {
		return nil, fmt.Errorf("%w: set it in the environment as %s", err, envPassphrase)
	}
	if err != nil {
		return nil, err
	}
	return encrypt.NewCipher(private, algorithm)
}

// openBucket makes the client of one bucket.
func openBucket(ctx context.Context, f meta.Format, bucket string) (object.Store, error) {
	switch kind := strings.ToLower(f.Storage); kind {
	case "file", "":
		return file.New(bucket)
	case "s3", "minio":
		return s3.New(ctx, s3.Options{
			Bucket: bucket, AccessKey: f.AccessKey, SecretKey: f.SecretKey, SessionToken: f.SessionToken,
			StorageClass: f.StorageClass, Minio: kind == "minio",
		})
	default:
		return nil, fmt.Errorf("object stores of kind %q are not supported: use file, s3 or minio", f.Storage)
	}
}

// requestLog writes every request to the log, at debug level, and tells it on.
type requestLog struct {
	log  *slog.Logger
	told object.Observer // nil: nobody
}

func (r requestLog) Observe(op object.Op, bytes int64, took time.Duration, err error) {
	if r.told != nil {
		r.told.Observe(op, bytes, took, err)
	}
	if r.log.Enabled(context.Background(), slog.LevelDebug) {
		r.log.Debug("object request", "op", op, "bytes", bytes, "took", took, "err", err)
	}
}

// storage are the settings that decide what openStore builds.
func storage(f meta.Format) [9]string {
	return [9]string{f.Name, f.Storage, f.Bucket, f.StorageClass, f.AccessKey, f.SecretKey, f.SessionToken, fmt.Sprint(f.Shards), f.EncryptKey}
}

// limiters hold the bandwidth of a client.
type limiters struct{ up, down *rate.Limiter }

func newLimiters() limiters { return limiters{object.NewLimiter(0), object.NewLimiter(0)} }

// set takes limits in Mbit/s, 0 for none.
func (l limiters) set(up, down int64) {
	const bytes = 1_000_000 / 8 // a second, in each Mbit/s
	object.SetRate(l.up, up*bytes)
	object.SetRate(l.down, down*bytes)
}

// isMissing says that a bucket or directory is not there yet.
func isMissing(err error) bool { return errors.Is(err, object.ErrNotFound) }
