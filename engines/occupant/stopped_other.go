//go:build !linux

package occupant

import (
	"os/exec"
	"strconv"
	"strings"
)

// Stopped reports whether a process is stopped, by SIGSTOP or a debugger, so that no signal
// but SIGKILL and SIGCONT has an effect on it.
func Stopped(pid int) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.HasPrefix(strings.TrimSpace(string(out)), "T")
}
