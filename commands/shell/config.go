// Package shell is a small psql: SQL and backslash commands from a terminal, from files
// and from the command line, and results as tables, CSV or JSON.
//
// It serves servers that have no psql beside them. Everything goes through the simple
// query protocol, as with psql, so that a string may hold several statements, COPY among
// them. The package lines reads from terminals, the package rows prints results.
package shell

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/commands/shell/rows"
)

// ErrFailed reports that a statement or a command failed, and that the person has been
// told so on Stderr.
var ErrFailed = errors.New("the script failed")

// A Step is something to run: Command, File or, when both are empty, Stdin.
type Step struct {
	// Command is one string of SQL, sent as a whole, or one backslash command (psql -c).
	Command string
	// File is the path of a script; "-" is Stdin (psql -f).
	File string
}

// Config says what to run, where, and how to show the results.
type Config struct {
	// Server returns how to reach a database as a user; "" stands for the server's own
	// default. The returned configuration is the shell's to change.
	Server func(database, user string) (*pgconn.Config, error)
	// Database is the one to begin in. Default: the server's own.
	Database string
	// Steps are run in turn. Without any, statements are read from Stdin, with line
	// editing and prompts when that and Stdout are terminals.
	Steps []Step
	// KeepGoing goes on after an error rather than stopping at the first one. At a prompt
	// it is always so.
	KeepGoing bool
	// Quiet leaves out the greeting and command tags ("CREATE TABLE").
	Quiet bool
	// Timing shows how long each statement took.
	Timing bool
	// Rows says how results look; \pset and others change it.
	Rows rows.Options
	// HistoryFile keeps what was entered at the prompt. Empty, or where it cannot be
	// written: nothing is kept.
	HistoryFile string

	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Environ is the environment of programs that are run (\!, \e), as [os.Environ].
	// Default: that of this process.
	Environ []string
	// Logger takes what a person need not see. Default: nothing is logged.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Stdin == nil {
		c.Stdin = os.Stdin
	}
	if c.Stdout == nil {
		c.Stdout = os.Stdout
	}
	if c.Stderr == nil {
		c.Stderr = os.Stderr
	}
	c.Stdout, c.Stderr = exclusive(c.Stdout), exclusive(c.Stderr)
	if c.Environ == nil {
		c.Environ = os.Environ()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// exclusive returns a writer that the shell and the programs it runs can share.
func exclusive(w io.Writer) io.Writer {
	switch w.(type) {
	case *os.File, *exclusiveWriter:
		return w
	}
	return &exclusiveWriter{w: w}
}

type exclusiveWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (e *exclusiveWriter) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.w.Write(b)
}
