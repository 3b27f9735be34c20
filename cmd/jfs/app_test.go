package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"jfs/meta"
)

// describe shows all fields of a value, for comparing.
func describe(v any) string { return fmt.Sprintf("%+v", v) }

// runApp runs a command in this process, and returns what it prints.
func runApp(t *testing.T, env map[string]string, args ...string) (code int, out, log string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := newApp(&stdout, &stderr, func(name string) string { return env[name] })
	code = a.run(context.Background(), append([]string{"jfs"}, args...))
	return code, stdout.String(), stderr.String()
}

func TestUsageErrors(t *testing.T) {
	tests := []struct {
		args string
		want string
	}{
		{"fromat x", `unknown command "fromat"`},
		{"status", "status takes 1 arguments and was given 0: jfs status META-URL"},
		{"status --fast sqlite3://x", "unknown flag: --fast: run \"jfs status --help\" for the list of options"},
		{"dump -binary sqlite3://x", "--binary is not supported by this version yet"},
		{"status --pyroscope=x sqlite3://x", "--pyroscope is not supported by this version yet"},
		{"status oracle://u:geheim@h/db", "databases of scheme oracle:// are not supported: use redis://, rediss://, unix://, etcd://, tikv://, badger://, sqlite3://, postgres:// or mysql://"},
		{"format --ranger-service x sqlite3://x vol", "--ranger-service is not supported by this version yet"},
		{"format --storage ftp --bucket x sqlite3://DIR/m.db vol", `object stores of kind "ftp" are not supported`},
		{"format --storage s3 sqlite3://DIR/m.db vol", "storage s3 needs a bucket"},
		{"format --bucket DIR/o sqlite3://DIR/m.db Vol", `invalid volume name "Vol"`},
		{"format --bucket DIR/o --block-size 5M sqlite3://DIR/m.db vol", "invalid block size 5120 KiB"},
		{"format --bucket DIR/o --shards 4 sqlite3://DIR/m.db vol", "4 shards need a bucket with %d in its name"},
		{"format --bucket DIR/o --compress gzip sqlite3://DIR/m.db vol", `unsupported compression "gzip"`},
		{"status sqlite3://DIR/none.db", `database is not formatted, please run "jfs format sqlite3://DIR/none.db NAME" first`},
		{"config sqlite3://DIR/none.db", "database is not formatted"},
		{"mount --buffer-size 1M sqlite3://DIR/none.db DIR/mnt", "--buffer-size of 1048576 bytes is too small"},
		{"mount --max-uploads 0 sqlite3://DIR/none.db DIR/mnt", "--max-uploads 0: at least 1"},
		{"mount -o cache_dir sqlite3://DIR/none.db DIR/mnt", "database is not formatted"},
		{"mount --update-fstab sqlite3://DIR/none.db DIR/mnt", "--update-fstab works with -d only"},
		{"umount DIR", "DIR is not a mount point"},
		{"umount DIR/none/x", "no such file or directory"},
		{"umount /proc", "what is mounted at /proc is not a volume but proc (proc)"},
		{"bench --threads 0 DIR", "at least one thread"},
		{"bench DIR/none", "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			dir := t.TempDir()
			args := strings.Fields(strings.ReplaceAll(tt.args, "DIR", dir))
			code, out, log := runApp(t, nil, append(args, "--no-agent")...)
			fatal := 0
			for line := range strings.Lines(log) {
				if strings.Contains(line, "<FATAL>: ") {
					fatal++
				}
			}
			want := strings.ReplaceAll(tt.want, "DIR", dir)
			if code != 1 || out != "" || fatal != 1 || !strings.Contains(log, "<FATAL>: ") || !strings.Contains(log, want) {
				t.Errorf("exit code %d, %d fatal lines, want %q in\n%s%s", code, fatal, want, out, log)
			}
			if strings.Contains(log, "geheim") {
				t.Errorf("a password is shown: %s", log)
			}
		})
	}
}

