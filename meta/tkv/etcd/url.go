package etcd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"jfs/meta/tkv/internal/address"
)

// separator stands between the prefix of a volume and its keys.
const separator = "\xfd"

// target says which servers and which volume a URL means.
type target struct {
	hosts          []string
	endpoints      []string // hosts with http or https
	user, password string
	prefix         string
	tls            *tls.Config // nil: plain
	maxOps         int
}

const forms = "want etcd://[user:password@]host[:2379][,host[:2379]...][/prefix]"

func parse(url string, o Options) (target, error) {
	a, err := address.Parse(url, "2379")
	if err != nil {
		return target{}, fmt.Errorf("%w; %s", err, forms)
	}
	if a.Scheme != "etcd" {
		return target{}, fmt.Errorf("unknown scheme %q of an etcd URL: %s", a.Scheme, forms)
	}
	t := target{hosts: a.Hosts, user: a.User, password: a.Password, prefix: a.Path + separator, maxOps: o.MaxOps}
	if t.password == "" {
		t.password = o.Password
	}
	if t.user != "" && t.password == "" {
		return target{}, errors.New("the etcd URL names a user without a password: give it in META_PASSWORD")
	}
	if n := a.Query.Get("max-txn-ops"); n != "" {
		if t.maxOps, err = strconv.Atoi(n); err != nil || t.maxOps < 1 {
			return target{}, fmt.Errorf("max-txn-ops=%s of the etcd URL is not a positive number", n)
		}
	}
	if t.maxOps <= 0 {
		t.maxOps = defaultMaxOps
	}
	q := a.Query.Get
	info := transport.TLSInfo{
		TrustedCAFile:      q("cacert"),
		CertFile:           q("cert"),
		KeyFile:            q("key"),
		ServerName:         q("server-name"),
		InsecureSkipVerify: q("insecure-skip-verify") != "",
	}
	scheme := "http://"
	if info.TrustedCAFile != "" || info.CertFile != "" || info.KeyFile != "" || info.ServerName != "" || info.InsecureSkipVerify {
		scheme = "https://"
		if t.tls, err = info.ClientConfig(); err != nil {
			return target{}, fmt.Errorf("certificates of the etcd URL (cacert, cert, key): %w", err)
		}
		t.tls.MinVersion = tls.VersionTLS12
	}
	for _, h := range t.hosts {
		t.endpoints = append(t.endpoints, scheme+h)
	}
	return t, nil
}

// String is for error messages.
func (t target) String() string { return strings.Join(t.hosts, ",") }
