package s3

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"jfs/object"
)

// location is what a volume's Bucket field says about where the objects are.
type location struct {
	endpoint  string // scheme://host[:port] without the bucket; empty: that of the region at AWS
	bucket    string
	region    string // empty when the address does not tell
	pathStyle bool   // the bucket goes into the path and not into the host name
	aws       bool
}

// bucketName holds for every S3 server that is known; stricter rules are left to the server.
var bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)

// locate reads the forms that users give: a bare name (a bucket at AWS), http(s)://bucket.host,
// http(s)://host/bucket, both also without the scheme. A minio address always has the bucket in its path,
// and speaks plain HTTP unless it says otherwise.
func locate(address string, minio bool) (location, error) {
	if bucketName.MatchString(address) && !strings.Contains(address, ".") && !minio {
		return location{bucket: address, aws: true}, nil
	}
	full := address
	if !strings.Contains(full, "://") {
		scheme := "https://"
		if minio {
			scheme = "http://"
		}
		full = scheme + full
	}
	u, err := url.Parse(full)
	// An address that holds a password must not get into an error, so none of the unreadable ones does.
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return location{}, fmt.Errorf("the bucket address is no URL of the form https://host/bucket, without user and password: %w", object.ErrInvalid)
	case u.Scheme != "http" && u.Scheme != "https":
		return location{}, fmt.Errorf("bucket address with scheme %q: use http or https: %w", u.Scheme, object.ErrInvalid)
	case u.RawQuery != "" || u.Fragment != "":
		return location{}, fmt.Errorf("bucket address at %s has a \"?\" or \"#\" part: remove it: %w", u.Host, object.ErrInvalid)
	}

	l := location{bucket: strings.Trim(u.Path, "/"), pathStyle: true}
	host := u.Host
	if rest, ok := awsHost(u.Hostname()); ok {
		l.aws = true
		l.region = rest.region
		if l.bucket == "" {
			l.bucket, l.pathStyle = rest.bucket, false
			host = strings.TrimPrefix(host, rest.bucket+".")
		} else if rest.bucket != "" {
			return location{}, fmt.Errorf("bucket address at %s names a bucket in the host and another in the path: %w", u.Host, object.ErrInvalid)
		}
	} else if l.bucket == "" && !minio {
		if first, rest, ok := strings.Cut(host, "."); ok && net.ParseIP(strings.Trim(u.Hostname(), "[]")) == nil {
			l.bucket, l.pathStyle = first, false
			host = rest
		}
	}
	switch {
	case l.bucket == "":
		return location{}, fmt.Errorf("bucket address at %s names no bucket: write %s://%s/bucket: %w", u.Host, u.Scheme, u.Host, object.ErrInvalid)
	case !bucketName.MatchString(l.bucket):
		return location{}, fmt.Errorf("bucket name %q at %s is not valid: %w", l.bucket, u.Host, object.ErrInvalid)
	}
	l.endpoint = u.Scheme + "://" + host
	return l, nil
}

type awsParts struct{ bucket, region string }

// awsHost takes host names of Amazon S3 apart:
//
//	[bucket.]s3[.dualstack][.region].amazonaws.com, [bucket.]s3-region.amazonaws.com,
//	[bucket.]s3-accelerate.amazonaws.com, [bucket.]bucket.vpce-id.s3.region.vpce.amazonaws.com
func awsHost(host string) (awsParts, bool) {
	name, ok := strings.CutSuffix(strings.TrimSuffix(host, ".cn"), ".amazonaws.com")
	if !ok {
		return awsParts{}, false
	}
	labels := strings.Split(name, ".")
	at := len(labels) - 1
	for at >= 0 && labels[at] != "s3" && !strings.HasPrefix(labels[at], "s3-") {
		at--
	}
	if at < 0 {
		return awsParts{}, false
	}
	var p awsParts
	switch suffix := strings.TrimPrefix(labels[at], "s3-"); suffix {
	case "s3", "accelerate", "fips":
	case "external-1":
		p.region = "us-east-1"
	default:
		p.region = suffix
	}
	for _, label := range labels[at+1:] {
		if label != "dualstack" && label != "vpce" {
			p.region = label
		}
	}
	if at > 1 && strings.HasPrefix(labels[at-1], "vpce-") {
		at -= 2 // "bucket" stands there literally, and belongs to the endpoint
	}
	p.bucket = strings.Join(labels[:at], ".")
	return p, true
}
