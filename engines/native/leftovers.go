package native

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/dirlock"
)

// Leftovers returns the unfinished directories in the store whose installers, or removers,
// have died. It changes nothing.
func (e *Engine) Leftovers() []string {
	var dead []string
	e.leftovers(func(dir string) { dead = append(dead, dir) })
	return dead
}

// SweepStore removes what Leftovers returns, as far as it can.
func (e *Engine) SweepStore() {
	e.leftovers(func(dir string) {
		if err := os.RemoveAll(dir); err != nil {
			e.log.Debug("sweep the store", "error", err)
		}
	})
}

// leftovers calls visit with each dead installer's directory, while nobody can install in
// its place.
func (e *Engine) leftovers(visit func(dir string)) {
	s, err := e.store()
	if err != nil {
		return // without a store nothing is in it
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		i := strings.LastIndex(entry.Name(), ".tmp-")
		if i < 0 {
			continue
		}
		pid, err := strconv.Atoi(entry.Name()[i+len(".tmp-"):])
		if err != nil {
			continue
		}
		dir := filepath.Join(s.dir, entry.Name())
		lockPath := filepath.Join(s.dir, entry.Name()[:i]+".lock")
		if _, err := os.Stat(lockPath); errors.Is(err, fs.ErrNotExist) {
			if !pidExists(pid) {
				visit(dir)
			}
			continue
		}
		// Shared, because servers share the lock of what is installed; who installs or removes
		// holds it alone.
		lock, err := dirlock.TryShared(lockPath)
		if err != nil {
			continue
		}
		visit(dir)
		_ = lock.Unlock()
	}
}
