package cache_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"jfs/block"
	"jfs/cache"
	"jfs/cache/cachetest"
	"jfs/internal/bytepool"
)

// envVictim names the directory of a process that fills a cache until it is killed, and envVictimMode what it verifies.
const (
	envVictim     = "JFS_TEST_CACHE_VICTIM"
	envVictimMode = "JFS_TEST_CACHE_VICTIM_MODE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envVictim); dir != "" {
		fill(dir)
	}
	os.Exit(m.Run())
}

func killOptions(mode string) cache.DiskOptions {
	return cache.DiskOptions{FreeRatio: -1, MaxBytes: 4 << 20, Checksum: mode, QueueBytes: 1 << 20}
}

func killKey(n uint64) block.Key {
	return block.Key{Slice: n % 8, Index: uint32(n % 3), Size: 10*page + 77}
}

// fill puts blocks and parts of them into a cache that is too small for them, for ever.
func fill(dir string) {
	d, err := cache.OpenDisk(dir, killOptions(os.Getenv(envVictimMode)))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	pool, data := bytepool.New(0), map[block.Key][]byte{}
	for n := range uint64(24) {
		data[killKey(n)] = cachetest.Data(killKey(n))
	}
	for n := 0; ; n++ {
		key := killKey(rand.Uint64())
		from := rand.IntN(10) * page
		to := from + page
		switch {
		case n%50 == 0:
			from, to = 0, int(key.Size)
		case from == 9*page:
			to = int(key.Size)
		case n%20 == 0:
			d.Remove(key)
		}
		buf := pool.TryGet(to - from)
		copy(buf.B, data[key][from:to])
		if len(buf.B) == int(key.Size) {
			d.Put(key, buf)
		} else {
			d.PutPart(key, buf, from)
		}
		buf.Release()
		if n%8 == 0 {
			d.Flush()
		}
		if n == 0 {
			fmt.Println("ready")
		}
	}
}

// TestDiskKilled: what a process leaves that is killed while it writes, evicts and removes is right or not there, also
// where nothing is verified.
func TestDiskKilled(t *testing.T) {
	for _, mode := range []string{"extend", "none"} {
		dir := t.TempDir()
		hits := 0
		for round := range 10 {
			victim := exec.Command(os.Args[0])
			victim.Env = append(os.Environ(), envVictim+"="+dir, envVictimMode+"="+mode)
			out, err := victim.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := victim.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond) // somewhere in its work
			_ = victim.Process.Kill()
			_, _ = io.Copy(io.Discard, out)
			_ = victim.Wait()
			if err != nil || line != "ready\n" {
				t.Fatalf("the process says %q, %v", line, err)
			}

			d := openDisk(t, dir, killOptions(mode))
			for n := range uint64(24) {
				key := killKey(n)
				want := cachetest.Data(key)
				for off := 0; off < int(key.Size); off += page {
					dst := make([]byte, min(page, int(key.Size)-off))
					if !d.ReadAt(key, dst, off) {
						continue
					}
					hits++
					if !bytes.Equal(dst, want[off:off+len(dst)]) {
						t.Fatalf("%s, round %d: wrong bytes of %v at %d", mode, round, key, off)
					}
				}
			}
			d.Close()
		}
		if hits == 0 {
			t.Error("nothing was left in the cache")
		}
	}
}
