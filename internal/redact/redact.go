// Package redact keeps passwords out of what people and logs get to see.
package redact

import (
	"net/url"
	"strings"
)

// mask stands for a password.
const mask = "****"

// secretParams are parameters of a URL whose values are secrets.
func secretParam(name string) bool {
	switch strings.ToLower(name) {
	case "password", "passwd", "pwd", "sslpassword", "secret", "secret-key", "secret_key", "token", "access_token":
		return true
	}
	return false
}

// URL returns the address with its password masked: "redis://tom:****@host:6379/1". It works on the text and
// not on a parsed URL, because an address that does not parse (a password with unescaped characters) is
// exactly the one that gets printed, in an error. When in doubt it hides too much.
func URL(address string) string {
	scheme, rest := cutScheme(address)
	if isPath(scheme) {
		return address
	}
	if user, _, host, ok := cutPassword(rest); ok {
		rest = user + ":" + mask + "@" + host
	}
	head, query, ok := strings.Cut(rest, "?")
	if !ok {
		return scheme + rest
	}
	params := strings.Split(query, "&")
	for i, p := range params {
		if name, _, has := strings.Cut(p, "="); has && secretParam(name) {
			params[i] = name + "=" + mask
		}
	}
	return scheme + head + "?" + strings.Join(params, "&")
}

// Split takes the password out of an address, so that it can travel by another way than a command line:
// "redis://tom:pw@host/1" gives "redis://tom@host/1" and "pw". Without a password it returns the address.
func Split(address string) (without, password string) {
	scheme, rest := cutScheme(address)
	if isPath(scheme) {
		return address, ""
	}
	user, password, host, ok := cutPassword(rest)
	if !ok || password == "" {
		return address, ""
	}
	if scheme != "mysql://" { // whose addresses are not percent-encoded
		if plain, err := url.PathUnescape(password); err == nil {
			password = plain
		}
	}
	if user != "" {
		user += "@"
	}
	return scheme + user + host, password
}

// isPath says that what follows the scheme is a path in this machine, which has no password.
func isPath(scheme string) bool {
	switch strings.ToLower(scheme) {
	case "sqlite3://", "badger://", "file://":
		return true
	}
	return false
}

func cutScheme(address string) (scheme, rest string) {
	if i := strings.Index(address, "://"); i >= 0 {
		return address[:i+3], address[i+3:]
	}
	return "", address
}

// cutPassword splits "user:password@host". The last @ decides, since a password may hold one unescaped.
func cutPassword(rest string) (user, password, host string, ok bool) {
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return "", "", "", false
	}
	user, password, ok = strings.Cut(rest[:at], ":")
	return user, password, rest[at+1:], ok
}
