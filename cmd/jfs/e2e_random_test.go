package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	goflag "flag"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"jfs/fs/fstest"
	"jfs/internal/testenv"
	"jfs/object/encrypt"
)

// How long the histories of TestE2ERandom are, and with which random numbers:
// "go test ./cmd/jfs -run E2ERandom -random.steps 100000".
var (
	randomSteps = goflag.Int("random.steps", 0, "operations on each kind of volume; 0 means a few, and with -soak a million on all together")
	randomSeed  = goflag.Uint64("random.seed", 0, "random numbers of the histories; 0 means others each time")
)

// kindOfVolume is what a history is run on.
type kindOfVolume struct {
	compress, encrypt string
	back              bool // --writeback
	redis             bool
}

func (k kindOfVolume) String() string {
	mode, engine := "through", "sqlite"
	if k.back {
		mode = "back"
	}
	if k.redis {
		engine = "redis"
	}
	return strings.Join([]string{k.compress, k.encrypt, mode, engine}, "-")
}

// kindsOfVolume are all combinations of what changes the way of the data, and some of them with another database.
func kindsOfVolume() (all []kindOfVolume) {
	for _, compress := range []string{"none", "lz4", "zstd"} {
		for _, algorithm := range []string{"plain", encrypt.AES, encrypt.ChaCha} {
			for _, back := range []bool{false, true} {
				all = append(all, kindOfVolume{compress, algorithm, back, false})
			}
		}
	}
	return append(all, kindOfVolume{"none", "plain", false, true}, kindOfVolume{"lz4", encrypt.AES, true, true})
}

// TestE2ERandom: random histories of operations on all kinds of volumes, on which things go on behind the back of who
// works there, give what a model in memory says.
func TestE2ERandom(t *testing.T) {
	base := *randomSeed
	if base == 0 {
		base = mathrand.Uint64() >> 1
	}
	kinds := kindsOfVolume()
	steps := *randomSteps
	if steps == 0 {
		steps = soaking(300, 1_000_000/len(kinds))
	}
	key := sync.OnceValue(func() []byte {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Error(err)
			return nil
		}
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	})
	for i, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel() // they wait for their processes most of the time
			t.Logf("again with: -run '%s' -random.seed %d -random.steps %d", t.Name(), base, steps)
			newRandomVolume(t, kind, base+uint64(i), key).history(steps)
		})
	}
}

// randomVolume is a volume for a random history, with one or two mounts.
type randomVolume struct {
	*stressed
	kind   kindOfVolume
	seed   uint64
	window int
	trash  bool
	mounts []string
}

func newRandomVolume(t *testing.T, kind kindOfVolume, seed uint64, key func() []byte) *randomVolume {
	t.Helper()
	rnd := mathrand.New(mathrand.NewPCG(seed, 3))
	v := &randomVolume{stressed: &stressed{world: newWorld(t), url: "sqlite3://$/m.db"}, kind: kind, seed: seed}
	if kind.redis {
		v.url = "redis://" + testenv.Redis(t) + "/1"
	}
	v.mounts = []string{"a", "b"}[:1+rnd.IntN(2)]
	v.trash = rnd.IntN(2) == 0
	size := rnd.IntN(4)
	v.window = []int{400_000, 1_000_000, 3_000_000, 9_000_000}[size] // some blocks
	days := "0"
	if v.trash {
		days = "1"
	}
	args := []string{"format", "--trash-days", days, "--bucket", "$/objects", "--compress", kind.compress, "--block-size", []string{"64K", "256K", "1M", "4M"}[size]}
	if kind.encrypt != "plain" {
		must(t, os.WriteFile(v.path("key.pem"), key(), 0o600))
		args = append(args, "--encrypt-rsa-key", "$/key.pem", "--encrypt-algo", kind.encrypt)
	}
	v.ok(append(args, v.url, "myjfs")...)
	for _, name := range v.mounts {
		v.mountAt(name, v.flags(rnd)...)
	}
	return v
}

