package s3

import (
	"errors"
	"strings"
	"testing"

	"jfs/object"
)

func TestLocate(t *testing.T) {
	for _, c := range []struct {
		address string
		minio   bool
		want    location
	}{
		{"mybucket", false, location{"", "mybucket", "", false, true}},
		{"https://mybucket.s3.us-east-2.amazonaws.com", false, location{"https://s3.us-east-2.amazonaws.com", "mybucket", "us-east-2", false, true}},
		{"https://my.dotted.bucket.s3.us-east-2.amazonaws.com/", false, location{"https://s3.us-east-2.amazonaws.com", "my.dotted.bucket", "us-east-2", false, true}},
		{"mybucket.s3.amazonaws.com", false, location{"https://s3.amazonaws.com", "mybucket", "", false, true}},
		{"https://mybucket.s3-eu-west-1.amazonaws.com", false, location{"https://s3-eu-west-1.amazonaws.com", "mybucket", "eu-west-1", false, true}},
		{"https://mybucket.s3.dualstack.eu-west-1.amazonaws.com", false, location{"https://s3.dualstack.eu-west-1.amazonaws.com", "mybucket", "eu-west-1", false, true}},
		{"https://mybucket.s3-accelerate.amazonaws.com", false, location{"https://s3-accelerate.amazonaws.com", "mybucket", "", false, true}},
		{"https://mybucket.s3.cn-north-1.amazonaws.com.cn", false, location{"https://s3.cn-north-1.amazonaws.com.cn", "mybucket", "cn-north-1", false, true}},
		{"https://s3.us-east-2.amazonaws.com/mybucket", false, location{"https://s3.us-east-2.amazonaws.com", "mybucket", "us-east-2", true, true}},
		{"https://mybucket.bucket.vpce-1a-2b.s3.us-east-1.vpce.amazonaws.com", false, location{"https://bucket.vpce-1a-2b.s3.us-east-1.vpce.amazonaws.com", "mybucket", "us-east-1", false, true}},
		{"https://bucket.vpce-1a-2b.s3.us-east-1.vpce.amazonaws.com/mybucket", false, location{"https://bucket.vpce-1a-2b.s3.us-east-1.vpce.amazonaws.com", "mybucket", "us-east-1", true, true}},
		{"http://127.0.0.1:9000/mybucket", false, location{"http://127.0.0.1:9000", "mybucket", "", true, false}},
		{"http://127.0.0.1:9000/mybucket/", true, location{"http://127.0.0.1:9000", "mybucket", "", true, false}},
		{"127.0.0.1:9000/mybucket", true, location{"http://127.0.0.1:9000", "mybucket", "", true, false}},
		{"localhost:9000/mybucket", true, location{"http://localhost:9000", "mybucket", "", true, false}},
		{"http://[::1]:9000/mybucket", false, location{"http://[::1]:9000", "mybucket", "", true, false}},
		{"https://host/mybucket", false, location{"https://host", "mybucket", "", true, false}},
		{"https://store.example.com/mybucket", false, location{"https://store.example.com", "mybucket", "", true, false}},
		{"mybucket.oss-like.example.com", false, location{"https://oss-like.example.com", "mybucket", "", false, false}},
		{"http://mybucket.oss-like.example.com:8080", false, location{"http://oss-like.example.com:8080", "mybucket", "", false, false}},
	} {
		got, err := locate(c.address, c.minio)
		if err != nil || got != c.want {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", c.address, got, err, c.want)
		}
	}
}

func TestLocateRefuses(t *testing.T) {
	for _, c := range []struct {
		address string
		minio   bool
		says    string
	}{
		{"", false, "no URL"},
		{"http://", false, "no URL"},
		{"http://%zz/bucket", false, "no URL"},
		{"http://user:topsecret@host/bucket", false, "without user and password"},
		{"ftp://host/bucket", false, "use http or https"},
		{"http://host/bucket?x=topsecret", false, "remove it"},
		{"http://127.0.0.1:9000", false, "names no bucket"},
		{"http://[::1]:9000/", false, "names no bucket"},
		{"http://localhost:9000", false, "names no bucket"},
		{"https://s3.us-east-2.amazonaws.com", false, "names no bucket"},
		{"https://a.s3.us-east-2.amazonaws.com/b", false, "another in the path"},
		{"http://minio.example.com:9000", true, "names no bucket"},
		{"http://host/bucket/below", false, "not valid"},
	} {
		_, err := locate(c.address, c.minio)
		if !errors.Is(err, object.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v", c.address, err)
		}
		if err != nil && strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%q: the error tells the secret: %v", c.address, err)
		}
	}
}
