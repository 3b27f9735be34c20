package metatest_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/metatest"
	"jfs/meta/redis"
	"jfs/meta/sql"
	"jfs/meta/tkv"
	"jfs/meta/tkv/badger"
	"jfs/meta/tkv/etcd"
	"jfs/meta/tkv/mem"
)

// TestHistory: one random history has the same answers and leaves the same tree on every engine.
func TestHistory(t *testing.T) {
	server, etcds := testenv.StartRedis(t), testenv.StartEtcd(t)
	nodes, sentinels := testenv.StartRedisCluster(t, 3, false), testenv.StartRedisSentinels(t, "")
	postgres, mariadb := testenv.StartPostgres(t), testenv.StartMariaDB(t)
	const steps = 600
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			engines := []func() (meta.Engine, error){
				func() (meta.Engine, error) { return mem.NewEngine(tkv.Options{}), nil },
				func() (meta.Engine, error) {
					return redis.Open(t.Context(), fmt.Sprintf("redis://%s/%d", server.Addr, seed), redis.Options{})
				},
				func() (meta.Engine, error) {
					return sql.Open(t.Context(), "sqlite3://"+filepath.Join(t.TempDir(), "meta.db"), sql.Options{})
				},
				func() (meta.Engine, error) {
					return opened(etcd.Open(t.Context(), fmt.Sprintf("etcd://%s/%d", etcds.Addr, seed), etcd.Options{}))
				},
				func() (meta.Engine, error) {
					return opened(badger.Open(t.Context(), "badger://"+t.TempDir(), badger.Options{}))
				},
			}
			if seed < 2 { // these take their time
				for _, hosts := range []string{nodes.Addrs(), sentinels.Hosts()} {
					engines = append(engines, func() (meta.Engine, error) {
						return redis.Open(t.Context(), fmt.Sprintf("redis://%s/%d", hosts, seed+1), redis.Options{})
					})
				}
				prefix := fmt.Sprint("?table_prefix=Seed", seed)
				for _, url := range []string{
					fmt.Sprintf("postgres://%s@%s/%s", testenv.SQLUser, postgres.Addr, testenv.SQLUser),
					fmt.Sprintf("mysql://%s@(%s)/%s", testenv.SQLUser, mariadb.Addr, testenv.SQLUser),
				} {
					engines = append(engines, func() (meta.Engine, error) { return sql.OpenServer(t.Context(), url+prefix, sql.Options{}) })
				}
			}
			var first, firstName string
			for _, open := range engines {
				e, err := open()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = e.Close() })
				got := metatest.History(t, e, seed, steps)
				if firstName == "" {
					first, firstName = got, e.Name()
					if n := strings.Count(got, " errno 0\n"); n < steps/4 {
						t.Errorf("only %d of %d steps succeeded: the history shows too little", n, steps)
					}
					continue
				}
				if got != first {
					t.Errorf("%s and %s differ:\n%s", firstName, e.Name(), difference(first, got))
				}
			}
		})
	}
}

// opened makes an engine one of any kind.
func opened[E meta.Engine](e E, err error) (meta.Engine, error) { return e, err }

// difference shows the first line in which two texts differ.
func difference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return fmt.Sprintf("line %d\n- %s\n+ %s", i, as[i], bs[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(as), len(bs))
}
