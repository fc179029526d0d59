//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// endAll makes the end of a command that is ended early the end of whatever it has started, a
// Python at work on the card: they are a group of their own.
func endAll(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
