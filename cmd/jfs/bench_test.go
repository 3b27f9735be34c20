package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jfs/bench"
	"jfs/meta"
	"jfs/object"
	"jfs/object/faulty"
	"jfs/object/mem"
)

// TestObjbench checks a directory as a store, measures it, and leaves nothing.
func TestObjbench(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "r.json")
	code, out, log := runApp(t, nil, "objbench", "--big-object-size", "300K", "--block-size", "64K", "--small-objects", "7", "--rounds", "2", "--json", file, filepath.Join(dir, "store"))
	if code != 0 || strings.Contains(out, "failed") {
		t.Fatalf("exit code %d\n%s%s", code, out, log)
	}
	for _, want := range []string{"get a range of an object |          pass", "multipart upload | not supported", "|    upload objects |", "BigObjectSize: 300 KiB"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	r, err := bench.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	bytes := []int64{300 << 10, 300 << 10, 7 * 128 << 10, 7 * 128 << 10, 0, 0, 0}
	items := []int64{5, 5, 7, 7, 10, 7, 7}
	if r.Kind != bench.KindStore || len(r.Phases) != len(items) {
		t.Fatalf("%s, %d phases", r.Kind, len(r.Phases))
	}
	for i, p := range r.Phases {
		if p.Files() != 2*items[i] || p.Bytes() != 2*bytes[i] || p.Latency["item"].Count() != 2*items[i] || len(p.Rounds) != 2 {
			t.Errorf("%s: %d items, %d bytes, %d rounds", p.Phase.Name, p.Files(), p.Bytes(), len(p.Rounds))
		}
	}
	_ = filepath.WalkDir(filepath.Join(dir, "store"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			t.Errorf("%s is left, %v", path, err)
		}
		return nil
	})
}

