package lease

import (
	"os"
	"strconv"
	"strings"
)

// commandOf returns what a process runs, as ps has it, or "(gone)" where it has ended and
// others hold its connection.
func commandOf(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return "(gone)"
	}
	return strings.TrimSpace(string(b))
}
