// Package occupant tells who runs in a data directory, whether or not pgx-dev started it.
package occupant

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Postmaster returns the process that runs as postmaster in the data directory dir, by its
// postmaster.pid, or 0 if there is none or the file is stale.
func Postmaster(dir string) int {
	b, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0
	}
	if pid = max(pid, -pid); !IsPostgres(pid, dir) { // negative: a single-user backend
		return 0
	}
	return pid
}
