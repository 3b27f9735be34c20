package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// form is how the server of a volume is found.
type form uint8

const (
	formServer   form = iota // it is the one address of the URL
	formSentinel             // Sentinels tell which server is the master
	formCluster              // nodes tell which of them has the slot of the volume
)

// target says which server and database a URL means.
type target struct {
	form     form
	network  string   // "tcp" or "unix"
	addr     string   // host:port, or the path of a socket; of formServer only
	seeds    []string // host:port of Sentinels or of nodes
	master   string   // the name by which Sentinels know it
	user     string
	password string
	db       int
	tls      *tls.Config // nil: plain; its ServerName is "" where each connection checks the host that it goes to
	replica  bool        // read from a replica until something is written
	tuning
}

// forms is what people are told when a URL is none of ours.
const forms = "want redis[s]://[user:password@]host[:port]/db, unix:///path/to/socket?db=N, " +
	"redis[s]://MASTER,SENTINEL[,SENTINEL...][:port]/db, or redis[s]://host:port,host:port[,...]/db for a cluster"

// errURL carries nothing of a URL that could not be parsed, because no one can tell where in it the
// password is.
var errURL = errors.New("malformed redis URL: percent-encode special characters of user and password, or give the password in META_PASSWORD; " + forms)

const (
	serverPort   = "6379"
	sentinelPort = "26379"
)

// parseURL reads a URL of the forms above. password is used when the URL has none.
func parseURL(raw, password string) (target, error) {
	hosts, rest, ok := cutHosts(raw)
	if !ok {
		return target{}, errURL
	}
	u, err := url.Parse(rest)
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
		if err := t.parseHosts(hosts); err != nil {
			return target{}, err
		}
		if u.Scheme == "rediss" {
			t.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	case "unix":
		t.network, t.addr = "unix", u.Path
		if hosts != "" || u.Path == "" {
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
	if err := t.parameters(query); err != nil {
		return target{}, err
	}
	return t, nil
}

// cutHosts takes the hosts out of a URL, because a list of them is nothing that URLs can have.
func cutHosts(raw string) (hosts, rest string, ok bool) {
	scheme, after, ok := strings.Cut(raw, "://")
	if !ok {
		return "", "", false
	}
	end := strings.IndexAny(after, "/?#")
	if end < 0 {
		end = len(after)
	}
	start := strings.LastIndexByte(after[:end], '@') + 1
	hosts = after[start:end]
	// An "@" behind the hosts means that they are not the hosts, but the beginning of a password.
	if strings.ContainsAny(hosts, "% \t\n\\\"") || strings.Contains(after[end:], "@") && scheme != "unix" {
		return "", "", false
	}
	return hosts, scheme + "://" + after[:start] + after[end:], true
}

// parseHosts tells the forms apart: the name of a master stands without a port before its Sentinels, and in a list
// of a cluster's nodes the first has one.
func (t *target) parseHosts(hosts string) error {
	list := strings.Split(hosts, ",")
	if len(list) == 1 {
		var err error
		t.addr, err = address(hosts, "localhost", serverPort)
		return err
	}
	port := serverPort
	if !strings.Contains(list[0], ":") {
		t.form, t.master, list = formSentinel, list[0], list[1:]
		if t.master == "" {
			return errors.New("redis URL without the name of the master: redis://MASTER,SENTINEL[,SENTINEL...][:port]/db")
		}
		// A port at the end is that of all Sentinels that have none.
		port = sentinelPort
		if _, p, err := net.SplitHostPort(list[len(list)-1]); err == nil && p != "" {
			port = p
		}
	} else {
		t.form = formCluster
	}
	for _, h := range list {
		a, err := address(h, "", port)
		if err != nil {
			return err
		}
		t.seeds = append(t.seeds, a)
	}
	return nil
}

// address completes a host with what it lacks; host "" means that it may not lack the name.
func address(hostport, host, port string) (string, error) {
	h, p := hostport, ""
	if i := strings.LastIndexByte(hostport, ':'); i >= 0 && i > strings.LastIndexByte(hostport, ']') {
		h, p = hostport[:i], hostport[i+1:]
	}
	if inner, ok := strings.CutPrefix(h, "["); ok {
		if h, ok = strings.CutSuffix(inner, "]"); !ok || net.ParseIP(h) == nil {
			return "", errURL
		}
	} else if strings.ContainsAny(h, ":]") {
		return "", errURL
	}
	if h == "" {
		h = host
	}
	if p == "" {
		p = port
	}
	if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
		return "", errURL
	}
	if h == "" {
		return "", fmt.Errorf("redis URL with an empty host in its list: %s", forms)
	}
	return net.JoinHostPort(h, p), nil
}

// String says where the volume is, for people; no secret is in it.
func (t target) String() string {
	switch t.form {
	case formSentinel:
		return "master " + t.master + " of the Sentinels " + strings.Join(t.seeds, ",")
	case formCluster:
		return "cluster " + strings.Join(t.seeds, ",")
	}
	return t.addr
}

// prefix is what the keys of the volume begin with. In a cluster that is a hash tag, which keeps them in one slot.
func (t target) prefix() string {
	if t.form == formCluster {
		return "{" + strconv.Itoa(t.db) + "}"
	}
	return ""
}

// selected is the number of the database to select. The nodes of a cluster have one only.
func (t target) selected() int {
	if t.form == formCluster {
		return 0
	}
	return t.db
}
