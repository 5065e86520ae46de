//go:build !linux

package occupant

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// IsPostgres reports whether pid is a live process called postgres. Without /proc its
// working directory cannot be seen, so that another cluster's postmaster that happens to
// have the number counts too.
func IsPostgres(pid int, _ string) bool {
	out, err := exec.Command("ps", "-o", "stat=,comm=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return false
	}
	fields := strings.Fields(string(out))
	if len(fields) < 2 || strings.HasPrefix(fields[0], "Z") {
		return false
	}
	name := filepath.Base(fields[1])
	return name == "postgres" || name == "postmaster"
}
