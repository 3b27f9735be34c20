package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// target says which server and database a URL means.
type target struct {
	network  string // "tcp" or "unix"
	addr     string // host:port, or the path of a socket
	user     string
	password string
	db       int
	tls      *tls.Config // nil: plain
}

// forms is what people are told when a URL is none of ours.
const forms = "want redis[s]://[user:password@]host[:port]/db or unix:///path/to/socket?db=N"

// errURL carries nothing of a URL that could not be parsed, because no one can tell where in it the
// password is.
var errURL = errors.New("malformed redis URL: percent-encode special characters of user and password, or give the password in META_PASSWORD; " + forms)

// parseURL reads a URL of the forms above. password is used when the URL has none.
func parseURL(raw, password string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return target{}, errURL
	}
	t := target{user: u.User.Username(), password: password}
	if p, ok := u.User.Password(); ok && p != "" {
		t.password = p
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return target{}, errURL
	}
	db := strings.TrimPrefix(u.Path, "/")
	switch u.Scheme {
	case "redis", "rediss":
		t.network = "tcp"
		if t.addr, err = address(u); err != nil {
			return target{}, err
		}
		if u.Scheme == "rediss" {
			t.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
			if t.tls.ServerName == "" {
				t.tls.ServerName = "localhost"
			}
		}
	case "unix":
		t.network, t.addr = "unix", u.Path
		if u.Host != "" || u.Path == "" {
			return target{}, fmt.Errorf("unix URL needs an absolute path: unix:///path/to/socket?db=N")
		}
		db = query.Get("db")
		query.Del("db")
	default:
		return target{}, fmt.Errorf("unknown scheme %q of a redis URL: %s", u.Scheme, forms)
	}
	if db != "" {
		if t.db, err = strconv.Atoi(db); err != nil || t.db < 0 {
			return target{}, fmt.Errorf("database %q of the redis URL is not a number: %s", db, forms)
		}
	}
	if err := t.tlsParameters(query); err != nil {
		return target{}, err
	}
	return t, nil
}

func address(u *url.URL) (string, error) {
	if strings.Contains(u.Host, ",") {
		return "", errors.New("redis URL with several hosts: Sentinel and Cluster are not supported, name the one server")
	}
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "6379"
	}
	return net.JoinHostPort(host, port), nil
}

// tlsParameters reads the query of the URL, in which only parameters of TLS are known.
func (t *target) tlsParameters(q url.Values) error {
	for name := range q {
		switch name {
		case "tls-cert-file", "tls-key-file", "tls-ca-cert-file", "insecure-skip-verify":
			if t.tls == nil {
				return fmt.Errorf("parameter %s needs a rediss:// URL", name)
			}
		default:
			return fmt.Errorf("unknown parameter %q of the redis URL: known are tls-cert-file, tls-key-file, tls-ca-cert-file and insecure-skip-verify", name)
		}
	}
	cert, key := q.Get("tls-cert-file"), q.Get("tls-key-file")
	if (cert == "") != (key == "") {
		return errors.New("tls-cert-file and tls-key-file belong together: give both or none")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("load client certificate %s: %w", cert, err)
		}
		t.tls.Certificates = []tls.Certificate{pair}
	}
	if ca := q.Get("tls-ca-cert-file"); ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return fmt.Errorf("load CA certificate: %w", err)
		}
		t.tls.RootCAs = x509.NewCertPool()
		if !t.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("CA file %s holds no certificate in PEM form", ca)
		}
	}
	if v, ok := q["insecure-skip-verify"]; ok {
		skip := v[0] == ""
		if !skip {
			var err error
			if skip, err = strconv.ParseBool(v[0]); err != nil {
				return fmt.Errorf("insecure-skip-verify=%q: want true or false", v[0])
			}
		}
		t.tls.InsecureSkipVerify = skip
	}
	return nil
}
