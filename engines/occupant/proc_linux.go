package occupant

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// IsPostgres reports whether pid is a live postgres whose working directory is dir; a
// postmaster and its children work in the data directory. A zombie is dead.
func IsPostgres(pid int, dir string) bool {
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
