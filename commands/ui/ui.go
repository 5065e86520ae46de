// Package ui writes for people: tables, progress, questions, colours.
//
// Results go to stdout, everything else to stderr. Colours are the terminal's own sixteen,
// chosen without asking the terminal anything, and appear only on a terminal that wants
// them. This is the only package that imports lipgloss.
package ui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
	"golang.org/x/term"
)

// A UI writes to one person. Its methods are safe for concurrent use.
type UI struct {
	in       io.Reader
	out, err *stream

	mu     sync.Mutex
	line   *Progress // the progress line that is being drawn, if any
	failed error     // the first result that could not be written
}

// A stream is an output with what it is able to show.
type stream struct {
	w        io.Writer
	terminal bool
	style    *lipgloss.Renderer
	width    func() int
}

// Options say how to write.
type Options struct {
	// Getenv finds environment variables. Default: os.Getenv.
	Getenv func(string) string
}

// New returns a UI on the given streams. What is no *os.File is no terminal.
func New(in io.Reader, out, err io.Writer, o Options) *UI {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	return &UI{in: in, out: newStream(out, o), err: newStream(err, o)}
}

// Plain turns colours off from now on.
func (u *UI) Plain() {
	u.out.style.SetColorProfile(termenv.Ascii)
	u.err.style.SetColorProfile(termenv.Ascii)
}

func newStream(w io.Writer, o Options) *stream {
	s := &stream{w: w, width: func() int { return 80 }}
	profile := termenv.Ascii
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.width = func() int {
			if cols, _, err := term.GetSize(int(f.Fd())); err == nil && cols > 0 {
				return cols
			}
			return 80
		}
		name := o.Getenv("TERM")
		s.terminal = name != "dumb" && name != ""
		if s.terminal && o.Getenv("NO_COLOR") == "" {
			profile = termenv.ANSI
		}
	}
	// The profile is set, not detected: detection asks the terminal and waits for it.
	s.style = lipgloss.NewRenderer(w, termenv.WithProfile(profile))
	s.style.SetColorProfile(profile)
	s.style.SetHasDarkBackground(true)
	return s
}

// Out reports whether stdout is a terminal that can redraw a line.
func (u *UI) Out() bool { return u.out.terminal }

// Err reports whether stderr is a terminal that can redraw a line.
func (u *UI) Err() bool { return u.err.terminal }

// Width returns how many columns stdout has; 80 when it is no terminal.
func (u *UI) Width() int { return u.out.width() }

// Stdout returns where results go. Failed tells of a write that did not work.
func (u *UI) Stdout() io.Writer { return outWriter{u} }

type outWriter struct{ u *UI }

func (w outWriter) Write(b []byte) (int, error) {
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	w.u.clear()
	n, err := w.u.out.w.Write(b)
	if err != nil && w.u.failed == nil {
		w.u.failed = fmt.Errorf("write the result: %w", err)
	}
	w.u.redraw()
	return n, err
}

// Failed returns the error of the first result that could not be written, as on a full
// disk. A command that has lost its result has failed.
func (u *UI) Failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.failed
}

// Stderr returns a writer that keeps clear of the progress line.
func (u *UI) Stderr() io.Writer { return errWriter{u} }

type errWriter struct{ u *UI }

func (w errWriter) Write(b []byte) (int, error) {
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	w.u.clear()
	n, err := w.u.err.w.Write(b)
	w.u.redraw()
	return n, err
}

// Printf writes a result to stdout.
func (u *UI) Printf(format string, args ...any) { fmt.Fprintf(u.Stdout(), format, args...) }

// Note writes one line of information to stderr.
func (u *UI) Note(format string, args ...any) {
	fmt.Fprintln(u.Stderr(), fmt.Sprintf(format, args...))
}

// Warn writes one line that deserves attention to stderr.
func (u *UI) Warn(format string, args ...any) {
	fmt.Fprintln(u.Stderr(), u.err.paint(yellow, "warning:")+" "+fmt.Sprintf(format, args...))
}

// Error writes one line that says why the command failed to stderr.
func (u *UI) Error(msg string) {
	fmt.Fprintln(u.Stderr(), u.err.paint(red, "pgx-dev:")+" "+msg)
}

// A colour is one of the terminal's own; what it looks like is the person's choice.
type colour string

// The palette. Only these sixteen are asked for, by their numbers.
const (
	plain  colour = ""
	red    colour = "1"
	green  colour = "2"
	yellow colour = "3"
	blue   colour = "4"
	cyan   colour = "6"
	grey   colour = "8"
)

func (s *stream) paint(c colour, text string) string {
	if c == plain {
		return text
	}
	return s.style.NewStyle().Foreground(lipgloss.Color(c)).Render(text)
}

func (s *stream) bold(text string) string   { return s.style.NewStyle().Bold(true).Render(text) }
func (s *stream) italic(text string) string { return s.style.NewStyle().Italic(true).Render(text) }

// Good colours a word for stdout as a success.
func (u *UI) Good(s string) string { return u.out.paint(green, s) }

// Bad colours a word for stdout as an error.
func (u *UI) Bad(s string) string { return u.out.paint(red, s) }

// Caution colours a word for stdout as a warning.
func (u *UI) Caution(s string) string { return u.out.paint(yellow, s) }

// Dim makes a word on stdout stand back.
func (u *UI) Dim(s string) string { return u.out.paint(grey, s) }

// Bold makes a word on stdout stand out.
func (u *UI) Bold(s string) string { return u.out.bold(s) }

// ErrNoTerminal reports a question that nobody is there to answer.
var ErrNoTerminal = errors.New("not a terminal")

// Confirm asks a question that defaults to no. It returns ErrNoTerminal unless both stdin
// and stderr are terminals, and the cause of ctx's end should that come before the answer.
func (u *UI) Confirm(ctx context.Context, question string) (bool, error) {
	in, ok := u.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return false, ErrNoTerminal
	}
	if f, ok := u.err.w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return false, ErrNoTerminal
	}
	fmt.Fprintf(u.Stderr(), "%s [y/N] ", question)
	answer, err := readLine(ctx, in)
	if ctx.Err() != nil {
		fmt.Fprintln(u.Stderr())
		return false, context.Cause(ctx)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if errors.Is(err, io.EOF) {
		fmt.Fprintln(u.Stderr())
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// readLine reads a line until ctx ends. The read itself cannot be interrupted: it goes on in
// a goroutine, and the process is about to end.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(in).ReadString('\n')
		got <- answer{line, err}
	}()
	select {
	case a := <-got:
		return a.line, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
