package sql

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
)

const (
	postgresForms = "want postgres://user[:password]@host[:5432]/database, or postgres://user@/database?host=/directory/of/socket"
	mysqlForms    = "want mysql://user[:password]@(host:3306)/database, or mysql://user@unix(/path/of/socket)/database"
)

// server is what a URL says about a database on a server.
type server struct {
	scheme   string
	where    string // for people: without the password and the parameters
	user     string
	database string
	prefix   string // of table names

	maxOpen, maxIdle   int // -1: not given
	idleTime, lifeTime time.Duration

	postgres *pgx.ConnConfig
	mysql    *mysql.Config
}

// parseServer reads the URL of a database on a server. password is used when the URL has none. No error shows any
// part of the URL that may hold a password.
func parseServer(raw, password string) (*server, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return nil, errors.New("metadata url without a scheme: " + postgresForms + "; " + mysqlForms)
	}
	user, given, place := splitLogin(rest, scheme != "mysql")
	place, query, _ := strings.Cut(place, "?")
	if given != "" {
		password = given
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("metadata url: malformed parameters: percent-encode their special characters")
	}
	t := &server{scheme: scheme, user: user, prefix: "jfs_", maxOpen: -1, maxIdle: -1}
	if err := t.take(params); err != nil {
		return nil, err
	}
	switch scheme {
	case "postgres", "postgresql":
		t.scheme = "postgres"
		err = t.forPostgres(place, password, params)
	case "mysql":
		err = t.forMySQL(place, password, params)
	default:
		err = fmt.Errorf("metadata url with scheme %q: want postgres:// or mysql://", scheme)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// splitLogin takes user and password off an address. The last @ decides, since a password may hold one.
func splitLogin(rest string, escaped bool) (user, password, place string) {
	at := strings.LastIndex(rest, "@")
	if at < 0 {
		return "", "", rest
	}
	user, password, _ = strings.Cut(rest[:at], ":")
	if escaped {
		for _, s := range []*string{&user, &password} {
			if plain, err := url.PathUnescape(*s); err == nil {
				*s = plain
			}
		}
	}
	return user, password, rest[at+1:]
}

// take removes the parameters that are not the driver's.
func (t *server) take(params url.Values) (err error) {
	for name, values := range params {
		value := values[len(values)-1]
		switch name {
		case "table_prefix":
			if !prefixPattern.MatchString(value) {
				err = fmt.Errorf("%q is not made of letters, digits and _", value)
			}
			t.prefix = "jfs_" + value + "_"
		case "max_open_conns":
			t.maxOpen, err = wholeNumber(value)
		case "max_idle_conns":
			t.maxIdle, err = wholeNumber(value)
		case "max_idle_time":
			t.idleTime, err = seconds(value)
		case "max_life_time":
			t.lifeTime, err = seconds(value)
		case "search_path":
			if strings.ContainsAny(value, ", ") {
				err = fmt.Errorf("%q names more than one schema: the tables of a volume are in one", value)
			}
			continue
		default:
			continue
		}
		if err != nil {
			return fmt.Errorf("metadata url: parameter %s: %w", name, err)
		}
		delete(params, name)
	}
	return err
}

// seconds reads a duration, or a bare number of seconds.
func seconds(s string) (time.Duration, error) {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is neither a number of seconds nor a time such as 5m", s)
	}
	return d, nil
}

func (t *server) forPostgres(place, password string, params url.Values) error {
	host, database, ok := strings.Cut(place, "/")
	if !ok || database == "" {
		return errors.New("metadata url: the database is missing: " + postgresForms)
	}
	u := url.URL{Scheme: "postgres", Host: host, Path: "/" + database, RawQuery: params.Encode()}
	switch {
	case t.user != "" && password != "":
		u.User = url.UserPassword(t.user, password)
	case t.user != "":
		u.User = url.User(t.user)
	}
	cfg, err := pgx.ParseConfig(u.String())
	if err != nil {
		// The driver's error may quote what it was given.
		return errors.New("metadata url: host, port or a parameter is malformed: " + postgresForms)
	}
	if cfg.Password == "" {
		cfg.Password = password // of a user that the environment names
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = dialTimeout
	}
	t.postgres, t.user, t.database = cfg, cfg.User, cfg.Database
	t.where = "postgres://" + net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))) + "/" + cfg.Database
	return nil
}

func (t *server) forMySQL(place, password string, params url.Values) error {
	// What stands in parentheses may hold slashes.
	end := strings.LastIndex(place, ")")
	slash := strings.Index(place[end+1:], "/")
	if slash < 0 || place[end+1+slash+1:] == "" {
		return errors.New("metadata url: the database is missing: " + mysqlForms)
	}
	address, database := place[:end+1+slash], place[end+1+slash+1:]
	network, addr, ok := strings.Cut(strings.TrimSuffix(address, ")"), "(")
	if !ok {
		network, addr = "tcp", address // host:port as it stands in other URLs
	}
	if network == "" {
		network = "tcp"
	}
	if network != "tcp" && network != "unix" || strings.ContainsAny(database, "/()") {
		return errors.New("metadata url: malformed address: " + mysqlForms)
	}
	// The names of the driver's parameters are the driver's to judge.
	cfg, err := mysql.ParseDSN(network + "(" + addr + ")/?" + params.Encode())
	if err != nil {
		return fmt.Errorf("metadata url: address or parameters are malformed: %w", err)
	}
	cfg.User, cfg.Passwd, cfg.DBName = t.user, password, database
	cfg.MultiStatements, cfg.InterpolateParams, cfg.ClientFoundRows = true, true, true
	cfg.Logger = &mysql.NopLogger{} // what is of interest comes back as an error
	if cfg.Timeout == 0 {
		cfg.Timeout = dialTimeout
	}
	for name := range cfg.Params {
		switch name {
		case "transaction_isolation", "tx_isolation", "sql_mode", "autocommit":
			delete(cfg.Params, name) // the engine relies on its own
		}
	}
	t.mysql, t.database = cfg, database
	t.where = "mysql://" + cfg.Addr + "/" + database
	return nil
}
