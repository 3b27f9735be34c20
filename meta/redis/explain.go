package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
)

// tlsFor is the setting of TLS for a connection to an address.
func (t target) tlsFor(addr string) *tls.Config {
	if t.tls.ServerName != "" {
		return t.tls
	}
	c := t.tls.Clone()
	if c.ServerName, _, _ = net.SplitHostPort(addr); c.ServerName == "" {
		c.ServerName = "localhost"
	}
	return c
}

// errHandshake is a failure of TLS.
var errHandshake = errors.New("TLS handshake")

// connectError adds what to do to the errors of a first connection.
func connectError(t target, err error) error {
	hint := ""
	var dns *net.DNSError
	switch code(err) {
	case "WRONGPASS":
		hint = "wrong user or password, see the URL and META_PASSWORD"
	case "NOAUTH":
		hint = "the server wants a password, give it in META_PASSWORD"
	case "NOPERM":
		err = explain(err)
	case "":
		switch tlsHint := explainTLS(err); {
		case tlsHint != "":
			hint = tlsHint
		case errors.As(err, &dns):
			hint = "the host name is not known, check the URL"
		case errors.Is(err, errSentinelLogin), errors.Is(err, errNoMaster), errors.Is(err, errNoSlot):
		case t.tls == nil && broken(err) && !unsent(err):
			hint = "the server ends the connection, does it want TLS (rediss://)?"
		case t.tls != nil && len(t.tls.Certificates) == 0 && broken(err) && !unsent(err):
			hint = "the server ends the connection, does it want a certificate (tls-cert-file and tls-key-file)?"
		case unsent(err):
			hint = "is the server running, and the address right?"
		}
	default:
		switch {
		case strings.Contains(err.Error(), "invalid password"): // servers before version 6 have no code for that
			hint = "wrong password, see the URL and META_PASSWORD"
		case t.selected() != 0 && !refused(err): // what is left of the first commands is SELECT
			hint = fmt.Sprintf("open database %d (the server's setting \"databases\" gives their number)", t.db)
		}
	}
	if hint == "" {
		return fmt.Errorf("connect to redis at %s: %w", t, err)
	}
	return fmt.Errorf("connect to redis at %s: %s: %w", t, hint, err)
}

// explainTLS says what to do about a failure of TLS, "" if it is none.
func explainTLS(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		header  tls.RecordHeaderError
		remote  *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return "the server's certificate is signed by nobody who is known here, name the file of its CA with tls-ca-cert-file"
	case errors.As(err, &host):
		return "the server's certificate is for another name, use that in the URL or give it with tls-server-name"
	case errors.As(err, &invalid):
		return "the server's certificate is not valid"
	case errors.As(err, &header):
		return "the server does not speak TLS there, is it redis:// or another port?"
	case errors.Is(err, errHandshake) && errors.Is(err, context.DeadlineExceeded):
		return "the server does not speak TLS there, is it redis:// or another port?"
	case errors.As(err, &remote) && remote.Op == "remote error": // which is how alerts come
		return "the server refuses the client's certificate, see tls-cert-file and tls-key-file"
	}
	return ""
}

// errSentinelLogin does not wrap the answer, whose code is that of a server of volumes.
var errSentinelLogin = errors.New("the Sentinel refuses the login, give its password in SENTINEL_PASSWORD")

// explain adds what to do to an answer to one of the first commands.
func (l *locator) explain(err error) error {
	switch c := code(err); {
	case l.t.form == formSentinel && (c == "WRONGPASS" || c == "NOAUTH"):
		return fmt.Errorf("%w (%s)", errSentinelLogin, c)
	case c == "NOPERM":
		return explain(err)
	}
	return err
}

// errPermission says what the ACL of the user lacks.
var errPermission = errors.New("the redis user may not do all that a metadata client does")

// explain adds to a refusal by the ACL what to grant.
func explain(err error) error {
	c := code(err)
	if c != "NOPERM" && c != "ERR" || errors.Is(err, errPermission) {
		return err
	}
	text := err.Error()
	if c == "ERR" { // which is what a script meets up to version 7.0: no code, and no name
		switch {
		case strings.Contains(text, "user executing the script can't run"):
			return fmt.Errorf("%w: grant it +@read +@write with ACL SETUSER, see docs/redis.md: %w", errPermission, err)
		case !strings.Contains(text, "user executing the script can't access") && !strings.Contains(text, "ACL failure in script"):
			return err
		}
	}
	// Only the text of the answer names the command.
	if _, rest, ok := strings.Cut(text, "'"); ok {
		if command, _, ok := strings.Cut(rest, "'"); ok {
			return fmt.Errorf("%w: grant it +%s with ACL SETUSER, see docs/redis.md: %w", errPermission, command, err)
		}
	}
	return fmt.Errorf("%w: grant it the volume's keys (~*) with ACL SETUSER, see docs/redis.md: %w", errPermission, err)
}
