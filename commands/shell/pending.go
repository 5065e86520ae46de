package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/script"
)

// pending is text that was read and has not been run.
type pending struct {
	buf  []byte
	line int // number of the line in which buf begins
}

// cut takes the first n bytes away and puts text in their place.
func (p *pending) cut(n int, text string) {
	p.line += bytes.Count(p.buf[:n], []byte("\n")) - strings.Count(text, "\n")
	p.buf = append([]byte(text), p.buf[n:]...)
}

// script runs an input to its end.
func (s *shell) script(ctx context.Context, in *input) error {
	p := pending{line: in.line + 1}
	var failed error
	for {
		text, err := in.next()
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return err
		}
		p.buf = append(p.buf, text...)
		err = s.consume(ctx, in, &p, end)
		switch {
		case errors.Is(err, errQuit):
			return failed
		case s.keepGoing && errors.Is(err, errStatement):
			failed = err
		case err != nil:
			return err
		}
		if end || ctx.Err() != nil {
			return failed
		}
	}
}

// consume runs what is complete in p, and at the input's end everything. Where an input
// goes on after errors, the last one is returned.
func (s *shell) consume(ctx context.Context, in *input, p *pending, end bool) error {
	var failed error
	for len(p.buf) > 0 && ctx.Err() == nil {
		// Nothing ends without one of these; to look only then keeps long literals cheap.
		if !end && !bytes.ContainsAny(p.buf, `;\`) {
			break
		}
		text := string(p.buf)
		stmt, rest, ok := script.Next(text)
		at := -1
		if strings.Contains(stmt, `\`) {
			_, at = scan(stmt)
		}
		var err error
		switch {
		case at >= 0:
			err = s.command(ctx, in, p, at)
		case ok || end:
			lead := leading(stmt)
			line := p.line + strings.Count(stmt[:lead], "\n")
			p.cut(len(text)-len(rest), "")
			if strings.HasPrefix(text[len(stmt):], ";") {
				stmt = text[:len(stmt)+1] // psql sends it too
			}
			err = s.statement(ctx, in, stmt[lead:], line)
		default:
			return failed
		}
		if err != nil {
			if !errors.Is(err, errStatement) || !s.keepGoing && !in.interactive {
				return err
			}
			failed = err
		}
	}
	return failed
}

// command runs the backslash command that begins at the given place of p.
func (s *shell) command(ctx context.Context, in *input, p *pending, at int) error {
	before, text := string(p.buf[:at]), string(p.buf[at:])
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	keep, used, err := s.backslash(ctx, in, before, text)
	if used == len(text) && at+used < len(p.buf) {
		used++ // the newline is the command's
	}
	p.cut(at+used, keep)
	return err
}

// leading returns how much of a statement psql does not send: the white space and the "--"
// comments before it.
func leading(stmt string) int {
	at := 0
	if strings.HasPrefix(stmt, "\ufeff") { // a byte order mark
		at = len("\ufeff")
	}
	for {
		at += len(stmt[at:]) - len(strings.TrimLeft(stmt[at:], " \t\r\n\v\f"))
		if !strings.HasPrefix(stmt[at:], "--") {
			return at
		}
		at += lineEnd(stmt[at:])
	}
}

// statement runs one statement of an input, whose first line has the number line.
func (s *shell) statement(ctx context.Context, in *input, sql string, line int) error {
	if script.Blank(strings.TrimSuffix(sql, ";")) {
		return nil
	}
	s.last = sql
	q := s.query(sql)
	q.file, q.line = in.name, line
	q.copyIn = in.data()
	return s.exec(ctx, q)
}
