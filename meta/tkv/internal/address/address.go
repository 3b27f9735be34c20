// Package address reads the META-URLs of databases that are reached through a list of servers.
package address

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Address is what such a URL says: SCHEME://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]…][/PATH][?QUERY].
type Address struct {
	Scheme         string
	User, Password string
	Hosts          []string // host:port
	Path           string   // decoded, with its leading "/"; "" if there is none
	Query          url.Values
}

// Parse reads a URL; hosts without a port get the given one. Lists of hosts with ports are no URL in the sense of
// the standard, hence the parser of its own. Its errors carry nothing of the URL, as no one can tell where in a
// malformed one the password is.
func Parse(raw, port string) (Address, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return Address{}, errors.New("malformed URL: no \"://\"")
	}
	a := Address{Scheme: strings.ToLower(scheme)}
	rest, query, _ := strings.Cut(rest, "?")
	var err error
	if a.Query, err = url.ParseQuery(query); err != nil {
		return Address{}, errors.New("malformed URL: percent-encode special characters of what follows the \"?\"")
	}
	hosts, path := rest, ""
	// A password may have a "/" in it, as long as an "@" follows.
	at := strings.LastIndex(rest, "@")
	if i := strings.Index(rest[at+1:], "/"); i >= 0 {
		hosts, path = rest[:at+1+i], rest[at+1+i:]
	}
	if at >= 0 {
		user, password, _ := strings.Cut(hosts[:at], ":")
		if a.User, err = url.PathUnescape(user); err == nil {
			a.Password, err = url.PathUnescape(password)
		}
		if err != nil {
			return Address{}, errors.New("malformed URL: percent-encode special characters of user and password, or give the password in META_PASSWORD")
		}
		hosts = hosts[at+1:]
	}
	if a.Path, err = url.PathUnescape(path); err != nil {
		return Address{}, errors.New("malformed URL: percent-encode special characters of the path")
	}
	for h := range strings.SplitSeq(hosts, ",") {
		if h, err = hostPort(strings.TrimSpace(h), port); err != nil {
			return Address{}, err
		}
		a.Hosts = append(a.Hosts, h)
	}
	return a, nil
}

func hostPort(h, port string) (string, error) {
	host, p, err := net.SplitHostPort(h)
	if err != nil { // no port, if it is anything
		host, p = strings.TrimSuffix(strings.TrimPrefix(h, "["), "]"), port
		if strings.ContainsAny(host, "[]") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", fmt.Errorf("malformed host %q of the URL: want host:port", h)
		}
	}
	if host == "" {
		return "", errors.New("the URL names no host: want host:port, several with \",\" in between")
	}
	if p == "" {
		p = port
	}
	return net.JoinHostPort(host, p), nil
}
