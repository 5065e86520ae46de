package twophase

import (
	"errors"
	"os"
	"syscall"
)

// errInUse says that another process, or another log of this one, has the directory.
var errInUse = errors.New("in use by another proxy")

// lockDir takes the lock of a log's directory, which ends with the file or the process.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errInUse
		}
		return nil, err
	}
	return f, nil
}