func TestFormatConfigStatus(t *testing.T) {
	dir := t.TempDir()
	db := "sqlite3://" + filepath.Join(dir, "m.db")
	ok := func(args ...string) string {
		t.Helper()
		code, out, log := runApp(t, nil, args...)
		if code != 0 {
			t.Fatalf("%q: exit code %d\n%s", args, code, log)
		}
		return out
	}
	refused := func(want string, args ...string) {
		t.Helper()
		if code, _, log := runApp(t, nil, args...); code != 1 || !strings.Contains(log, want) {
			t.Fatalf("%q: exit code %d, want %q in\n%s", args, code, want, log)
		}
	}
	t.Chdir(dir)
	ok("format", "-bucket", "objects", "-capacity=10", "--trash-days", "3", "--secret-key", "geheim", db, "myjfs")
	if b, err := os.ReadFile(filepath.Join(dir, "objects", "myjfs", "juicefs_uuid")); err != nil || len(b) != 36 {
		t.Errorf("mark in the store: %q, %v", b, err)
	}
	status := ok("status", db)
	for _, want := range []string{`"Bucket": "` + dir + `/objects/"`, `"Capacity": 10737418240`, `"TrashDays": 3`, `"SecretKey": "removed"`, `"Sessions": []`, `"AvailableSpace": 10737418240`} {
		if !strings.Contains(status, want) {
			t.Errorf("status lacks %s:\n%s", want, status)
		}
	}
	refused("the store file://"+dir+"/objects/myjfs/ is not empty", "format", "--bucket", "objects", "sqlite3://other.db", "myjfs")
	refused("volume myjfs already", "format", db, "other")
	refused("--compress of volume myjfs cannot change from none to lz4", "format", "--compress", "lz4", db, "myjfs")
	refused("there is no session 7", "status", "-s", "7", db)

	ok("format", "--capacity", "20", "--no-update", db, "myjfs")
	if out := ok("config", db); !strings.Contains(out, `"Capacity": 10737418240`) {
		t.Errorf("--no-update has changed something: %s", out)
	}
	ok("format", "--inodes", "1000", db, "myjfs")
	out := ok("config", db, "--trash-days", "2", "-capacity", "1T", "--upload-limit", "80", "--secret-key", "neu", "--max-client-version", "2.0", "--dir-stats=false")
	want := "secret-key: **** -> ****\ncapacity: 10 GiB -> 1.0 TiB\ntrash-days: 3 -> 2\nupload-limit: 0 Mbps -> 80 Mbps\nmax-client-version: none -> 2.0\ndir-stats: true -> false\n"
	if out != want {
		t.Errorf("config prints\n%swant\n%s", out, want)
	}
	if out := ok("config", db, "--trash-days", "2"); out != "" {
		t.Errorf("no change is printed as %q", out)
	}
	if out := ok("config", db, "--dir-stats", "--user-group-quota"); out != "dir-stats: false -> true\nuser-group-quota: false -> true\n" {
		t.Errorf("config prints\n%s", out)
	}
	if out := ok("config", db, "--enable-acl"); out != "enable-acl: false -> true\nmin-client-version: 1.1.0-A -> 1.2.0-A\n" {
		t.Errorf("config prints\n%s", out)
	}
	refused("cannot be turned off", "config", db, "--enable-acl=false")
	refused("--changelog cannot be turned on", "config", db, "--changelog")
	refused(`"x" is not a version`, "config", db, "--min-client-version", "x")
	refused("the store", "config", db, "--bucket", "/proc/none/")
	ok("config", db, "--bucket", filepath.Join(dir, "moved"))
	out = ok("config", db)
	for _, want := range []string{`"Bucket": "` + dir + `/moved/"`, `"Inodes": 1000`, `"TrashDays": 2`, `"UploadLimit": 80`, `"MaxClientVersion": "2.0"`} {
		if !strings.Contains(out, want) {
			t.Errorf("settings lack %s:\n%s", want, out)
		}
	}
}

func TestShardsAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	db := "sqlite3://" + filepath.Join(dir, "m.db")
	env := map[string]string{envSecretKey: "geheim", envNoCheck: "1"}
	code, _, log := runApp(t, env, "format", "--shards", "3", "--bucket", dir+"/store-%d", db, "myjfs")
	if code != 0 || strings.Contains(log, "geheim") {
		t.Fatalf("exit code %d\n%s", code, log)
	}
	stores, err := filepath.Glob(dir + "/store-?")
	if err != nil || len(stores) != 3 {
		t.Errorf("stores: %q, %v", stores, err)
	}
	if marks, _ := filepath.Glob(dir + "/store-?/myjfs/juicefs_uuid"); len(marks) != 1 {
		t.Errorf("marks: %q", marks)
	}
	if _, out, _ := runApp(t, nil, "config", db); !strings.Contains(out, `"SecretKey": "removed"`) || !strings.Contains(out, `"Shards": 3`) {
		t.Errorf("settings: %s", out)
	}
	// Keys of the environment are not taken for a change that nobody has asked for.
	if code, out, log := runApp(t, map[string]string{envAccessKey: "ak"}, "config", db, "--trash-days", "5"); code != 0 || out != "trash-days: 1 -> 5\n" {
		t.Errorf("exit code %d, %s%s", code, out, log)
	}
}

