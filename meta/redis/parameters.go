package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tuning is what the parameters of a URL say about time and attempts. 0 stands for what was not given.
type tuning struct {
	connect time.Duration // for making a connection
	answer  time.Duration // for one answer
	retries int           // of a trip whose connection is broken or refused; -1: none
	least   time.Duration // pause before the first of them; it doubles
	most    time.Duration // longest pause
}

// The parameters that a URL may have. The official client writes those of time and number with "_" or "-".
var (
	tlsNames    = []string{"tls-cert-file", "tls-key-file", "tls-ca-cert-file", "tls-server-name", "insecure-skip-verify"}
	tuningNames = []string{"dial-timeout", "read-timeout", "write-timeout", "max-retries", "min-retry-backoff", "max-retry-backoff"}
	// poolNames size a pool of connections. Here one connection carries all callers, so they have no effect.
	poolNames = []string{"pool-size", "pool-timeout", "pool-fifo", "min-idle-conns", "max-idle-conns", "max-active-conns", "conn-max-idle-time", "conn-max-lifetime"}
)

const routeRead = "route-read"

// parameters reads the query of the URL.
func (t *target) parameters(query url.Values) error {
	q := make(map[string]string, len(query))
	for name, values := range query {
		plain := strings.ReplaceAll(name, "_", "-")
		switch {
		case slices.Contains(tlsNames, name):
			if t.tls == nil {
				return fmt.Errorf("parameter %s needs a rediss:// URL", name)
			}
			plain = name
		case slices.Contains(tuningNames, plain), slices.Contains(poolNames, plain), name == routeRead:
		default:
			known := append(append(slices.Clone(tlsNames), tuningNames...), routeRead)
			return fmt.Errorf("unknown parameter %q of the redis URL: known are %s", name, strings.Join(known, ", "))
		}
		if _, twice := q[plain]; twice || len(values) > 1 {
			return fmt.Errorf("parameter %s stands twice in the redis URL", name)
		}
		q[plain] = values[0]
	}
	if err := t.tuningParameters(q); err != nil {
		return err
	}
	switch q[routeRead] {
	case "", "master", "primary":
	case "replica":
		t.replica = true
	default:
		return fmt.Errorf("%s=%q: want master or replica", routeRead, q[routeRead])
	}
	if t.tls == nil {
		return nil
	}
	return t.tlsParameters(q)
}

func (t *target) tuningParameters(q map[string]string) (err error) {
	times := make(map[string]time.Duration)
	for _, name := range tuningNames {
		text, given := q[name]
		if !given || name == "max-retries" {
			continue
		}
		if times[name], err = parseTime(text); err != nil {
			return fmt.Errorf("%s=%q: want a time such as 500ms or 5s", name, text)
		}
	}
	t.connect = times["dial-timeout"]
	// A request that cannot be written gets no answer either, so one bound serves both.
	t.answer = max(times["read-timeout"], times["write-timeout"])
	t.least, t.most = times["min-retry-backoff"], times["max-retry-backoff"]
	if t.least > 0 && t.most > 0 && t.least > t.most {
		return errors.New("min-retry-backoff is more than max-retry-backoff")
	}
	if text, given := q["max-retries"]; given {
		if t.retries, err = strconv.Atoi(text); err != nil || t.retries < -1 {
			return fmt.Errorf("max-retries=%q: want a number", text)
		}
		if t.retries == 0 {
			t.retries = -1
		}
	}
	return nil
}

// parseTime reads a time with its unit, or a number of seconds.
func parseTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if n, err2 := strconv.ParseUint(text, 10, 31); err2 == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err == nil && d <= 0 {
		err = strconv.ErrRange
	}
	return d, err
}

func (t *target) tlsParameters(q map[string]string) error {
	t.tls.ServerName = q["tls-server-name"]
	cert, key := q["tls-cert-file"], q["tls-key-file"]
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
	if ca := q["tls-ca-cert-file"]; ca != "" {
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
		skip := v == ""
		if !skip {
			var err error
			if skip, err = strconv.ParseBool(v); err != nil {
				return fmt.Errorf("insecure-skip-verify=%q: want true or false", v)
			}
		}
		t.tls.InsecureSkipVerify = skip
	}
	return nil
}
