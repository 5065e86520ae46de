package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/occupant"
)

// A pidFile is what postmaster.pid says (utils/pidfile.h). Lines that are not there yet
// are zero.
type pidFile struct {
	pid    int
	dir    string
	port   int
	socket string
	memory int    // id of the System V shared memory segment, 0 if not known
	status string // "starting", "stopping", "ready", "standby"; from PostgreSQL 10 on
}

// Numbers of lines in postmaster.pid, from 0 (LOCK_FILE_LINE_* in utils/pidfile.h).
const (
	pidLine    = 0
	dirLine    = 1
	portLine   = 3
	socketLine = 4
	memoryLine = 6
	statusLine = 7
)

// readPIDFile reads postmaster.pid of the data directory dir.
func readPIDFile(dir string) (pidFile, error) {
	b, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return pidFile{}, err
	}
	return parsePIDFile(string(b))
}

func parsePIDFile(text string) (pidFile, error) {
	lines := strings.Split(text, "\n")
	line := func(n int) string {
		if n < len(lines) {
			return strings.TrimSpace(lines[n])
		}
		return ""
	}
	// A stand-alone backend writes its id negated.
	pid, err := strconv.Atoi(line(pidLine))
	if err != nil || pid == 0 {
		return pidFile{}, fmt.Errorf("postmaster.pid begins with %.20q, not with a process id", line(pidLine))
	}
	// The port is missing while the server starts.
	port, _ := strconv.Atoi(line(portLine))
	memory := 0
	if fields := strings.Fields(line(memoryLine)); len(fields) == 2 { // key and id
		memory, _ = strconv.Atoi(fields[1])
	}
	return pidFile{
		pid: max(pid, -pid), dir: line(dirLine), port: port,
		socket: line(socketLine), memory: memory, status: line(statusLine),
	}, nil
}

// serves reports whether the process in the file is alive and really a postgres working in
// dir, and not an unrelated one that got the number of a dead postmaster.
func (f pidFile) serves(dir string) bool { return occupant.IsPostgres(f.pid, dir) }

// clearStale moves a postmaster.pid away whose process is dead or another program, because
// postgres refuses to start if any live process of its own user, a zombie included, has
// the number (CreateLockFile in miscinit.c). It returns the id of a server that is
// running after all, or 0. The caller holds the directory's lock.
func (d *directory) clearStale() (pid int, err error) {
	path := filepath.Join(d.path, "postmaster.pid")
	f, err := readPIDFile(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err == nil && f.serves(d.path):
		return f.pid, nil
	}
	// Under a name of its own it can still be looked at. A postmaster that ends at this
	// moment removes it itself.
	if err = os.Rename(path, filepath.Join(d.control, "stale.pid")); err != nil {
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return 0, err
}

// clearSockets removes the socket and its lock file that a killed postmaster left in our
// socket directory, unless their postgres is alive.
func clearSockets(dir string, port int) error {
	socket := socketPath(dir, port)
	b, err := os.ReadFile(socket + ".lock")
	if err == nil {
		if f, err := parsePIDFile(string(b)); err == nil && occupant.IsPostgres(f.pid, f.dir) {
			return fmt.Errorf("socket %s belongs to the postmaster %d of %s", socket, f.pid, f.dir)
		}
	}
	for _, name := range []string{socket, socket + ".lock"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove stale socket: %w", err)
		}
	}
	return nil
}

// socketPath returns where postgres makes its socket (UNIXSOCK_PATH in libpq/pqcomm.h).
func socketPath(dir string, port int) string {
	return filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(port))
}

// removeSockets takes away what is left in the socket directory of a server that has
// stopped, and the directory, unless something else is in it.
func removeSockets(dir string, port int) {
	if clearSockets(dir, port) == nil {
		_ = os.Remove(dir)
	}
}