func TestBench(t *testing.T) {
	code, out, log := runApp(t, nil, "bench", "--big-file-size", "1M", "-small-file-count", "2", "-p2", t.TempDir())
	if code != 0 || !strings.Contains(out, "BigFileSize: 1.0 MiB, SmallFileSize: 128 KiB, SmallFileCount: 2, NumThreads: 2") {
		t.Errorf("exit code %d\n%s%s", code, out, log)
	}
	for _, row := range []string{"Write big file", "Read big file", "Write small file", "Read small file", "Stat file"} {
		if !strings.Contains(out, row) {
			t.Errorf("row %s is missing in\n%s", row, out)
		}
	}
}

func TestVersionText(t *testing.T) {
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc1234def"}, {Key: "vcs.time", Value: "2026-11-23T10:00:00Z"}}}
	for _, tt := range []struct {
		info         *debug.BuildInfo
		linked, want string
	}{
		{info, "", "0.1.0+2026-11-23.abc1234"},
		{info, "v0.1.0-3-gabc", "0.1.0+2026-11-23.abc1234"},
		{nil, "v0.1.0-3-gabc", "0.1.0+0.1.0-3-gabc"},
		{&debug.BuildInfo{}, "", "0.1.0"},
	} {
		if got := versionText(tt.info, tt.linked); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
	for _, args := range [][]string{{"version"}, {"--version"}, {"-V"}} {
		if code, out, _ := runApp(t, nil, args...); code != 0 || !strings.HasPrefix(out, "jfs version "+release) {
			t.Errorf("%q prints %q, exit code %d", args, out, code)
		}
	}
	if sessionVersion() != "1.4.1+jfs-0.1.0" {
		t.Errorf("session version %s", sessionVersion())
	}
}

func TestKnownFlags(t *testing.T) {
	root, err := newApp(os.Stdout, os.Stderr, os.Getenv).root()
	if err != nil {
		t.Fatal(err)
	}
	words := []string{"-log-id", "mount", "bench", "-p", "4", "-threads=2"}
	known := knownFlags(root, words)
	if !known["threads"] || !known["p"] || !known["log-id"] || known["quiet"] || known["v"] {
		t.Errorf("known flags: %v", known)
	}
	if _, ok := known["cache-dir"]; ok {
		t.Error("flags of another command are known")
	}
	if got := rewriteArgs(words, known); !slices.Equal(got, []string{"--log-id", "mount", "bench", "-p", "4", "--threads=2"}) {
		t.Errorf("rewritten: %q", got)
	}
}

func TestCacheDirs(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"ssd1", "ssd2", "hdd"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		in, want, err string
	}{
		{in: "DIR/hdd", want: "DIR/hdd/U"},
		{in: "DIR/a:DIR/b/:", want: "DIR/a/U DIR/b/U"},
		{in: "DIR/ssd*/jfs", want: "DIR/ssd1/jfs/U DIR/ssd2/jfs/U"},
		{in: "DIR/ssd?", want: "DIR/ssd1/U DIR/ssd2/U"},
		{in: "DIR/nvme*/jfs", err: "no directory matches"},
		{in: "DIR/x[", err: "syntax error in pattern"},
		{in: ":", err: "names no directory"},
	}
	for _, tt := range tests {
		got, err := cacheDirs(strings.ReplaceAll(tt.in, "DIR", dir), "U")
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", tt.in, err, tt.err)
			}
			continue
		}
		if err != nil || strings.ReplaceAll(strings.Join(got, " "), dir, "DIR") != tt.want {
			t.Errorf("%s: %q, %v, want %s", tt.in, got, err, tt.want)
		}
	}
}

func TestRelaunch(t *testing.T) {
	r := relaunch{global: []string{"--quiet"}, flags: []string{"cache-size=1G", "read-only"}, fuse: []string{"allow_other", "noexec"}, url: "redis://tom:g%40heim@h/1", point: "/mnt"}
	args, env := r.command()
	want := []string{"jfs", "--quiet", "mount", "--cache-size=1G", "--read-only", "-o", "allow_other,noexec", "--", "redis://tom@h/1", "/mnt"}
	if !reflect.DeepEqual(args, want) {
		t.Errorf("got  %q\nwant %q", args, want)
	}
	if env[len(env)-1] != "META_PASSWORD=g@heim" {
		t.Errorf("the password travels as %q", env[len(env)-1])
	}
}

func TestOverrides(t *testing.T) {
	f := meta.NewFormat("vol", "u")
	f.UploadLimit, f.DownloadLimit = 10, 20
	o := &mountOptions{uploadLimit: 5, storageOptions: storageOptions{bucket: "/other"}}
	if err := o.resolveBucket(f); err != nil {
		t.Fatal(err)
	}
	got := overrideStorage(f, o)
	if got.Bucket != "/other/" || got.Storage != "file" || storage(got) == storage(f) {
		t.Errorf("storage %s, bucket %s", got.Storage, got.Bucket)
	}
	if up, down := bandwidths(f, o); up != 5 || down != 20 {
		t.Errorf("limits %d, %d", up, down)
	}
}
