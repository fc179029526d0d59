//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package train

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// lock makes this process the only one that writes to dir, until the result is closed or the
// process ends, however it ends: two writers would mix their logs and delete each other's
// checkpoints.
//
// The lock is flock on the directory itself: it needs no file that kill -9 could leave behind, and
// holds between containers that share the directory. File systems that cannot lock a directory
// (NFS among them) train without a lock.
func lock(dir string) (io.Closer, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	err = syscall.EINTR
	for errors.Is(err, syscall.EINTR) {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		d.Close()
		return nil, fmt.Errorf("train: %s is in use by another process: wait for it or stop it", dir)
	}
	return d, nil
}
