package main

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"jfs/internal/farlink"
	"jfs/internal/redact"
	"jfs/object"
	"jfs/object/distant"
)

// distance is how far away something is made.
type distance struct {
	delay     time.Duration
	bandwidth int64   // Mbit/s; 0: no limit
	errors    float64 // share of requests that fail
}

// distances are those of the store and of the database.
type distances struct{ store, meta distance }

// injectValue reads "store:delay=20ms,bandwidth=100M,errors=1%;meta:delay=2ms". What is given later adds to it.
type injectValue struct{ to *distances }

func (v injectValue) Set(s string) error {
	for part := range strings.SplitSeq(s, ";") {
		where, what, ok := strings.Cut(strings.TrimSpace(part), ":")
		to := &v.to.store
		switch where {
		case "store":
		case "meta":
			to = &v.to.meta
		default:
			ok = false
		}
		if !ok {
			return fmt.Errorf("%q begins neither with \"store:\" nor with \"meta:\"", part)
		}
		for word := range strings.SplitSeq(what, ",") {
			if err := to.set(word); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *distance) set(word string) error {
	name, value, _ := strings.Cut(strings.TrimSpace(word), "=")
	switch name {
	case "delay":
		span, err := time.ParseDuration(value)
		if err != nil || span < 0 {
			return fmt.Errorf("delay=%s: give a time such as 20ms", value)
		}
		d.delay = span
	case "bandwidth":
		return bandwidthValue{&d.bandwidth}.Set(value)
	case "errors":
		share, err := strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
		if err != nil || !(share >= 0 && share <= 100) || !strings.HasSuffix(value, "%") {
			return fmt.Errorf("errors=%s: give a percentage such as 1%%", value)
		}
		d.errors = share / 100
	default:
		return fmt.Errorf("%q is none of delay=TIME, bandwidth=MBIT/S and errors=PERCENT%%", word)
	}
	return nil
}

func (d distance) String() string {
	var words []string
	if d.delay > 0 {
		words = append(words, "delay="+d.delay.String())
	}
	if d.bandwidth > 0 {
		words = append(words, fmt.Sprintf("bandwidth=%d", d.bandwidth))
	}
	if d.errors > 0 {
		words = append(words, fmt.Sprintf("errors=%g%%", 100*d.errors))
	}
	return strings.Join(words, ",")
}

func (v injectValue) String() string {
	var parts []string
	for _, one := range []struct {
		name string
		of   distance
	}{{"store:", v.to.store}, {"meta:", v.to.meta}} {
		if text := one.of.String(); text != "" {
			parts = append(parts, one.name+text)
		}
	}
	return strings.Join(parts, ";")
}

func (v injectValue) Type() string { return "text" }

var _ pflag.Value = injectValue{}

// bytes is the bandwidth in bytes a second.
func (d distance) bytes() int64 { return d.bandwidth * 1_000_000 / 8 }

// before puts the distance before a store.
func (d distance) before(store object.Store) object.Store {
	if d == (distance{}) {
		return store
	}
	return distant.New(store, distant.Options{Delay: d.delay, Bandwidth: d.bytes(), Errors: d.errors})
}

// injectBefore opens a long way to a database and gives its address by that way.
func injectBefore(address string, d distance, parts *closer) (string, error) {
	if d == (distance{}) {
		return address, nil
	}
	network, host, rebuild, err := serverOf(withScheme(address))
	if err != nil {
		return "", fmt.Errorf("--inject meta of %s: %w", redact.URL(address), err)
	}
	link, err := farlink.Open(network, host, farlink.Options{Delay: d.delay, Bandwidth: d.bytes(), Errors: d.errors})
	if err != nil {
		return "", fmt.Errorf("--inject meta: %w", err)
	}
	parts.add("way to the database", plain(link.Close))
	return rebuild(link.Addr()), nil
}

// serverOf finds the one server of a META-URL, and how the URL looks with another address.
func serverOf(address string) (network, host string, rebuild func(string) string, err error) {
	scheme, rest, _ := strings.Cut(address, "://")
	ports := map[string]string{"redis": "6379", "postgres": "5432", "postgresql": "5432", "mysql": "3306", "etcd": "2379"}
	port, ok := ports[scheme]
	switch {
	case inDirectory(address):
		return "", "", nil, errors.New("the database is a file of this machine, and there is no way to it")
	case !ok:
		return "", "", nil, fmt.Errorf("no way can be put before databases of scheme %s://: use redis, postgres, mysql or etcd", scheme)
	}
	if open := strings.LastIndex(rest, "@("); scheme == "mysql" && open >= 0 {
		if end := strings.IndexByte(rest[open:], ')'); end >= 0 {
			end += open
			return "tcp", withPort(rest[open+2:end], port), func(to string) string {
				return scheme + "://" + rest[:open+2] + to + rest[end:]
			}, nil
		}
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return "", "", nil, errors.New("this is not a URL: write special characters of the password as %XX, or give it in META_PASSWORD")
	case strings.Contains(u.Host, ",") || u.Host == "":
		return "", "", nil, errors.New("it names none or several servers: give one")
	}
	return "tcp", withPort(u.Host, port), func(to string) string {
		u.Host = to
		return u.String()
	}, nil
}

// withPort adds a port to a host that has none.
func withPort(host, port string) string {
	if u := (&url.URL{Host: host}); u.Port() == "" {
		return host + ":" + port
	}
	return host
}