// A store that does not do what it says fails its checks.
func TestFunctionalTests(t *testing.T) {
	var out strings.Builder
	a := newApp(&out, &out, func(string) string { return "" })
	broken := errors.New("broken")
	store := faulty.New(mem.New(), faulty.Nth(1, object.OpHead, broken), faulty.Nth(2, object.OpHead, broken))
	err := a.functionalTests(context.Background(), store)
	if err == nil || !strings.Contains(err.Error(), "2 of the checks") || !strings.Contains(out.String(), "failed: broken |") {
		t.Errorf("%v\n%s", err, out.String())
	}
	w := newObjects(mem.New(), &objbenchOptions{blockSize: 10, bigSize: 25, smallSize: 5, smalls: 2})
	if w.blocks != 3 || len(w.block(2)) != 5 {
		t.Errorf("%d blocks, the last of %d bytes", w.blocks, len(w.block(2)))
	}
	if _, err := w.put(t.Context(), "k", []byte("abc")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"abd", "ab", "abcd"} {
		if _, err := w.get(t.Context(), "k", []byte(want)); !errors.Is(err, bench.ErrContents) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// TestMdtest makes and removes its trees in a volume, with exact counts, and leaves nothing.
func TestMdtest(t *testing.T) {
	dir := t.TempDir()
	url := "sqlite3://" + filepath.Join(dir, "m.db")
	if code, _, log := runApp(t, nil, "format", "--bucket", filepath.Join(dir, "o"), "--trash-days", "0", url, "vol"); code != 0 {
		t.Fatal(log)
	}
	file := filepath.Join(dir, "r.json")
	for _, write := range []string{"0", "1000"} {
		code, out, log := runApp(t, nil, "mdtest", "--threads", "2", "--dirs", "2", "--depth", "2", "--files", "3", "--write", write, "--rounds", "2", "--json", file, "--html", filepath.Join(dir, "r.html"), url, "/a/b")
		if code != 0 || !strings.Contains(out, "Make directories") {
			t.Fatalf("exit code %d\n%s%s", code, out, log)
		}
		r, err := bench.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		const dirs = 2 * (1 + 2 + 4)
		for i, want := range []int64{dirs, 3 * dirs, 3 * dirs, dirs, 3 * dirs, 3 * dirs, dirs} {
			if p := r.Phases[i]; p.Files() != 2*want || p.Failed() != "" {
				t.Errorf("%s: %d items, want %d, %s", p.Phase.Name, p.Files(), 2*want, p.Failed())
			}
		}
		if put := r.Phases[1].Counted()["object_request_data_bytes_PUT"]; (put == 2*3*dirs*1000) != (write == "1000") {
			t.Errorf("--write %s: %v bytes in the store", write, put)
		}
		if n := r.Phases[0].Counted()["meta_ops_total_Mknod"]; n != 2*dirs {
			t.Errorf("%v inodes were made", n)
		}
	}
	a := newApp(os.Stderr, os.Stderr, os.Getenv)
	err := a.withVolume(t.Context(), url, meta.Options{}, func(v *meta.Volume) error {
		at, err := findDir(t.Context(), v, "/a/b")
		if err != nil {
			return err
		}
		page, _, err := v.Readdir(t.Context(), at, "", 10, false)
		for _, e := range page {
			if e.Name != "." && e.Name != ".." {
				t.Errorf("%s is left", e.Name)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestBenchBadInput: each is one line that says what to do, and leaves nothing.
func TestBenchBadInput(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"file": "", "old.json": `{"kind":"bench","phases":[]}`, "w.yaml": "- {name: a, op: fly, set: s}", "c.yaml": "- {flags: [x]}"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"bench DIR/file":                                    "give a directory",
		"bench DIR/none":                                    "create the directory first",
		"bench /proc":                                       "give a directory that can be written to",
		"bench --big-file-size 900P DIR":                    "there is too little space",
		"bench --inject store:delay=1ms DIR":                "mount with --inject, or give it to bench compare",
		"objbench --inject meta:delay=1ms DIR/o":            "objbench uses no database",
		"mdtest --inject meta:delay=1ms sqlite3://DIR/m /":  "there is no way to it",
		"bench --rounds 0 DIR":                              "at least one round",
		"bench --json DIR/none/x DIR":                       "no such file or directory",
		"bench --workload DIR/w.yaml DIR":                   `no operation is called "fly"`,
		"bench --workload none DIR":                         "no workload is called none: give checkpoint,",
		"bench --caches ssd-warm DIR":                       "has no caches that can be brought into the state ssd-warm",
		"bench --caches tepid DIR":                          "is none of",
		"bench --beside DIR/old.json DIR":                   "run the benchmark again",
		"bench --prices DIR/none DIR":                       "no such file",
		"bench compare DIR/old.json DIR/old.json":           "its format is 0 and this version reads 1: run the benchmark again",
		"bench compare DIR/file DIR/file":                   "give a file that --json has written",
		"bench compare --configs DIR/c.yaml":                "number 1 has no name",
		"bench compare -c a -c b=":                          "give a name and flags",
		"objbench --threads 0 DIR/o":                        "at least one thread",
		"objbench --storage ftp DIR/o":                      "are not supported",
		"objbench DIR/file":                                 "not a directory",
		"mdtest --dirs 1000 --depth 9 sqlite3://DIR/m.db /": "these are more than 1000000 directories",
		"mdtest --read-only sqlite3://DIR/m.db /":           "makes no sense",
		"mdtest sqlite3://DIR/none.db /":                    "database is not formatted",
	} {
		code, _, log := runApp(t, nil, strings.Fields(strings.ReplaceAll(args, "DIR", dir))...)
		fatal := ""
		for line := range strings.Lines(log) {
			if !strings.Contains(line, "<INFO>") {
				fatal += line
			}
		}
		if code != 1 || !strings.Contains(fatal, want) || strings.Count(fatal, "\n") != 1 {
			t.Errorf("%s: exit code %d, want %q in\n%s", args, code, want, fatal)
		}
	}
	after, err := os.ReadDir(dir)
	if err != nil || len(after) > len(before)+2 { // databases are made when they are looked into
		t.Errorf("left: %v, %v", after, err)
	}
}

func TestContenders(t *testing.T) {
	got, err := contenders([]bench.Configuration{
		{Name: "a", Flags: []string{"--writeback", "--buffer-size", "1G", "--compress=lz4", "--block-size", "1M", "--storage", "file"}},
		{Name: "b", Meta: "redis://h/1", Flags: []string{"--storage", "s3"}},
	}, "", "/work", "/points")
	if err != nil {
		t.Fatal(err)
	}
	a, b := got[0], got[1]
	two, err := contenders([]bench.Configuration{{Name: "a", Flags: []string{"--program", "/bin/sh", "--writeback"}}, {Name: "b", Program: "/bin/sh"}}, "", "/work", "/points")
	if err != nil {
		t.Fatal(err)
	}
	if two[0].Program != "/bin/sh" || strings.Join(two[0].mount, " ") != "--writeback" || two[1].Program != "/bin/sh" {
		t.Errorf("%+v\n%+v", two[0], two[1])
	}
	if _, err := contenders([]bench.Configuration{{Name: "a", Flags: []string{"--program=/none"}}}, "", "/work", "/points"); err == nil || !strings.Contains(err.Error(), "configuration a: program: ") {
		t.Errorf("a program that is not there: %v", err)
	}
	if strings.Join(a.mount, " ") != "--writeback --buffer-size 1G" || strings.Join(a.format, " ") != "--compress=lz4 --block-size 1M --storage file" ||
		a.url != "sqlite3:///work/a/meta.db" || a.point != "/points/a" || b.url != "redis://h/1" || strings.Join(b.mount, " ") != "--storage s3" || len(b.format) > 0 {
		t.Errorf("%+v\n%+v", a, b)
	}
}
