package mount

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKilled: a thread that has ended, or is about to, is told from one that lives.
func TestKilled(t *testing.T) {
	if killed(uint32(os.Getpid())) || killed(uint32(unix.Gettid())) || killed(0) {
		t.Error("a thread that lives was taken for one that was killed")
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := uint32(cmd.Process.Pid)
	if killed(pid) {
		t.Error("a process that sleeps was taken for one that was killed")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if !killed(pid) {
		t.Error("a process that is gone was taken for one that lives")
	}
}
