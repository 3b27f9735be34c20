package s3

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awscreds "github.com/aws/aws-sdk-go-v2/credentials"

	"jfs/object"
)

const regionHeader = "X-Amz-Bucket-Region"

// newHTTP makes a client for many parallel transfers to one host. Time limits of whole requests are the
// business of their ctx.
func newHTTP() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:       http.ProxyFromEnvironment,
			DialContext: dialer.DialContext,
			// HTTP/1.1 on purpose: one connection per transfer outruns all of them sharing one.
			ForceAttemptHTTP2:   false,
			TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: 1024, // more than there are transfers, so that no connection is thrown away
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true, // objects come as they are stored
			ReadBufferSize:      32 << 10,
			WriteBufferSize:     32 << 10,
		},
		// A redirect would lose the signature; it is an answer about the region.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// discover asks AWS for the region of a bucket. It answers that to anybody, also with a refusal; no answer
// is no error here, because the first request will tell.
func discover(ctx context.Context, client *http.Client, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return ""
	}
	resp, err := client.Do(req)
	if err != nil {
		return ""
	}
	resp.Body.Close()
	return resp.Header.Get(regionHeader)
}

func awsEndpoint(region string) string {
	host := "https://s3." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	return host
}

// credentials finds the keys. Only for AWS itself it lets the SDK ask the network for them: elsewhere the
// keys of an AWS role are worth nothing, and the address of the instance metadata may hang.
func credentials(ctx context.Context, o Options, at location, region string) (aws.CredentialsProvider, error) {
	if o.Minio && o.AccessKey == "" && o.SecretKey == "" {
		o.AccessKey, o.SecretKey = o.Getenv("MINIO_ACCESS_KEY"), o.Getenv("MINIO_SECRET_KEY")
	}
	switch {
	case o.AccessKey == "anonymous":
		return aws.AnonymousCredentials{}, nil
	case o.AccessKey != "" && o.SecretKey != "":
		return awscreds.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, o.SessionToken), nil
	case o.AccessKey != "" || o.SecretKey != "":
		return nil, fmt.Errorf("only one of access key and secret key is given, give both or none: %w", object.ErrInvalid)
	case at.aws:
		return fromSDK(ctx, region)
	}
	if id, secret := first(o.Getenv("AWS_ACCESS_KEY_ID"), o.Getenv("AWS_ACCESS_KEY")), first(o.Getenv("AWS_SECRET_ACCESS_KEY"), o.Getenv("AWS_SECRET_KEY")); id != "" && secret != "" {
		return awscreds.NewStaticCredentialsProvider(id, secret, o.Getenv("AWS_SESSION_TOKEN")), nil
	}
	shared, err := config.LoadSharedConfigProfile(ctx, first(o.Getenv("AWS_PROFILE"), config.DefaultSharedConfigProfile), func(l *config.LoadSharedConfigOptions) {
		l.CredentialsFiles = files(o.Getenv("AWS_SHARED_CREDENTIALS_FILE"), config.DefaultSharedCredentialsFilename())
		l.ConfigFiles = files(o.Getenv("AWS_CONFIG_FILE"), config.DefaultSharedConfigFilename())
	})
	if err == nil && shared.Credentials.HasKeys() {
		return awscreds.StaticCredentialsProvider{Value: shared.Credentials}, nil
	}
	return aws.AnonymousCredentials{}, nil
}

func fromSDK(ctx context.Context, region string) (aws.CredentialsProvider, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err == nil {
		// Ask now: a mount without keys should fail at once and say so, not at its first read.
		_, err = cfg.Credentials.Retrieve(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("no credentials for AWS (%w): give an access key and a secret key, or \"anonymous\" as the access key: %w", err, object.ErrDenied)
	}
	return cfg.Credentials, nil
}

func files(names ...string) []string {
	name := first(names...)
	if _, err := os.Stat(name); err != nil {
		return []string{}
	}
	return []string{name}
}
