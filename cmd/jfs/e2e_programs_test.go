package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"jfs/internal/testenv"
)

// TestE2EPrograms: programs that people use find what they expect in a mount.
func TestE2EPrograms(t *testing.T) {
	t.Parallel()
	quick := []string{"copy", "tar", "git", "editor", "tools"}
	for _, engine := range []struct {
		name string
		url  func(t *testing.T) string
		all  bool
	}{
		{"sqlite", func(*testing.T) string { return "sqlite3://$/m.db" }, true},
		{"redis", func(t *testing.T) string { return "redis://" + testenv.Redis(t) + "/1" }, false},
	} {
		t.Run(engine.name, func(t *testing.T) {
			w := newWorld(t)
			url := engine.url(t)
			w.ok("format", "--bucket", "$/objects", url, "myjfs")
			mount := func() {
				w.ok("mount", "-d", "--no-agent", "--no-syslog", "--log", "$/log", "--cache-dir", "$/cache", url, "$/mnt")
			}
			mount()
			s := &shell{world: w, local: w.path("local")}
			must(t, os.Mkdir(s.local, 0o755))
			s.makeTree(w.path("tree"))
			for _, p := range programs {
				if engine.all || strings.Contains(" "+strings.Join(quick, " ")+" ", " "+p.name+" ") {
					t.Run(p.name, func(t *testing.T) { p.run(s.in(t, p.name)) })
				}
			}
			want := fingerprint(t, w.path("mnt"))
			w.ok("umount", "$/mnt")
			must(t, os.RemoveAll(w.path("cache")))
			mount()
			sameTree(t, fingerprint(t, w.path("mnt")), want)
			w.ok("umount", "$/mnt")
		})
	}
}

// programs are the cases. Each works in a directory of its own in the mount.
var programs = []struct {
	name string
	run  func(*shell)
}{
	{"copy", copyPrograms}, {"tar", tarProgram}, {"git", gitProgram}, {"build", buildPrograms}, {"database", databaseProgram},
	{"editor", editorPrograms}, {"tools", toolPrograms}, {"lock", lockProgram}, {"map", mapProgram},
}

// shell runs programs for one case.
type shell struct {
	*world
	dir   string // in the mount
	local string // on a local file system
}

func (s *shell) in(t *testing.T, name string) *shell {
	t.Helper()
	w := *s.world
	w.t = t
	own := &shell{world: &w, dir: w.path("mnt/" + name), local: filepath.Join(s.local, name)}
	must(t, os.Mkdir(own.dir, 0o755))
	must(t, os.Mkdir(own.local, 0o755))
	return own
}

// sh runs a script in the case's directory, where TREE is a tree to copy, LOCAL a local directory and MNT the case's
// own, and returns what it prints.
func (s *shell) sh(script string) string {
	s.t.Helper()
	cmd := s.command("bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = s.dir
	cmd.Env = append(cmd.Env, "TREE="+s.path("tree"), "LOCAL="+s.local, "MNT="+s.dir, "TMPDIR="+s.local, "LC_ALL=C",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		mount, _ := os.ReadFile(s.path("log")) //nolint:errcheck // there may be none
		s.t.Fatalf("%v\n%s\n%s%s\n%s", err, script, out.String(), log.String(), mount)
	}
	return out.String()
}

// says runs a script that prints exactly this.
func (s *shell) says(script, want string) {
	s.t.Helper()
	if got := s.sh(script); strings.TrimSpace(got) != strings.TrimSpace(want) {
		s.t.Errorf("%s\nprints: %s\n  want: %s", script, got, want)
	}
}

// makeTree makes a tree of the kinds of files that people have.
func (s *shell) makeTree(root string) {
	t := s.t
	t.Helper()
	for d := range 12 {
		dir := filepath.Join(root, fmt.Sprintf("dir %d", d), "sub", "ünder")
		must(t, os.MkdirAll(dir, 0o755))
		for f := range 12 {
			name := filepath.Join(dir, fmt.Sprintf("file-%d.txt", f))
			must(t, os.WriteFile(name, content(f*f*331*d, byte(f)), 0o644))
			must(t, os.Chmod(name, []os.FileMode{0o644, 0o600, 0o755, 0o444, 0o755 | os.ModeSetuid, 0o640}[f%6]))
		}
		must(t, os.Symlink("file-3.txt", filepath.Join(dir, "relative")))
		must(t, os.Symlink("/nowhere/at/all", filepath.Join(dir, "dangling")))
		must(t, os.Link(filepath.Join(dir, "file-5.txt"), filepath.Join(dir, "hard")))
	}
	must(t, os.WriteFile(filepath.Join(root, "big"), content(9<<20, 1), 0o644))
	must(t, os.WriteFile(filepath.Join(root, ".hidden"), nil, 0o600))
	must(t, os.Mkdir(filepath.Join(root, "empty"), 0o1777))
	must(t, os.Mkdir(filepath.Join(root, "owned"), 0o750))
	must(t, os.WriteFile(filepath.Join(root, "owned", "f"), []byte("x"), 0o640))
	for _, name := range []string{"owned/f", "owned"} {
		must(t, os.Chown(filepath.Join(root, name), 1234, 5678))
	}
	sparse, err := os.Create(filepath.Join(root, "sparse"))
	must(t, err)
	_, err = sparse.WriteAt([]byte("end"), 5<<20)
	must(t, err)
	must(t, sparse.Close())
	for _, touch := range [][]string{{"-name", "file-*", "2001-02-03 04:05:06.789012345"}, {"-type", "d", "1999-12-31 23:59:59.5"}} {
		out, err := exec.Command("find", root, touch[0], touch[1], "-exec", "touch", "-d", touch[2], "{}", "+").CombinedOutput()
		if err != nil {
			t.Fatalf("set times: %v\n%s", err, out)
		}
	}
}
