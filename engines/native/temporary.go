package native

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/occupant"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

const (
	// tempPrefix begins the names of our directories for temporary clusters; the process
	// id of the maker follows.
	tempPrefix = "native-"
	// tempNeed is how much room a temporary cluster should have: PostgreSQL 18's fresh
	// directory is 40 MB, and work needs some.
	tempNeed = 512 << 20
)

// sweepTemporary removes the temporary clusters under root whose owner is dead. What
// cannot be removed now is left for the next time.
func sweepTemporary(root string) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return
	}
	for _, entry := range entries {
		rest, ok := strings.CutPrefix(entry.Name(), tempPrefix)
		if !ok {
			continue
		}
		text, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(text)
		if err != nil || pidExists(pid) {
			continue
		}
		dir := filepath.Join(root, entry.Name())
		data := filepath.Join(dir, "data")
		lockPath := filepath.Join(place.Control(data), "owner.lock")
		if _, err := os.Stat(lockPath); err != nil {
			// Its maker died before it had the lock, unless it is in another pid namespace
			// and just about to take it.
			if fi, err := entry.Info(); err == nil && time.Since(fi.ModTime()) > time.Minute {
				_ = os.RemoveAll(dir)
			}
			continue
		}
		// The lock is also right where the maker lives in another pid namespace.
		lock, err := dirlock.TryExclusive(lockPath)
		if err != nil {
			continue
		}
		if f, err := readPIDFile(data); err != nil || !f.serves(data) {
			occupant.FreeMemory(data)
			_ = os.RemoveAll(dir)
			if run, err := place.Run(data); err == nil {
				_ = os.RemoveAll(run) // sockets of any port
			}
		}
		_ = lock.Unlock()
	}
}

// sweepDead removes the directories under root whose names are prefix, the id of a process
// that is gone, and a dash, if they are an hour old.
func sweepDead(root, prefix string) {
	found, err := filepath.Glob(filepath.Join(root, prefix+"*-*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		text, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		pid, err := strconv.Atoi(text)
		if err != nil || pidExists(pid) {
			continue
		}
		if fi, err := os.Lstat(dir); err == nil && fi.IsDir() && time.Since(fi.ModTime()) > time.Hour {
			_ = os.RemoveAll(dir)
		}
	}
}

// pidExists reports whether there is a process of that id, be it a zombie.
func pidExists(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// removeAll is os.RemoveAll that tries again while the last processes of a server that
// was killed still write files.
func removeAll(dir string) error {
	for wait := time.Millisecond; ; wait *= 2 {
		err := os.RemoveAll(dir)
		if err == nil || wait > time.Second || !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
		<-time.After(wait)
	}
}
