//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package train

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"afterimage/tensor"
)

// Lock makes this process the only one that holds dir, until the result is closed or the process
// ends, however it ends. A run is held by its writer: two would mix their logs and delete each
// other's checkpoints. It returns an error that wraps ErrInUse where another process, or another
// Lock of this one, holds dir.
//
// The lock is flock on the directory itself: it needs no file that kill -9 could leave behind, and
// holds between containers that share the directory. File systems that cannot lock a directory
// (NFS among them) train without a lock.
func Lock(dir string) (io.Closer, error) {
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
		return nil, tensor.Refuse("train: %s is %w: wait for it or stop it", dir, ErrInUse)
	}
	return d, nil
}
