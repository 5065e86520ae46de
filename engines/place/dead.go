package place

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// runAge is how long nothing must have happened in a directory of Run before it is taken for
// a dead server's: a starting one has no socket yet.
const runAge = time.Hour

var (
	runName = regexp.MustCompile(`^[0-9a-f]{8}$`)
	// What servers put there: sockets, PostgreSQL's lock files beside them, and a supervisor's
	// control socket.
	runFile = regexp.MustCompile(`^(ctl|\.s\.PGSQL\.[0-9]+(\.lock)?)$`)
)

// DeadRuns returns the directories that Run made for servers that are gone: for an hour
// nothing has changed in them, and they are empty or hold sockets on which nobody listens.
// One with anything else in it is none. It changes nothing.
func DeadRuns() []string {
	base := runBase()
	entries, err := os.ReadDir(base)
	if err != nil || checkOwned(base) != nil {
		return nil
	}
	var listening map[string]bool // read once there is need
	var dead []string
	for _, e := range entries {
		dir := filepath.Join(base, e.Name())
		if !runName.MatchString(e.Name()) || checkOwned(dir) != nil {
			continue
		}
		if fi, err := os.Lstat(dir); err != nil || time.Since(fi.ModTime()) < runAge {
			continue
		}
		if listening == nil {
			listening = listeners()
		}
		if deadRun(dir, listening) {
			dead = append(dead, dir)
		}
	}
	return dead
}

// SweepRuns removes what DeadRuns returns.
func SweepRuns() {
	for _, dir := range DeadRuns() {
		entries, err := os.ReadDir(dir)
		if fi, serr := os.Lstat(dir); err != nil || serr != nil || time.Since(fi.ModTime()) < runAge {
			continue // a server has come meanwhile
		}
		for _, e := range entries {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
		_ = os.Remove(dir)
	}
}

func deadRun(dir string, listening map[string]bool) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case !runFile.MatchString(e.Name()):
			return false
		case e.Type()&fs.ModeSocket == 0:
			if !strings.HasSuffix(path, ".lock") {
				return false
			}
		case listening[path] || !refuses(path):
			return false
		}
	}
	return true
}

// refuses reports that nobody listens on a socket, be it in another network namespace, whose
// sockets are not in our list.
func refuses(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// listeners returns the paths of the unix sockets that are bound, where the kernel lists
// them, so that none of those need be connected to: to a lease server that means something.
func listeners() map[string]bool {
	bound := map[string]bool{}
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return bound
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if i := strings.Index(line, " /"); i >= 0 {
			bound[line[i+1:]] = true
		}
	}
	return bound
}
