package occupant

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// FreeMemory removes the System V shared memory segment that a killed postmaster of the data
// directory dir left, and that only a next start there would find. Call it when dir is about
// to be removed. Backends that have not noticed yet that their postmaster is dead keep the
// segment until they end. One that is another's by now is let be.
func FreeMemory(dir string) {
	pid, id, ok := segment(dir)
	if !ok || IsPostgres(pid, dir) {
		return
	}
	var desc unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &desc); err != nil || int(desc.Cpid) != pid {
		return
	}
	_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
}

// segment returns the maker and the id of the segment that postmaster.pid names
// (LOCK_FILE_LINE_PID and LOCK_FILE_LINE_SHMEM_KEY in utils/pidfile.h).
func segment(dir string) (pid, id int, ok bool) {
	b, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return 0, 0, false
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 7 {
		return 0, 0, false
	}
	fields := strings.Fields(lines[6]) // key and id
	if len(fields) != 2 {
		return 0, 0, false
	}
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return 0, 0, false
	}
	id, err = strconv.Atoi(fields[1])
	return max(pid, -pid), id, err == nil && id != 0
}
