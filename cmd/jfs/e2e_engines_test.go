package main

import (
	"testing"

	"jfs/internal/testenv"
)

// engine is a database with a server of its own, as the tests of faults need it.
type engine struct {
	name  string
	start func(t testing.TB) *testenv.Server
	url   func(addr string) string
	disk  string // what is little room for it, and enough for a volume of a test
}

// engines are all databases that have a server. What each has acknowledged survives the death of its process.
var engines = []engine{
	{
		"redis",
		func(t testing.TB) *testenv.Server {
			return testenv.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
		},
		func(addr string) string { return "redis://" + addr + "/1" },
		"32m",
	},
	{
		"postgres",
		func(t testing.TB) *testenv.Server { return testenv.StartPostgres(t) },
		func(addr string) string {
			return "postgres://" + testenv.SQLUser + "@" + addr + "/" + testenv.SQLUser + "?sslmode=disable"
		},
		"160m",
	},
	{
		"mariadb",
		func(t testing.TB) *testenv.Server {
			// It sets aside little at a time, so that a full disk is met soon.
			return testenv.StartMariaDB(t, "--innodb-autoextend-increment=4")
		},
		func(addr string) string { return "mysql://" + testenv.SQLUser + "@(" + addr + ")/" + testenv.SQLUser },
		"256m",
	},
	{
		"etcd",
		func(t testing.TB) *testenv.Server { return testenv.StartEtcd(t) },
		func(addr string) string { return "etcd://" + addr + "/vol" },
		"192m",
	},
}
