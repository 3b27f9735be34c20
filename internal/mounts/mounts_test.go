package mounts

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const table = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
36 22 0:32 / /mnt/with\040space\134x rw,nosuid shared:1 master:2 - fuse.juicefs JuiceFS:vol rw,user_id=0
40 22 0:33 /sub /mnt/b rw shared:5 master:2 propagate_from:3 - fuse none rw
41 22 0:34 / /mnt/c rw - tmpfs
`
	got, err := parse(strings.NewReader(table))
	want := []Mount{
		{"/", "ext4", "/dev/vda", "254:0"},
		{`/mnt/with space\x`, "fuse.juicefs", "JuiceFS:vol", "0:32"},
		{"/mnt/b", "fuse", "none", "0:33"},
		{"/mnt/c", "tmpfs", "", "0:34"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, %v, want %v", got, err, want)
	}
	for i, fuse := range []bool{false, true, true, false} {
		if got[i].FUSE() != fuse || got[i].Volume() != (i == 1) {
			t.Errorf("wrong idea of what %v is", got[i])
		}
	}
	if got[1].Connection() != "32" {
		t.Errorf("connection %q", got[1].Connection())
	}
	if _, err := parse(strings.NewReader("nonsense\n")); err == nil {
		t.Error("nonsense was understood")
	}
}

func TestAt(t *testing.T) {
	if m, ok, err := At("/proc"); err != nil || !ok || m.Type != "proc" || m.Volume() {
		t.Errorf("/proc: %v, %v, %v", m, ok, err)
	}
	if m, _, _ := At("/proc"); m.Device == "" {
		t.Error("/proc has no device")
	} else if there, err := DeviceMounted(m.Device); err != nil || !there {
		t.Errorf("device of /proc: %v, %v", there, err)
	}
	if there, err := DeviceMounted("9999:1"); err != nil || there {
		t.Errorf("device of nothing: %v, %v", there, err)
	}
	if _, ok, err := At(t.TempDir()); err != nil || ok {
		t.Errorf("temporary directory: %v, %v", ok, err)
	}
}

func TestPath(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"link": "real", "toplace": filepath.Join(dir, "real", "mnt")} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for in, want := range map[string]string{
		"real/mnt": "/real/mnt", "link/mnt": "/real/mnt", "toplace": "/real/mnt", "./real/": "/real", "link": "/real",
	} {
		if got, err := Path(in); err != nil || got != dir+want {
			t.Errorf("Path(%q) = %q, %v, want %q", in, got, err, dir+want)
		}
	}
	if _, err := Path("missing/mnt"); !os.IsNotExist(err) {
		t.Errorf("missing parent: %v", err)
	}
	if got, err := Path("/"); got != "/" || err != nil {
		t.Errorf("root: %q, %v", got, err)
	}
}

// hold starts a process that has its working directory there, until the test ends.
func hold(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("cat")
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return cmd
}

func TestHolders(t *testing.T) {
	dir := t.TempDir()
	if got := Proc("").Holders(dir); len(got) != 0 {
		t.Fatalf("holders of an unused directory: %v", got)
	}
	cmd := hold(t, dir)
	f, err := os.Create(filepath.Join(dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := Proc("").Holders(dir)
	for _, pid := range []int{cmd.Process.Pid, os.Getpid()} {
		if !slices.ContainsFunc(got, func(p Process) bool { return p.PID == pid && p.Command != "" }) {
			t.Errorf("process %d is missing in %v", pid, got)
		}
	}
	if got := Proc("").Holders(dir[:len(dir)-1]); len(got) != 0 {
		t.Errorf("a path that only begins alike is held by %v", got)
	}
}

// TestServer checks the choice on a made-up process directory.
func TestServer(t *testing.T) {
	proc := t.TempDir()
	process := func(pid, cmdline, fdinfo string) {
		t.Helper()
		dir := filepath.Join(proc, pid)
		for _, sub := range []string{"fd", "fdinfo"} {
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for link, target := range map[string]string{"fd/7": "/dev/fuse", "cwd": "/srv"} {
			if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		for name, text := range map[string]string{"cmdline": strings.ReplaceAll(cmdline, " ", "\x00"), "fdinfo/7": fdinfo} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	process("10", "jfs mount redis://h /mnt/a", "pos:\t0\n")
	process("11", "jfs mount redis://h b", "pos:\t0\n")
	process("12", "jfs mount redis://h /mnt/c", "pos:\t0\nfuse_connection:\t45\n")
	tests := []struct {
		m    Mount
		want int
	}{
		{Mount{Point: "/mnt/a", Device: "0:1"}, 10},
		{Mount{Point: "/srv/b", Device: "0:1"}, 11},
		{Mount{Point: "/elsewhere", Device: "0:45"}, 12},
		{Mount{Point: "/mnt/c", Device: "0:46"}, 0},
	}
	for _, tt := range tests {
		if got := Proc(proc).Server(tt.m); got != tt.want {
			t.Errorf("server of %v: %d, want %d", tt.m, got, tt.want)
		}
	}
}

func TestWaitExit(t *testing.T) {
	cmd := hold(t, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := WaitExit(ctx, cmd.Process.Pid); !errors.Is(err, context.Canceled) {
		t.Errorf("running process: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := WaitExit(context.Background(), cmd.Process.Pid); err != nil {
		t.Errorf("killed process: %v", err)
	}
}
