package train

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"syscall"
)

// lock makes this process the only one that writes to dir, until the result is closed or the
// process ends, however it ends: two writers would mix their logs and delete each other's
// checkpoints.
//
// The lock is a socket in Linux's abstract namespace, named after the directory. Unlike a file
// with a process number it cannot be left behind by kill -9, and unlike flock it needs no code of
// its own for each system. Elsewhere, and between machines that share a disk, there is no lock.
func lock(dir string) (io.Closer, error) {
	if runtime.GOOS != "linux" {
		return io.NopCloser(nil), nil
	}
	path, err := filepath.Abs(dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	l, err := net.Listen("unix", fmt.Sprintf("@afterimage/run/%x", sha256.Sum256([]byte(path))))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("train: %s is in use by another process: wait for it or stop it", dir)
	}
	if err != nil { // a sandbox without sockets must not keep anybody from training
		return io.NopCloser(nil), nil
	}
	return l, nil
}
