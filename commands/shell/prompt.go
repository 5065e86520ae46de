package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/pgx-dev/pgx-dev/commands/shell/line"
)

// A terminal is where a person and the shell meet.
type terminal struct {
	in         *os.File
	out        *os.File
	editor     *line.Editor
	interrupts chan os.Signal // Ctrl-C while no line is being read
}

// terminalOf returns the terminal of a configuration whose Stdin and Stdout are one.
func terminalOf(cfg Config) *terminal {
	in, _ := cfg.Stdin.(*os.File)
	out, _ := cfg.Stdout.(*os.File)
	if in == nil || out == nil || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return nil
	}
	return &terminal{in: in, out: out, interrupts: make(chan os.Signal, 1)}
}

// columnsOf returns how many columns a writer has; 0 if it is no terminal.
func columnsOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// prompt runs what a person enters until they have enough.
func (s *shell) prompt(ctx context.Context, t *terminal, stdin io.Reader) error {
	s.terminal = t
	signal.Notify(t.interrupts, syscall.SIGINT)
	defer signal.Stop(t.interrupts)
	t.editor = line.New(t.in, t.out, stdin, func() int {
		if n := columnsOf(t.out); n > 0 {
			return n
		}
		return 80
	})
	t.editor.Complete = s.completer(ctx)
	s.openHistory()
	if !s.quiet {
		fmt.Fprintf(s.Stdout, "PostgreSQL %s. Type \\? for help, \\q to quit.\n\n", s.conn.ParameterStatus("server_version"))
	}
	in := &input{interactive: true, copyLine: s.copyLine}
	p := newPending(1)
	entry := "" // for the history: all lines of what is pending
	for ctx.Err() == nil {
		text, err := t.editor.Read(s.promptText(p))
		switch {
		case errors.Is(err, line.ErrInterrupted):
			p, entry = newPending(1), ""
			continue
		case errors.Is(err, io.EOF):
			if !s.quiet {
				fmt.Fprintln(s.Stdout, `\q`)
			}
			return nil
		case err != nil:
			return err
		}
		p.add(text + "\n")
		entry += text + "\n"
		err = s.consume(ctx, in, p, false)
		if p.blank() {
			p = newPending(1)
			s.remember(entry)
			entry = ""
		}
		switch {
		case errors.Is(err, errQuit):
			return nil
		case err != nil && !errors.Is(err, errStatement):
			return err
		}
	}
	return nil
}

// openHistory takes up the history file; without one, what is entered is remembered until
// the shell ends.
func (s *shell) openHistory() {
	if s.HistoryFile == "" {
		return
	}
	h, err := line.OpenHistory(s.HistoryFile)
	if err != nil {
		s.Logger.Info("no history is kept", "err", err)
		return
	}
	s.terminal.editor.History = h
}

func (s *shell) remember(entry string) {
	if err := s.terminal.editor.History.Add(entry); err != nil {
		s.Logger.Info("no history is kept", "err", err)
	}
}

// copyLine asks for a line of COPY's data.
func (s *shell) copyLine(first bool) (string, error) {
	if first && !s.quiet {
		fmt.Fprintln(s.Stdout, "Enter data to be copied followed by a newline.\nEnd with a backslash and a period on a line by itself, or an EOF signal.")
	}
	if s.interrupted.Load() {
		return "", line.ErrInterrupted
	}
	editor := s.terminal.editor
	complete := editor.Complete
	editor.Complete = nil // a tab separates fields here
	text, err := editor.Read(">> ")
	editor.Complete = complete
	if err != nil {
		return "", err
	}
	return text + "\n", nil
}

// promptText is psql's default prompt, '%/%R%x%# ': the database, what is open, the state
// of the transaction, and # for a superuser.
func (s *shell) promptText(p *pending) string {
	if s.conn == nil {
		return "!> "
	}
	state := "="
	if !p.blank() {
		state = string(p.lexer.open())
	}
	switch s.conn.TxStatus() {
	case 'T':
		state += "*"
	case 'E':
		state += "!"
	}
	end := "> "
	if s.conn.ParameterStatus("is_superuser") == "on" {
		end = "# "
	}
	return s.database + state + end
}

// errInterrupted reports output that the person does not want to see the rest of.
var errInterrupted = errors.New("interrupted")

// interruptible is the screen until the person presses Ctrl-C.
type interruptible struct{ s *shell }

func (w *interruptible) Write(b []byte) (int, error) {
	const piece = 4096 // little enough for Ctrl-C to be felt at once
	for n := 0; n < len(b); n += piece {
		if w.s.interrupted.Load() {
			return n, errInterrupted
		}
		if m, err := w.s.out.Write(b[n:min(n+piece, len(b))]); err != nil {
			return n + m, err
		}
	}
	return len(b), nil
}

// Prompts reports whether Run will read lines from a person: there are no Steps, and Stdin
// and Stdout are terminals.
func (c Config) Prompts() bool {
	c = c.withDefaults()
	return len(c.Steps) == 0 && terminalOf(c) != nil
}
