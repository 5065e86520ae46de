package native

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/occupant"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// startedByUs reports whether a postmaster of dir has the socket directory that this
// package gives to servers there.
func startedByUs(pid int, dir string) bool {
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	for arg := range strings.SplitSeq(string(args), "\x00") {
		name, value, _ := strings.Cut(arg, "=")
		if strings.HasPrefix(name, "unix_socket_director") && filepath.Base(strings.Trim(value, `"`)) == place.Key(dir) {
			return true
		}
	}
	return false
}

// postgresIn returns the postgres processes that work in dir.
func postgresIn(dir string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && occupant.IsPostgres(pid, dir) {
			pids = append(pids, pid)
		}
	}
	return pids
}
