package tikv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tikv/client-go/v2/oracle"
	"github.com/tikv/client-go/v2/testutils"
	client "github.com/tikv/client-go/v2/tikv"
	"github.com/tikv/client-go/v2/tikvrpc"

	tikverr "github.com/tikv/client-go/v2/error"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/tkv"
)

// unwell is a connection to the servers that asks a rule about each request: what it says is the answer to a request
// that was carried out all the same.
type unwell struct {
	client.Client
	mu   sync.Mutex
	rule func(*tikvrpc.Request) error
}

func (u *unwell) SendRequest(ctx context.Context, addr string, req *tikvrpc.Request, timeout time.Duration) (*tikvrpc.Response, error) {
	resp, err := u.Client.SendRequest(ctx, addr, req, timeout)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.rule != nil && err == nil {
		if broken := u.rule(req); broken != nil {
			return nil, broken
		}
	}
	return resp, err
}

func (u *unwell) obey(rule func(*tikvrpc.Request) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rule = rule
}

func (u *unwell) Close() error { return nil } // another one uses the connection

// ailing is a store of a cluster whose answers can be lost, and one whose answers are not.
func ailing(t *testing.T, o Options) (s *Store, u *unwell, well *Store) {
	t.Helper()
	quiet()
	rpc, servers, pd, err := testutils.NewMockTiKV("", nil)
	if err != nil {
		t.Fatal(err)
	}
	testutils.BootstrapWithSingleStore(servers)
	u = &unwell{Client: rpc}
	open := func(conn client.Client, o Options) *Store {
		c, err := client.NewTestTiKVStore(conn, pd, nil, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		s := New(c, o)
		t.Cleanup(func() {
			u.obey(nil)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	well = open(rpc, Options{})
	return open(u, o), u, well
}

// TestLostAnswer breaks the connection when the decisive request of a commit was carried out.
func TestLostAnswer(t *testing.T) {
	s, u, well := ailing(t, Options{Timeout: 200 * time.Millisecond})
	txn, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	txn.Put([]byte("k"), []byte("v"))
	u.obey(func(req *tikvrpc.Request) error {
		if req.Type == tikvrpc.CmdCommit {
			return errors.New("connection reset")
		}
		return nil
	})
	if err := txn.Commit(t.Context()); !errors.Is(err, meta.ErrUnknown) {
		t.Errorf("commit: %v", err)
	}
	u.obey(nil)
	txn, err = well.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v, err := txn.Get(t.Context(), []byte("k")); string(v) != "v" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

func TestNoAnswer(t *testing.T) {
	s, u, _ := ailing(t, Options{Timeout: 50 * time.Millisecond})
	txn, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u.obey(func(*tikvrpc.Request) error { return errors.New("connection refused") })
	if _, err := txn.Get(t.Context(), []byte("k")); !contains(err, "are PD and the TiKV servers running") {
		t.Errorf("get: %v", err)
	}
	if _, err := txn.BatchGet(t.Context(), [][]byte{[]byte("a"), []byte("b")}); !contains(err, "are PD and the TiKV servers running") {
		t.Errorf("batch: %v", err)
	}
	if _, err := txn.Scan(t.Context(), []byte("a"), nil, 0); !contains(err, "are PD and the TiKV servers running") {
		t.Errorf("scan: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := txn.Get(ctx, []byte("k")); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
	u.obey(nil) // the scan that could not be called off ends
}

// TestConflicts: what was read may not change before the commit, though it is not written; and errors have their kind.
func TestConflicts(t *testing.T) {
	s, _, _ := ailing(t, Options{})
	begin := func() tkv.Txn {
		txn, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return txn
	}
	for _, read := range []bool{true, false} {
		txn := begin()
		from := txn.Snapshot()
		if read {
			from = txn
		}
		if _, err := from.Get(t.Context(), []byte("k")); err != nil {
			t.Fatal(err)
		}
		txn.Put([]byte("other"), []byte("v"))
		behind := begin()
		behind.Put([]byte("k"), []byte("w"))
		if err := behind.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := txn.Commit(t.Context()); errors.Is(err, tkv.ErrConflict) != read || !read && err != nil {
			t.Errorf("read under promise %v: %v", read, err)
		}
	}
	for err, want := range map[error]error{
		&tikverr.ErrRetryable{Retryable: "Error(Txn(Error(Mvcc(Error(TxnLockNotFound"}: tkv.ErrConflict,
		fmt.Errorf("x: %w", tikverr.ErrResultUndetermined):                             meta.ErrUnknown,
		context.DeadlineExceeded: meta.ErrUnknown,
	} {
		if got := commitError(err); !errors.Is(got, want) {
			t.Errorf("%v: %v", err, got)
		}
	}
	if err := commitError(&tikverr.ErrEntryTooLarge{}); errors.Is(err, meta.ErrUnknown) || !contains(err, "larger than TiKV takes") {
		t.Error(err)
	}
}

// TestCollect: the hourly job moves the begin of the cluster's history, unless the URL says never.
func TestCollect(t *testing.T) {
	s, _, _ := ailing(t, Options{})
	e := engine(t, s, "v").(*tkv.Engine)
	begin := func() uint64 {
		at, err := s.client.GetPDClient().UpdateGCSafePoint(t.Context(), 0) // gives the one that is set
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	if err := e.Collect(t.Context()); err != nil || begin() != 0 {
		t.Errorf("moved to %d although there is no interval, %v", begin(), err)
	}
	s.keep = time.Hour
	if err := e.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	now, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if kept := oracle.GetTimeFromTS(now.(*txn).ts).Sub(oracle.GetTimeFromTS(begin())); kept < time.Hour || kept > 2*time.Hour {
		t.Errorf("%s are kept", kept)
	}
}

// TestGolden: the keys in the database, and what stands for an empty value.
func TestGolden(t *testing.T) {
	connect := cluster(t)
	s := connect()
	e := tkv.New(tkv.WithPrefix(s, "jfs"+separator), tkv.Options{})
	err := e.Update(t.Context(), meta.Want{}, func(tx meta.Tx) error {
		tx.SetSetting([]byte("{}"))
		tx.SetEntry(1, "f", meta.Entry{Type: meta.TypeFile, Ino: 3})
		tx.SetXattr(3, "user.empty", nil)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	begun, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	view := s.client.GetSnapshot(begun.(*txn).ts)
	it, err := view.Iter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for ; it.Valid(); err = it.Next() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%q=%q", it.Key(), it.Value()))
	}
	want := `"jfs\xfdA\x01\x00\x00\x00\x00\x00\x00\x00Df"="\x01\x00\x00\x00\x00\x00\x00\x00\x03"` + "\n" +
		`"jfs\xfdA\x03\x00\x00\x00\x00\x00\x00\x00Xuser.empty"="\x00\xfd(empty)\xfd\x00"` + "\n" +
		`"jfs\xfdsetting"="{}"`
	if g := strings.Join(got, "\n"); g != want {
		t.Errorf("%s\nwant\n%s", g, want)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func contains(err error, what string) bool { return err != nil && strings.Contains(err.Error(), what) }

func TestURL(t *testing.T) {
	for url, want := range map[string]string{
		"tikv://h":                               "[h:2379] \"\\xfd\" 3h0m0s",
		"tikv://h:1,i/jfs?gc-interval=0":         `[h:1 i:2379] "jfs\xfd" 0s`,
		"tikv://h/a/b?gc-interval=10m":           `[h:2379] "a/b\xfd" 1h0m0s`,
		"tikv://h?gc-interval=x":                 "gc-interval=x",
		"tikv://h?ca=/none&cert=/none&key=/none": "certificates of the tikv URL",
		"tikv://u:geheim@h":                      "no user and no password",
		"etcd://h":                               `unknown scheme "etcd"`,
	} {
		tg, err := parse(url)
		got := fmt.Sprintf("%v %q %s", tg.hosts, tg.prefix, tg.keep)
		if err != nil {
			got = err.Error()
		}
		if got != want && !contains(err, want) || contains(err, "geheim") {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(testenv.ClosedPort(t)))
	_, err := Open(t.Context(), "tikv://"+addr+"/v", Options{DialTimeout: 200 * time.Millisecond})
	if !contains(err, "connect to tikv at "+addr+": no answer within 200ms: is PD running") {
		t.Errorf("nobody listens: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Open(t.Context(), "tikv://"+l.Addr().String()+"/v", Options{DialTimeout: 200 * time.Millisecond})
	if !contains(err, "no answer within 200ms: is PD running") {
		t.Errorf("a silent server: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, "tikv://"+addr+"/v", Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
}
