package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"jfs/internal/testenv"
	"jfs/meta"
	"jfs/meta/sql"
)

func TestE2EMountErrors(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.write("full/file", []byte("x"))
	port := testenv.ClosedPort(t)
	server := testenv.Redis(t, "--requirepass", "geheim")
	tests := []struct {
		name, want string
		args       []string
	}{
		{"not formatted", `database is not formatted, please run "jfs format sqlite3://$/none.db NAME" first`, []string{"sqlite3://$/none.db", "$/mnt"}},
		{"wrong URL", "databases of scheme sqlite:// are not supported", []string{"sqlite://$/m.db", "$/mnt"}},
		{"no such directory of the database", "$/none/m.db", []string{"sqlite3://$/none/m.db", "$/mnt"}},
		{"redis down", "connection refused", []string{fmt.Sprintf("redis://127.0.0.1:%d/1", port), "$/mnt"}},
		{"wrong password", "password", []string{"redis://:falsch@" + server + "/1", "$/mnt"}},
		{"mount point not empty", "mount point $/full is not empty", []string{"sqlite3://$/m.db", "$/full"}},
		{"mount point is a file", "mount point $/full/file is not a directory", []string{"sqlite3://$/m.db", "$/full/file"}},
		{"cache directory not writable", "/proc/none", []string{"--cache-dir", "/proc/none", "sqlite3://$/m.db", "$/mnt"}},
		{"missing subdir", "--subdir /none: there is no none, and a read-only mount does not make it", []string{"--read-only", "--subdir", "/none", "sqlite3://$/m.db", "$/mnt"}},
		{"unknown option of FUSE", `mount option "fast" is not known`, []string{"-o", "fast", "sqlite3://$/m.db", "$/mnt"}},
		{"store cannot be reached", "connection refused", []string{"--check-storage", "--io-retries", "1", "--storage", "s3", "--bucket", fmt.Sprintf("http://127.0.0.1:%d/b", port), "sqlite3://$/m.db", "$/mnt"}},
	}
	for _, background := range []bool{false, true} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s/background=%v", tt.name, background), func(t *testing.T) {
				sub := *w
				sub.t = t
				args := []string{"mount", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache"}
				if background {
					args = append(args, "-d")
				}
				sub.refused(tt.want, append(args, tt.args...)...)
			})
		}
	}
	w.refused("log file", "mount", "-d", "--log", "/proc/none/log", "sqlite3://$/m.db", "$/mnt")
	w.mount()
	w.refused("$/mnt: JuiceFS:myjfs is already mounted there", "mount", "-d", "--log", "$/log", "sqlite3://$/m.db", "$/mnt")
	w.ok("umount", "$/mnt")
	if log, err := os.ReadFile(w.path("log")); err != nil || strings.Contains(string(log), "falsch") {
		t.Errorf("the log shows a password, or is not there: %v", err)
	}
	if ss := w.sessions("sqlite3://$/m.db"); len(ss) != 0 {
		t.Errorf("sessions of mounts that came to nothing: %+v", ss)
	}
}

func TestE2EFormatErrors(t *testing.T) {
	w := newWorld(t)
	port := testenv.ClosedPort(t)
	w.refused("connection refused", "format", "--storage", "s3", "--bucket", fmt.Sprintf("http://127.0.0.1:%d/bucket", port),
		"--access-key", "ak", "--secret-key", "geheim", "sqlite3://$/m.db", "myjfs")
	w.refused("cannot be made", "format", "--bucket", "/proc/none/objects", "sqlite3://$/m.db", "myjfs")
	w.refused("connection refused", "format", "--bucket", "$/objects", fmt.Sprintf("127.0.0.1:%d/1", port), "myjfs")
	if _, err := os.Stat(w.path("objects")); !os.IsNotExist(err) {
		t.Errorf("a format that failed has left a store: %v", err)
	}
}

// setFormat changes the settings of the world's volume behind its clients' back.
func (w *world) setFormat(change func(*meta.Format)) {
	w.t.Helper()
	ctx := context.Background()
	engine, err := sql.Open(ctx, "sqlite3://"+w.path("m.db"), sql.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := engine.Close(); err != nil {
			w.t.Error(err)
		}
	}()
	f, err := meta.Load(ctx, engine)
	if err != nil {
		w.t.Fatal(err)
	}
	change(&f)
	if err := meta.Store(ctx, engine, f, meta.Time{}); err != nil {
		w.t.Fatal(err)
	}
}

