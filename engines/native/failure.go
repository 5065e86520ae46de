package native

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/pgx-dev/pgx-dev/engines"
)

// A startFailure is a postmaster that ended before it was ready.
type startFailure struct {
	wait error  // how it ended
	log  string // what it said
	file string // where it said it
}

func (f *startFailure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "postgres ended before it was ready (%v)", f.wait)
	if fatal := f.fatal(); fatal != "" {
		b.WriteString(": " + fatal)
	}
	if portDenied.MatchString(f.log) {
		b.WriteString("; a TCP port below 1024 needs a privilege: choose another")
	}
	if tail := logTail(f.log); tail != "" {
		b.WriteString("\n" + indent(tail))
	}
	// The log of a cluster that was not there before is taken away with it.
	if _, err := os.Stat(f.file); err == nil {
		b.WriteString("\nlog: " + f.file)
	}
	return b.String()
}

// Unwrap gives the causes that callers act on.
func (f *startFailure) Unwrap() []error {
	var causes []error
	switch {
	case strings.Contains(f.log, `lock file "postmaster.pid" already exists`):
		causes = append(causes, engines.ErrLocked)
	case strings.Contains(f.log, "database files are incompatible with server") &&
		strings.Contains(f.log, "PostgreSQL version"):
		causes = append(causes, engines.ErrVersion)
	case strings.Contains(f.log, "No space left on device"):
		causes = append(causes, syscall.ENOSPC)
	}
	return causes
}

var fatalLine = regexp.MustCompile(`(?m)(?:FATAL|PANIC):\s+(.*)$`)

// fatal returns the message of the last FATAL or PANIC line.
func (f *startFailure) fatal() string {
	all := fatalLine.FindAllStringSubmatch(f.log, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

var portTaken = regexp.MustCompile(`could not bind IPv[46] (address|socket).*(Address already in use|in use)`)

var portDenied = regexp.MustCompile(`could not bind IPv[46] (address|socket).*Permission denied`)

// portTaken reports that another program listens on the TCP port.
func (f *startFailure) portTaken() bool { return portTaken.MatchString(f.log) }

// memoryHeld reports that processes of a killed postmaster are not gone yet, which takes
// them a moment (CreateLockFile and PGSharedMemoryIsInUse).
func (f *startFailure) memoryHeld() bool {
	return strings.Contains(f.log, "pre-existing shared memory block")
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }
