package occupant

import (
	"bytes"
	"fmt"
	"os"
)

// Stopped reports whether a process is stopped, by SIGSTOP or a debugger, so that no signal
// but SIGKILL and SIGCONT has an effect on it (proc_pid_stat(5), state T or t).
func Stopped(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state follows the name, which is in parentheses and may contain anything.
	i := bytes.LastIndexByte(stat, ')')
	return i >= 0 && i+2 < len(stat) && (stat[i+2] == 'T' || stat[i+2] == 't')
}
