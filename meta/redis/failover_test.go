package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"jfs/internal/testenv"
	"jfs/meta"
)

// load is clients that add entries to a directory all the time, and know which were acknowledged.
type load struct {
	stop    context.CancelFunc
	ctx     context.Context
	wg      sync.WaitGroup
	writers []*writer
}

type writer struct {
	mu     sync.Mutex
	acked  []int         // changes that were
	failed int           // others
	worst  time.Duration // longest operation
	wake   chan struct{} // gets an element after every operation, if there is room
}

// everyWay opens engines that write on the link, on the direct connection, and on shared ones.
func everyWay(t *testing.T, url string, o Options) []*Engine {
	link := open(t, url, o)
	coherent(t, link)
	o.NoTracking = true
	direct, shared := open(t, url, o), open(t, url, o)
	shared.client.direct.mu.Lock() // somebody else has it
	return []*Engine{link, direct, shared}
}

func put(t *testing.T, engines ...*Engine) *load {
	l := &load{}
	l.ctx, l.stop = context.WithCancel(context.Background())
	for i, e := range engines {
		w := &writer{wake: make(chan struct{}, 1)}
		l.writers = append(l.writers, w)
		l.wg.Go(func() {
			for n := 1; l.ctx.Err() == nil; n++ {
				began := time.Now()
				err := e.Update(l.ctx, meta.Want{}, func(tx meta.Tx) error {
					tx.SetEntry(1, nameOf(i, n), meta.Entry{Type: meta.TypeFile, Ino: meta.Ino(n)})
					return nil
				})
				if l.ctx.Err() != nil {
					return
				}
				w.mu.Lock()
				if err == nil {
					w.acked = append(w.acked, n)
				} else {
					w.failed++
				}
				w.worst = max(w.worst, time.Since(began))
				w.mu.Unlock()
				select {
				case w.wake <- struct{}{}:
				default:
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	l.stop()
	l.wg.Wait()
}

func nameOf(writer, n int) string { return strconv.Itoa(writer) + "_" + strconv.Itoa(n) }

// counts says how many changes of each writer were acknowledged.
func (l *load) counts() []int {
	counts := make([]int, len(l.writers))
	for i, w := range l.writers {
		w.mu.Lock()
		counts[i] = len(w.acked)
		w.mu.Unlock()
	}
	return counts
}

// more waits until every writer has had n more changes acknowledged.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	limit := time.NewTimer(2 * moveTime)
	defer limit.Stop()
	from := l.counts()
	for i, w := range l.writers {
		for l.counts()[i] < from[i]+n {
			select {
			case <-w.wake:
			case <-limit.C:
				t.Fatalf("writer %d: no more changes", i)
			}
		}
	}
}

// kept checks that what was acknowledged is there, but for what was after the first until changes of each writer and not
// after the first since.
func (l *load) kept(t *testing.T, e *Engine, until, since []int) {
	t.Helper()
	there := make(map[string]bool)
	for cursor := ""; ; {
		var page []meta.Dirent
		view(t, e, meta.Want{}, func(r meta.Reader) (err error) {
			page, cursor, err = r.Entries(1, cursor, 1000, false)
			return err
		})
		for _, d := range page {
			there[d.Name] = true
		}
		if cursor == "" {
			break
		}
	}
	for i, w := range l.writers {
		for _, n := range append(slices.Clone(w.acked[:until[i]]), w.acked[since[i]:]...) {
			if !there[nameOf(i, n)] {
				t.Errorf("writer %d: change %d was acknowledged and is lost", i, n)
			}
		}
		t.Logf("writer %d: %d acknowledged, %d failed, the longest took %v", i, len(w.acked), w.failed, w.worst)
	}
}

// replicated waits until a replica has all that was acknowledged, and says how many changes that were.
func (l *load) replicated(t *testing.T, master, key string) []int {
	t.Helper()
	counts := l.counts()
	if got := testenv.RedisSay(t, master, "SET "+key+" 1", "WAIT 1 30000"); got != "1" {
		t.Fatalf("%s replicas have the changes", got)
	}
	return counts
}

func TestSentinelFailover(t *testing.T) {
	s := testenv.StartRedisSentinels(t, "geheim")
	url := "redis://" + s.Hosts() + "/2"
	o := Options{SentinelPassword: "geheim"}
	engines := everyWay(t, url, o)
	withDir(t, engines[0], 1)
	l := put(t, engines...)
	l.more(t, 30)
	until := l.replicated(t, s.Master.Addr, "other")
	s.Master.Kill()
	s.Promoted(t, "geheim")
	since := l.counts()
	l.more(t, 30)

	// The old master is a master again until a Sentinel notices it: nobody must write there.
	s.Master.Start()
	for _, e := range engines {
		e.client.where.shut(nil)
	}
	l.more(t, 30)
	l.end()
	fresh := open(t, url, o)
	l.kept(t, fresh, until, since)
	coherent(t, engines[0])
	makeFile(t, fresh, 1, "seen", 7)
	if found(t, engines[0], 1, "seen") != 7 {
		t.Error("a new entry is not seen")
	}
}

// TestSilentMaster: a master that stops to answer, and does not end, is left as soon as there is another.
func TestSilentMaster(t *testing.T) {
	s := testenv.StartRedisSentinels(t, "")
	url := "redis://" + s.Hosts() + "/2"
	o := Options{Timeout: 5 * time.Minute}
	engines := everyWay(t, url, o)
	withDir(t, engines[0], 1)
	l := put(t, engines...)
	l.more(t, 30)
	until := l.replicated(t, s.Master.Addr, "other")
	s.Master.Freeze()
	s.Promoted(t, "")
	since := l.counts()
	l.more(t, 30)
	s.Master.Thaw()
	l.more(t, 30)
	l.end()
	l.kept(t, open(t, url, o), until, since)
	coherent(t, engines[0])
}

func TestSentinelErrors(t *testing.T) {
	s := testenv.StartRedisSentinels(t, "geheim")
	testenv.RedisSay(t, s.Master.Addr, "ACL SETUSER tom on >wort "+leastACL)
	_, err := Open(t.Context(), "redis://tom:wort@"+s.Hosts(), Options{SentinelPassword: "geheim"})
	if !errors.Is(err, errPermission) || !strings.Contains(err.Error(), "+role ") {
		t.Errorf("a user who may not ask for the role: %v", err)
	}
	testenv.RedisSay(t, s.Master.Addr, "ACL SETUSER tom +role")
	closed := freeAddr(t)
	for url, hint := range map[string]string{
		"redis://tom:wort@" + s.Hosts() + "/1":                               "SENTINEL_PASSWORD",
		"redis://tom:wort@" + strings.Replace(s.Hosts(), s.Name, "other", 1): "knows no master",
		"redis://tom:falsch@" + s.Hosts():                                    "wrong user or password",
		"redis://tom:wort@" + s.Name + "," + closed + "," + freeAddr(t):      "is the server running",
	} {
		o := Options{SentinelPassword: "geheim"}
		if hint == "SENTINEL_PASSWORD" {
			o.SentinelPassword = "falsch"
		}
		_, err := Open(t.Context(), url, o)
		if err == nil || !strings.Contains(err.Error(), hint) || strings.Contains(err.Error(), "wort@") || strings.Contains(err.Error(), "falsch") {
			t.Errorf("%s: %v", url, err)
		}
	}
	e := open(t, "redis://tom:wort@"+strings.Replace(s.Hosts(), ",", ","+closed+",", 1)+"/1", Options{SentinelPassword: "geheim"})
	withDir(t, e, 1)
	coherent(t, e)
}

// TestReservedNumbersSurvive: numbers that were given away are not given away again by another server.
func TestReservedNumbersSurvive(t *testing.T) {
	s := testenv.StartRedisSentinels(t, "", "--repl-disable-tcp-nodelay", "no")
	url := "redis://" + s.Hosts() + "/1"
	e := open(t, url, Options{NoTracking: true})
	var last uint64
	for range 100 {
		first, err := e.Reserve(t.Context(), meta.SeqSlice, 10)
		if err != nil {
			t.Fatal(err)
		}
		last = first + 9
	}
	s.Master.Kill()
	if first, err := e.Reserve(t.Context(), meta.SeqSlice, 10); err != nil || first <= last {
		t.Errorf("reserved from %d after %d, %v", first, last, err)
	}
}

// TestReplicaReads: a client that only reads does so from a replica, and one that writes reads what it wrote.
func TestReplicaReads(t *testing.T) {
	reads := func(t *testing.T, url string, master, replica *testenv.Server, o Options) {
		writer := open(t, url, o)
		setLength(t, writer, 5, 55)
		(&load{}).replicated(t, master.Addr, writer.keys.global("other"))
		for _, o.NoTracking = range []bool{false, true} {
			e := open(t, url+"?route-read=replica", o)
			at := func() string {
				e.client.where.mu.Lock()
				defer e.client.where.mu.Unlock()
				return e.client.where.at
			}
			if a, _ := attrOf(t, e, 5); a.Length != 55 {
				t.Errorf("length %d", a.Length)
			}
			view(t, e, meta.Want{Attrs: []meta.Ino{5}, Nodes: []meta.Name{{Dir: 1, Name: "a"}}}, func(meta.Reader) error { return nil })
			if at() != replica.Addr {
				t.Errorf("reads from %s, and the replica is %s", at(), replica.Addr)
			}
			if o.NoTracking {
				if first, err := e.Reserve(t.Context(), meta.SeqSlice, 10); err != nil || first != 1 {
					t.Errorf("reserved from %d, %v", first, err)
				}
			}
			for n := range uint64(20) {
				setLength(t, e, 6, n)
				if a, _ := attrOf(t, e, 6); a.Length != n {
					t.Fatalf("reads length %d, and has written %d", a.Length, n)
				}
			}
			if at() != master.Addr {
				t.Errorf("reads from %s after a change, and the master is %s", at(), master.Addr)
			}
		}
	}
	t.Run("Sentinel", func(t *testing.T) {
		s := testenv.StartRedisSentinels(t, "")
		reads(t, "redis://"+s.Hosts()+"/3", s.Master, s.Replica, Options{})
	})
	t.Run("cluster", func(t *testing.T) {
		c := testenv.StartRedisCluster(t, 3, true)
		owner := c.Owner("{3}x")
		reads(t, "redis://"+c.Addrs()+"/3", c.Nodes[owner], c.Replicas[owner], Options{})
	})
}

func TestClusterFailover(t *testing.T) {
	c := testenv.StartRedisCluster(t, 3, true)
	url := "redis://" + c.Addrs() + "/5"
	engines := everyWay(t, url, Options{})
	withDir(t, engines[0], 1)
	l := put(t, engines...)
	l.more(t, 30)
	owner := c.Owner("{5}x")
	until := l.replicated(t, c.Nodes[owner].Addr, "{5}other")
	before := engines[0].client.where.place()
	c.Nodes[owner].Kill()
	for engines[0].client.where.place() == before {
		l.more(t, 1)
	}
	since := l.counts()
	l.more(t, 30)
	l.end()
	l.kept(t, open(t, "redis://"+c.Nodes[(owner+1)%3].Addr+"/5", Options{}), until, since)
	coherent(t, engines[0])
}

// TestSlotMoves moves the slot of a volume in use to another node, key by key.
func TestSlotMoves(t *testing.T) {
	c := testenv.StartRedisCluster(t, 3, false)
	url := "redis://" + c.Addrs() + "/6"
	engines := everyWay(t, url, Options{})
	withDir(t, engines[0], 1)
	for ino := meta.Ino(10); ino < 40; ino++ {
		setLength(t, engines[0], ino, uint64(ino))
	}
	from := c.Owner("{6}x")
	c.MoveSlot("{6}x", from, (from+1)%3, func() {
		for i, e := range engines {
			for ino := meta.Ino(10); ino < 40; ino++ {
				if a, _ := attrOf(t, e, ino); a.Length != uint64(ino) {
					t.Fatalf("way %d: length %d of inode %d while the slot moves", i, a.Length, ino)
				}
				setLength(t, e, ino, uint64(ino))
			}
		}
	})
	l := put(t, engines...)
	l.more(t, 10)
	l.end()
	l.kept(t, engines[0], l.counts(), l.counts())
	coherent(t, engines[0])
	for _, e := range engines {
		if at := e.client.where.at; at != c.Nodes[(from+1)%3].Addr {
			t.Errorf("the volume is thought to be at %s", at)
		}
	}
}

// TestClusterLogin: a password of the URL, and the least rights.
func TestClusterLogin(t *testing.T) {
	c := testenv.StartRedisCluster(t, 2, false)
	for _, s := range c.Nodes {
		testenv.RedisSay(t, s.Addr, "ACL SETUSER tom on >wort "+strings.Replace(leastACL, "~*", "~{3}*", 1)+" +cluster|slots")
	}
	url := "redis://tom:wort@" + c.Addrs() + "/3"
	if _, err := Open(t.Context(), url, Options{}); !errors.Is(err, errPermission) || !strings.Contains(err.Error(), "+cluster|keyslot ") {
		t.Errorf("a user who may not ask for the slot: %v", err)
	}
	if _, err := Open(t.Context(), strings.Replace(url, "wort", "falsch", 1), Options{}); err == nil || !strings.Contains(err.Error(), "wrong user or password") {
		t.Errorf("wrong password: %v", err)
	}
	for _, s := range c.Nodes {
		testenv.RedisSay(t, s.Addr, "ACL SETUSER tom +cluster|keyslot")
	}
	for _, u := range []string{url, "redis://tom:wort@" + c.Nodes[0].Addr + "/3", "redis://tom:wort@" + c.Nodes[1].Addr + "/3"} {
		e := open(t, u, Options{})
		withDir(t, e, 1)
		coherent(t, e)
		if _, err := e.Reserve(t.Context(), meta.SeqInode, 1); err != nil {
			t.Error(err)
		}
	}
}

// TestEndOfScan: a scan that goes on at another server would miss keys.
func TestEndOfScan(t *testing.T) {
	c := testenv.StartRedisCluster(t, 2, false)
	e := open(t, "redis://"+c.Addrs()+"/7", Options{NoTracking: true})
	for n := range 3000 {
		raw(t, e, "HSET", "{7}d1", "name"+strconv.Itoa(n), string(meta.Entry{Type: meta.TypeFile, Ino: 9}.Encode()))
		raw(t, e, "SET", "{7}i"+strconv.Itoa(n+10), string(meta.EncodeAttr(&fileAttr)))
	}
	var inDir, ofNodes string
	step := func() (listed, scanned error) {
		listed = e.View(t.Context(), meta.Want{}, func(r meta.Reader) (err error) {
			_, inDir, err = r.Entries(1, inDir, 10, false)
			return err
		})
		scanned = e.View(t.Context(), meta.Want{}, func(r meta.Reader) (err error) {
			_, ofNodes, err = r.ScanNodes(ofNodes, 10)
			return err
		})
		return listed, scanned
	}
	for range 2 {
		if listed, scanned := step(); listed != nil || scanned != nil || inDir == "" || ofNodes == "" {
			t.Fatal(listed, scanned, inDir, ofNodes)
		}
	}
	from := c.Owner("{7}x")
	c.MoveSlot("{7}x", from, 1-from, func() {
		err := e.View(t.Context(), meta.Want{}, func(r meta.Reader) error {
			_, _, err := r.ScanNodes("", 10)
			return err
		})
		if !errors.Is(err, errMoved) {
			t.Errorf("while half of the keys have moved: %v", err)
		}
	})
	if listed, scanned := step(); !errors.Is(listed, errMoved) || !errors.Is(scanned, errMoved) {
		t.Errorf("after the volume has moved: %v, %v", listed, scanned)
	}
}
