package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/commands/shell/rows"
	"github.com/pgx-dev/pgx-dev/engines/script"
)

// A shell is one run of [Run].
type shell struct {
	Config
	conn     *pgconn.PgConn // nil when there is none
	database string
	user     string
	running  *query // what conn is busy with, for notices

	out       io.Writer // where results go; \o changes it
	outFile   io.Closer // what \o opened, if anything
	rows      rows.Options
	timing    bool
	quiet     bool
	keepGoing bool

	stdin *input // shared by all steps that read it
	depth int    // of \i
	last  string // the query before, for \g, \e and \p

	terminal    *terminal // nil without a prompt
	interrupted atomic.Bool
}

var (
	// errStatement reports a failure that has been shown.
	errStatement = errors.New("the statement failed")
	// errQuit ends a script or the shell without an error: \q.
	errQuit = errors.New("quit")
)

// Run carries out cfg.Steps, or what is entered on cfg.Stdin, and returns when that is
// done. It returns ErrFailed when something failed that the person has already been told
// of; other errors are for the caller to show. When ctx ends, the statement under way is
// cancelled and Run returns ctx's cause.
//
// At a prompt Run takes SIGINT for itself: it cancels a statement, not ctx.
func Run(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	s := &shell{
		Config: cfg, out: cfg.Stdout,
		rows: cfg.Rows, timing: cfg.Timing, quiet: cfg.Quiet, keepGoing: cfg.KeepGoing,
	}
	if s.rows.Format == "" {
		s.rows.Format = rows.Table
	}
	stdin, err := newWakeable(ctx, cfg.Stdin)
	if err != nil {
		return err
	}
	defer stdin.close()
	s.stdin = newInput("", stdin)
	if err := s.connect(ctx, cfg.Database, ""); err != nil {
		return err
	}
	if t := terminalOf(cfg); t != nil && len(cfg.Steps) == 0 {
		err = s.prompt(ctx, t, stdin)
	} else {
		err = s.steps(ctx)
	}
	err = errors.Join(err, s.closeOutput())
	if s.conn != nil {
		err = errors.Join(err, s.conn.Close(context.WithoutCancel(ctx)))
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errStatement):
		return ErrFailed
	case errors.Is(err, errQuit):
		return nil
	}
	return err
}

func (s *shell) steps(ctx context.Context) error {
	steps := s.Steps
	if len(steps) == 0 {
		steps = []Step{{}}
	}
	var failed error
	for _, step := range steps {
		err := s.step(ctx, step)
		switch {
		case err == nil:
		case s.keepGoing && errors.Is(err, errStatement) && ctx.Err() == nil:
			failed = err
		default:
			return err
		}
	}
	return failed
}

func (s *shell) step(ctx context.Context, step Step) error {
	switch {
	case step.Command != "":
		return s.commandString(ctx, step.Command)
	case step.File == "" || step.File == "-":
		return s.script(ctx, s.stdin)
	}
	return s.scriptFile(ctx, step.File)
}

// commandString runs what -c takes: one backslash command, or SQL sent as a whole.
func (s *shell) commandString(ctx context.Context, text string) error {
	if body := strings.TrimLeft(text, " \t\r\n"); strings.HasPrefix(body, `\`) {
		_, _, err := s.backslash(ctx, s.stdin, "", body)
		return err
	}
	if script.Blank(text) {
		return nil
	}
	s.last = text
	q := s.query(text)
	q.copyIn = s.stdin.r
	return s.exec(ctx, q)
}

func (s *shell) scriptFile(ctx context.Context, path string) error {
	in, file, err := openInput(path)
	if err != nil {
		return s.complain("%v", err)
	}
	return errors.Join(s.script(ctx, in), file.Close())
}

// query returns a query with everything as it is set.
func (s *shell) query(sql string) query {
	q := query{sql: sql, rows: s.rows, out: s.out, apart: s.outFile != nil}
	if s.outFile == nil {
		q.rows.Width = columnsOf(s.Stdout)
		if s.terminal != nil {
			q.out = &interruptible{s}
		}
	}
	q.copyOut = q.out
	return q
}

// complain shows an error of our own and returns errStatement.
func (s *shell) complain(format string, args ...any) error {
	fmt.Fprintf(s.Stderr, format+"\n", args...)
	return errStatement
}

// closeOutput sends results to Stdout again.
func (s *shell) closeOutput() error {
	if s.outFile == nil {
		return nil
	}
	file := s.outFile
	s.outFile, s.out = nil, s.Stdout
	return file.Close()
}
