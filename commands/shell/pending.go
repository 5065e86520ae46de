package shell

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/script"
)

// pending is text that was read and has not been run. A statement of many lines is not
// looked at again with each of them.
type pending struct {
	lines strings.Builder // nothing in them has ended
	lexer lexer
	line  int // number of the line in which the text begins
}

func newPending(line int) *pending { return &pending{lexer: newLexer(), line: line} }

// add appends a line.
func (p *pending) add(line string) {
	p.lines.WriteString(line)
	p.lexer.advance(p.lines.String())
}

// take returns everything that is pending.
func (p *pending) take() string {
	text := p.lines.String()
	p.lines.Reset()
	p.lexer = newLexer()
	return text
}

// put makes text pending again.
func (p *pending) put(text string) {
	if text != "" {
		p.add(text)
	}
}

// blank reports whether there is nothing but white space and whole comments.
func (p *pending) blank() bool { return p.lexer.inside == 0 && script.Blank(p.lines.String()) }

// script runs an input to its end.
func (s *shell) script(ctx context.Context, in *input) error {
	p := newPending(in.line + 1)
	var failed error
	for {
		text, err := in.next()
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return err
		}
		p.add(text)
		err = s.consume(ctx, in, p, end)
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
	if !end && !p.lexer.ends() {
		return nil
	}
	text := p.take()
	var failed error
	for text != "" && ctx.Err() == nil {
		stmt, rest, ok := script.Next(text)
		at := -1
		if strings.Contains(stmt, `\`) {
			_, at = scan(stmt)
		}
		var err error
		switch {
		case at >= 0:
			text, err = s.command(ctx, in, p, text, at)
		case ok || end:
			if strings.HasPrefix(text[len(stmt):], ";") {
				stmt = text[:len(stmt)+1] // psql sends it too
			}
			lead := leading(stmt)
			line := p.line + strings.Count(stmt[:lead], "\n")
			p.line += strings.Count(text[:len(text)-len(rest)], "\n")
			text = rest
			err = s.statement(ctx, in, stmt[lead:], line)
		default:
			p.put(text)
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

// command runs the backslash command that begins at the given place of text, and returns
// what is left of that.
func (s *shell) command(ctx context.Context, in *input, p *pending, text string, at int) (string, error) {
	line := text[at:]
	if i := strings.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	keep, used, err := s.backslash(ctx, in, text[:at], line)
	if used == len(line) && at+used < len(text) {
		used++ // the newline is the command's
	}
	p.line += strings.Count(text[:at+used], "\n") - strings.Count(keep, "\n")
	return keep + text[at+used:], err
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