func TestE2ENewerVersion(t *testing.T) {
	w := newWorld(t)
	w.format()
	w.setFormat(func(f *meta.Format) { f.MetaVersion = 2 })
	const want = "volume myjfs has metadata version 2, this client supports up to 1: upgrade the client"
	w.refused(want, "mount", "--no-agent", "--cache-dir", "$/cache", "sqlite3://$/m.db", "$/mnt")
	w.refused(want, "config", "--trash-days", "2", "sqlite3://$/m.db")
	w.refused(want, "format", "--bucket", "$/objects", "sqlite3://$/m.db", "myjfs")
	if !strings.Contains(w.ok("status", "sqlite3://$/m.db"), `"MetaVersion": 2`) {
		t.Error("status does not show the version")
	}
}

// TestE2ELost: a mount ends by itself, with a code of its own, when its volume is not the same any more.
func TestE2ELost(t *testing.T) {
	w := newWorld(t)
	w.format()
	f := w.mountForeground("--heartbeat", "0.1s", "sqlite3://$/m.db", "$/mnt")
	w.setFormat(func(f *meta.Format) { f.UUID = "00000000-0000-4000-8000-000000000000" })
	if code, log := f.end(t); code != exitLost || !strings.Contains(log, "<FATAL>: the volume is lost: the database holds another volume now") {
		t.Errorf("exit code %d\n%s", code, log)
	}
}

// TestE2EReload: a running mount follows the volume's settings.
func TestE2EReload(t *testing.T) {
	w := newWorld(t)
	w.format()
	f := w.mountForeground("--heartbeat", "0.1s", "sqlite3://$/m.db", "$/mnt")
	w.ok("config", "--bucket", "$/moved", "sqlite3://$/m.db")
	for line := ""; !strings.Contains(line, "Data use file://"+w.path("moved")); {
		var err error
		if line, err = f.log.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	w.write("mnt/file", content(100, 1))
	w.ok("umount", "$/mnt")
	if code, log := f.end(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, log)
	}
	if _, err := os.Stat(w.path("moved/myjfs/chunks")); err != nil {
		t.Errorf("new objects are not in the new place: %v", err)
	}
}

// TestE2EPassword: no process of a mount shows the password of the database, and no log does.
func TestE2EPassword(t *testing.T) {
	w := newWorld(t)
	server := testenv.Redis(t, "--requirepass", "geheim")
	url := "redis://:geheim@" + server + "/1"
	r := w.run("format", "--bucket", "$/objects", url, "myjfs")
	if r.code != 0 || strings.Contains(r.log, "geheim") || !strings.Contains(r.log, "Meta address: redis://:****@"+server+"/1") {
		t.Fatalf("exit code %d\n%s", r.code, r.log)
	}
	arguments := func(pid int) string {
		t.Helper()
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.Contains(string(b), server) {
			t.Errorf("arguments of the mount: %q, %v", b, err)
		}
		return string(b)
	}
	f := w.mountForeground(url, "$/mnt")
	if args := arguments(f.cmd.Process.Pid); strings.Contains(args, "geheim") {
		t.Errorf("arguments in the foreground: %q", args)
	}
	w.write("mnt/file", content(5000, 1))
	w.ok("umount", "$/mnt")
	if code, log := f.end(t); code != 0 || strings.Contains(log, "geheim") {
		t.Errorf("exit code %d\n%s", code, log)
	}

	w.env = []string{envMetaPassword + "=geheim"}
	w.ok("mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", server+"/1", "$/mnt")
	ss := w.sessions("redis://" + server + "/1")
	if len(ss) != 1 || strings.Contains(arguments(ss[0].ProcessID), "geheim") {
		t.Errorf("sessions %+v", ss)
	}
	w.holds("mnt/file", content(5000, 1))
	w.ok("umount", "$/mnt")
	if log, err := os.ReadFile(w.path("log")); err != nil || strings.Contains(string(log), "geheim") {
		t.Errorf("log: %v\n%s", err, log)
	}
}