// flags draws flags of a mount that change how data goes, but not what is read.
func (v *randomVolume) flags(rnd *mathrand.Rand) []string {
	choose := func(all ...string) []string { return strings.Fields(all[rnd.IntN(len(all))]) }
	flags := choose("", "--memory-cache-size 0", "--memory-cache-size 4M --cache-size 10M", "--cache-size 0 --memory-cache-size 0", "--cache-partial-only")
	flags = append(flags, choose("", "--cache-large-write", "--verify-cache-checksum full")...)
	flags = append(flags, choose("", "--buffer-size 32M", "--max-fuse-io 128K")...)
	flags = append(flags, choose("", "--attr-cache 0 --entry-cache 0", "--max-uploads 1")...)
	flags = append(flags, choose("", "--passthrough auto")...)
	if v.kind.back {
		flags = append(flags, "--writeback")
		flags = append(flags, choose("", "--upload-delay 1s", "--writeback-threshold-size 100K")...)
	}
	if len(v.mounts) == 1 {
		flags = append(flags, choose("", "-o writeback_cache")...)
	}
	return flags
}

// again mounts once more, with other flags, and often with nothing in the cache.
func (v *randomVolume) again(rnd *mathrand.Rand, name string) {
	if rnd.IntN(2) == 0 {
		must(v.t, os.RemoveAll(v.path("cache-"+name)))
	}
	v.mountAt(name, v.flags(rnd)...)
}

func (v *randomVolume) any(rnd *mathrand.Rand) string {
	return "$/" + v.mounts[rnd.IntN(len(v.mounts))]
}

func (v *randomVolume) events() []fstest.Event {
	ran := func(args ...string) error {
		if r := v.run(args...); r.code != 0 {
			return fmt.Errorf("%q: exit code %d\n%s%s", args, r.code, r.out, r.log)
		}
		return nil
	}
	umountAll := func() error {
		for _, name := range v.mounts {
			if err := ran("umount", "$/"+name); err != nil {
				return err
			}
		}
		return nil
	}
	return []fstest.Event{
		{Name: "compact", Every: 100, Do: func(rnd *mathrand.Rand) error {
			return ran("compact", v.any(rnd)+"/d0", v.any(rnd)+"/d1")
		}},
		{Name: "gc --compact", Every: 200, Do: func(*mathrand.Rand) error { return ran("gc", "--compact", v.url) }},
		{Name: "gc --delete", Every: 200, Do: func(*mathrand.Rand) error { return ran("gc", "--delete", v.url) }},
		{Name: "empty the caches", Every: 100, Do: func(rnd *mathrand.Rand) error { return ran("warmup", "--evict", v.any(rnd)) }},
		{Name: "fill the caches", Every: 300, Do: func(rnd *mathrand.Rand) error { return ran("warmup", v.any(rnd)) }},
		{Name: "remount", Every: 200, Need: fstest.Closed, Do: func(rnd *mathrand.Rand) error {
			name := v.mounts[rnd.IntN(len(v.mounts))]
			if err := ran("umount", "$/"+name); err != nil {
				return err
			}
			v.again(rnd, name)
			return nil
		}},
		{Name: "remount all, and remove what no file needs", Every: 500, Need: fstest.Closed, Last: true, Do: func(rnd *mathrand.Rand) error {
			if err := umountAll(); err != nil {
				return err
			}
			v.age()
			if err := ran("gc", "--delete", v.url); err != nil {
				return err
			}
			for _, name := range v.mounts {
				v.again(rnd, name)
			}
			return nil
		}},
	}
}

func (v *randomVolume) history(steps int) {
	v.t.Helper()
	o := fstest.RandomOptions{
		Seed: v.seed, Steps: steps, Window: v.window, Late: v.kind.back, NoShift: true, FreeDirect: true, Events: v.events(),
		Describe: func(path string) string {
			about := ""
			if path != "" {
				about = v.run("info", "--raw", path).out
			}
			return about + v.complaints()
		},
	}
	for _, name := range v.mounts {
		o.Views = append(o.Views, v.path(name))
	}
	fstest.Random(v.t, o)
	if !v.trash {
		v.sound(v.mounts...)
		return
	}
	for _, name := range v.mounts {
		v.ok("umount", "$/"+name)
	}
	if bad := v.complaints(); bad != "" {
		v.t.Errorf("the log of a mount:\n%s", bad)
	}
	v.ok("fsck", v.url)
	v.age()
	if out := v.ok("gc", v.url); !strings.Contains(out, " 0 leaked ") || !strings.Contains(out, " 0 skipped ") {
		v.t.Errorf("gc: %s", out)
	}
}
