package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFstabLine(t *testing.T) {
	got := fstabLine("redis://h:6379/1", "/mnt/my jfs", []string{"max-uploads=50", "read-only"})
	want := `redis://h:6379/1 /mnt/my\040jfs juicefs _netdev,max-uploads=50,read-only 0 0`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWithFstabLine(t *testing.T) {
	const line = "redis://new /mnt/jfs juicefs _netdev 0 0"
	tests := []struct{ name, old, want, err string }{
		{name: "empty", want: line + "\n"},
		{name: "append", old: "UUID=1 / ext4 defaults 0 1\n", want: "UUID=1 / ext4 defaults 0 1\n" + line + "\n"},
		{name: "no newline at the end", old: "UUID=1 / ext4 defaults 0 1", want: "UUID=1 / ext4 defaults 0 1\n" + line + "\n"},
		{name: "replace, comments and order stay",
			old:  "# redis://x /mnt/jfs juicefs\nredis://old  /mnt/jfs\tjuicefs _netdev,cache-size=1 0 0\nUUID=1 / ext4 defaults 0 1\nredis://twice /mnt/jfs jfs _netdev 0 0\n",
			want: "# redis://x /mnt/jfs juicefs\n" + line + "\nUUID=1 / ext4 defaults 0 1\n"},
		{name: "another type", old: "srv:/x /mnt/jfs nfs defaults 0 0\n", err: "has an entry of type nfs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := withFstabLine(tt.old, line)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v\nwant %q", got, err, tt.want)
			}
		})
	}
}

func TestUpdateFstab(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fstab")
	if err := os.WriteFile(path, []byte("UUID=1 / ext4 defaults 0 1\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time nothing changes
		if err := updateFstab(path, "redis://h /mnt/jfs juicefs _netdev 0 0"); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != "UUID=1 / ext4 defaults 0 1\nredis://h /mnt/jfs juicefs _netdev 0 0\n" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".fstab*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestLinkHelper(t *testing.T) {
	link := filepath.Join(t.TempDir(), "mount.juicefs")
	for range 2 {
		if err := linkHelper(link, "/usr/bin/jfs"); err != nil {
			t.Fatal(err)
		}
	}
	if err := linkHelper(link, "/usr/local/bin/jfs"); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a link of another program: %v", err)
	}
	if target, err := os.Readlink(link); err != nil || target != "/usr/bin/jfs" {
		t.Errorf("link to %q, %v", target, err)
	}
}

func TestWriteFstab(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var log bytes.Buffer
	a := newApp(io.Discard, &log, func(string) string { return "" })
	a.fstab, a.helper = filepath.Join(dir, "fstab"), filepath.Join(dir, "mount.juicefs")
	again := relaunch{flags: []string{"cache-size=512000M"}, fuse: []string{"noexec"}, url: "sqlite3://m.db", point: "/mnt/jfs"}
	if err := a.writeFstab(again, "/usr/bin/jfs"); err != nil {
		t.Fatal(err)
	}
	again.url, again.point = "redis://:geheim@h/1", "/mnt/other"
	if err := a.writeFstab(again, "/usr/bin/jfs"); err != nil {
		t.Fatal(err)
	}
	want := "sqlite3://" + dir + "/m.db /mnt/jfs juicefs _netdev,cache-size=512000M,noexec 0 0\n" +
		"redis://:geheim@h/1 /mnt/other juicefs _netdev,cache-size=512000M,noexec 0 0\n"
	if got, err := os.ReadFile(a.fstab); err != nil || string(got) != want {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	if !strings.Contains(log.String(), "<WARNING>: the password of the database is written into") || strings.Contains(log.String(), "geheim") {
		t.Errorf("log: %s", log.String())
	}
	if target, err := os.Readlink(a.helper); err != nil || target != "/usr/bin/jfs" {
		t.Errorf("link to %q, %v", target, err)
	}

	log.Reset()
	a.getenv = func(string) string { return "geheim" }
	again.url = "redis://h/1"
	if err := a.writeFstab(again, "/usr/bin/jfs"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "<WARNING>: the password of the database is not written into") || strings.Contains(log.String(), "geheim") {
		t.Errorf("log: %s", log.String())
	}
}
