package tikv

import (
	"fmt"
	"strings"
	"time"

	"github.com/tikv/client-go/v2/config"

	"jfs/meta/tkv/internal/address"
)

// separator stands between the name of a volume and its keys.
const separator = "\xfd"

// History that is kept when the URL does not say, and the least it may say: transactions and dumps that run longer
// than it fail.
const (
	defaultKeep = 3 * time.Hour
	leastKeep   = time.Hour
)

const forms = "want tikv://pd[:2379][,pd[:2379]...][/name]"

// target says which cluster and which volume a URL means.
type target struct {
	hosts    []string
	prefix   string
	security config.Security
	keep     time.Duration
}

func parse(url string) (target, error) {
	a, err := address.Parse(url, "2379")
	if err != nil {
		return target{}, fmt.Errorf("%w; %s", err, forms)
	}
	switch {
	case a.Scheme != "tikv":
		return target{}, fmt.Errorf("unknown scheme %q of a tikv URL: %s", a.Scheme, forms)
	case a.User != "" || a.Password != "":
		return target{}, fmt.Errorf("a tikv URL has no user and no password, TiKV knows certificates only (ca, cert, key): %s", forms)
	}
	t := target{hosts: a.Hosts, prefix: strings.TrimPrefix(a.Path, "/") + separator, keep: defaultKeep}
	q := a.Query.Get
	var names []string
	if cn := q("verify-cn"); cn != "" {
		names = strings.Split(cn, ",")
	}
	t.security = config.NewSecurity(q("ca"), q("cert"), q("key"), names)
	if _, err := t.security.ToTLSConfig(); err != nil {
		return target{}, fmt.Errorf("certificates of the tikv URL (ca, cert, key): %w", err)
	}
	if s := q("gc-interval"); s != "" {
		if t.keep, err = time.ParseDuration(s); err != nil || t.keep < 0 {
			return target{}, fmt.Errorf("gc-interval=%s of the tikv URL is no time: want 3h, or 0 for never", s)
		}
		if t.keep > 0 {
			t.keep = max(t.keep, leastKeep)
		}
	}
	return t, nil
}

// String is for error messages.
func (t target) String() string { return strings.Join(t.hosts, ",") }
