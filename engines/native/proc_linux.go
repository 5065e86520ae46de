package native

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/place"
)

// isPostgres reports whether pid is a live postgres whose working directory is dir; a
// postmaster and its children work in the data directory. A zombie is dead.
func isPostgres(pid int, dir string) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state follows the name, which is in parentheses and may contain anything.
	if i := bytes.LastIndexByte(stat, ')'); i < 0 || i+2 >= len(stat) || strings.IndexByte("ZXx", stat[i+2]) >= 0 {
		return false
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return false
	}
	name := strings.TrimSuffix(filepath.Base(exe), " (deleted)")
	if name != "postgres" && name != "postmaster" {
		return false
	}
	cwd, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false
	}
	fi, err := os.Stat(dir)
	return err == nil && os.SameFile(cwd, fi)
}

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
		if pid, err := strconv.Atoi(entry.Name()); err == nil && isPostgres(pid, dir) {
			pids = append(pids, pid)
		}
	}
	return pids
}
