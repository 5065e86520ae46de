package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A copySpec is what \copy asks for: the COPY statement for the server, and our side.
type copySpec struct {
	sql  string
	from bool
	// Where the data are: a path, a program's command line, or one of the streams stdin
	// (what follows in the script), pstdin, stdout (where results go) and pstdout.
	path, program, stream string
}

// copyCommand is \copy: COPY between a table and a file on this side.
func (s *shell) copyCommand(ctx context.Context, c *command) error {
	spec, err := parseCopy(c.args.rest())
	if err != nil {
		return s.complain("\\copy: %v", err)
	}
	q := s.query(spec.sql)
	q.file, q.line = c.in.name, c.in.line
	if spec.from {
		return s.copyIn(ctx, c, q, spec)
	}
	return s.copyOut(ctx, q, spec)
}

func (s *shell) copyIn(ctx context.Context, c *command, q query, spec copySpec) error {
	switch {
	case spec.program != "":
		return s.copyInProgram(ctx, q, spec.program)
	case spec.stream == "pstdin":
		if s.terminal != nil {
			q.copyIn = c.in.data()
			break
		}
		q.copyIn = s.stdin.r
	case spec.stream != "":
		q.copyIn = c.in.data()
	default:
		f, err := os.Open(s.home(spec.path))
		if err != nil {
			return s.complain("\\copy: %v", err)
		}
		defer func() { _ = f.Close() }()
		q.copyIn = f
	}
	return s.exec(ctx, q)
}

func (s *shell) copyInProgram(ctx context.Context, q query, program string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := s.program(ctx, program)
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s.complain("\\copy: %v", err)
	}
	if err := cmd.Start(); err != nil {
		return s.complain("\\copy: %v", err)
	}
	// A program that fails must not leave half of its data in the table.
	q.copyIn = io.MultiReader(out, &waiting{cmd: cmd})
	err = s.exec(ctx, q)
	if cmd.ProcessState == nil { // the statement failed before it wanted any data
		cancel()
		if waitErr := cmd.Wait(); waitErr != nil {
			s.Logger.Debug("end the program", "err", waitErr)
		}
	}
	return err
}

// waiting is the end of a program's output: io.EOF when the program ended well.
type waiting struct{ cmd *exec.Cmd }

func (w *waiting) Read([]byte) (int, error) {
	if err := w.cmd.Wait(); err != nil {
		return 0, fmt.Errorf("the program failed: %w", err)
	}
	return 0, io.EOF
}

func (s *shell) copyOut(ctx context.Context, q query, spec copySpec) error {
	switch {
	case spec.program != "":
		cmd := s.program(ctx, spec.program)
		in, err := cmd.StdinPipe()
		if err != nil {
			return s.complain("\\copy: %v", err)
		}
		if err := cmd.Start(); err != nil {
			return s.complain("\\copy: %v", err)
		}
		q.copyOut, q.apart = in, true
		err = s.exec(ctx, q)
		closeErr := in.Close()
		if waitErr := cmd.Wait(); waitErr != nil && err == nil {
			return s.complain("\\copy: the program failed: %v", waitErr)
		}
		if closeErr != nil && !errors.Is(closeErr, os.ErrClosed) && err == nil {
			return s.complain("\\copy: %v", closeErr)
		}
		return err
	case spec.stream == "pstdout":
		q.copyOut = s.Stdout
	case spec.stream != "":
		q.copyOut = q.out
	default:
		out, err := s.create(spec.path)
		if err != nil {
			return err
		}
		q.copyOut, q.apart = out, true
		return s.closing(out, s.exec(ctx, q))
	}
	return s.exec(ctx, q)
}

func (s *shell) program(ctx context.Context, command string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Stdout, cmd.Stderr, cmd.Env = s.Stdout, s.Stderr, s.Environ
	cmd.WaitDelay = time.Second // its own children may keep our streams open
	return cmd
}

// parseCopy takes "\copy" apart: {table [(columns)] | (query)} {FROM|TO} {'file' |
// PROGRAM 'command' | STDIN | …} [options].
func parseCopy(text string) (copySpec, error) {
	var spec copySpec
	at, word := findDirection(text)
	if at < 0 {
		return spec, errors.New("parse error: say FROM or TO, and a file")
	}
	spec.from = word == "from"
	a := args{text: text, pos: at + len(word)}
	target, quoted, err := copyWord(&a)
	if err != nil {
		return spec, err
	}
	switch low := strings.ToLower(target); {
	case target == "":
		return spec, errors.New("parse error: a file is missing")
	case quoted:
		spec.path = target
	case low == "program":
		if spec.program, quoted, err = copyWord(&a); err != nil {
			return spec, err
		}
		if !quoted {
			return spec, errors.New("parse error: PROGRAM wants its command in single quotes")
		}
	case low == "stdin" || low == "stdout" || low == "pstdin" || low == "pstdout":
		spec.stream = low
		if spec.from != strings.HasSuffix(low, "stdin") {
			return spec, fmt.Errorf("data cannot be copied %s %s", word, target)
		}
	default:
		spec.path = strings.TrimSuffix(target, ";")
	}
	side := "TO STDOUT"
	if spec.from {
		side = "FROM STDIN"
	}
	options := strings.TrimSuffix(a.rest(), ";")
	spec.sql = strings.TrimSpace("COPY " + strings.TrimSpace(text[:at]) + " " + side + " " + options)
	return spec, nil
}

// copyWord returns the next word up to white space, without its single quotes.
func copyWord(a *args) (word string, quoted bool, err error) {
	a.skipBlank()
	if a.pos < len(a.text) && a.text[a.pos] == '\'' {
		var b strings.Builder
		err := a.single(&b)
		return b.String(), true, err
	}
	from := a.pos
	for a.pos < len(a.text) && !strings.ContainsRune(" \t\r\n", rune(a.text[a.pos])) {
		a.pos++
	}
	return a.text[from:a.pos], false, nil
}

// findDirection returns where the word FROM or TO is that is in no quotes and no
// parentheses, and which in lower case.
func findDirection(text string) (at int, word string) {
	depth := 0
	for i := 0; i < len(text); {
		c := text[i]
		end := i + 1
		switch {
		case c == '\'' || c == '"' || c == '$':
			end = skipQuoted(text, i)
		case c == '(':
			depth++
		case c == ')':
			depth--
		case wordByte(c):
			for end < len(text) && wordByte(text[end]) {
				end++
			}
			if w := strings.ToLower(text[i:end]); depth == 0 && (w == "from" || w == "to") {
				return i, w
			}
			if end < len(text) && text[end] == '\'' { // E'…'
				end = skipQuoted(text, end)
			}
		}
		if end < 0 {
			return -1, ""
		}
		i = end
	}
	return -1, ""
}
