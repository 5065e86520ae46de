// Package line reads lines from a person at a terminal: with editing, a history that is
// kept in a file, incremental search, and pasted text taken as it is.
package line

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"
)

// ErrInterrupted reports that Ctrl-C was pressed while a line was read.
var ErrInterrupted = errors.New("interrupted")

// A File is a terminal. [os.File] is one.
type File interface {
	io.Reader
	Fd() uintptr
}

// An Editor reads lines. It is not safe for concurrent use. Between calls of Read the
// terminal is in its usual mode, in which Ctrl-C is a signal.
type Editor struct {
	// History is what the arrow keys go through; Read adds nothing to it.
	History *History
	// Complete, if set, returns what may stand in place of the word before the cursor,
	// and where in the text before the cursor that word begins.
	Complete func(before string) (start int, candidates []string)

	term  File
	in    *bufio.Reader
	out   io.Writer
	width func() int

	prompt   string
	buf      []rune
	pos      int
	row      int // where the cursor is, below the prompt's first row
	killed   []rune
	recalled int // index in History, from the newest; -1: the line being written
	draft    string
}

// New returns an editor that reads keys from in and draws on out, both of them the same
// terminal. reads wraps what is read, so that a caller can end a blocked read; nil reads
// from the terminal itself.
func New(in File, out io.Writer, reads io.Reader, width func() int) *Editor {
	if reads == nil {
		reads = in
	}
	return &Editor{History: &History{}, term: in, in: bufio.NewReader(reads), out: out, width: width}
}

// Read shows the prompt and returns the line that the person enters, without its line
// end; pasted text may hold several. It returns ErrInterrupted after Ctrl-C and io.EOF
// after Ctrl-D on an empty line.
func (e *Editor) Read(prompt string) (string, error) {
	state, err := term.MakeRaw(int(e.term.Fd()))
	if err != nil {
		return "", fmt.Errorf("put the terminal into raw mode: %w", err)
	}
	_, _ = io.WriteString(e.out, "\x1b[?2004h") // bracketed paste
	text, err := e.read(prompt)
	_, _ = io.WriteString(e.out, "\x1b[?2004l")
	return text, errors.Join(err, term.Restore(int(e.term.Fd()), state))
}

// Buffered returns what was typed ahead of the last Read's end, and forgets it.
func (e *Editor) Buffered() []byte {
	b := make([]byte, e.in.Buffered())
	n, _ := io.ReadFull(e.in, b)
	return b[:n]
}

func (e *Editor) read(prompt string) (string, error) {
	e.prompt, e.buf, e.pos, e.row = prompt, e.buf[:0], 0, 0
	e.recalled, e.draft = -1, ""
	e.refresh()
	for {
		k, err := readKey(e.in)
		if err != nil {
			e.finish()
			return "", err
		}
		switch k {
		case keyEnter, '\n':
			e.finish()
			return string(e.buf), nil
		case ctrl('C'):
			e.finish("^C")
			return "", ErrInterrupted
		case ctrl('D'):
			if len(e.buf) == 0 {
				e.finish()
				return "", io.EOF
			}
			e.erase(e.pos, min(e.pos+1, len(e.buf)))
		case ctrl('R'):
			done, err := e.search()
			if err != nil {
				e.finish("^C")
				return "", err
			}
			if done {
				e.finish()
				return string(e.buf), nil
			}
		case keyPaste:
			text, err := readPaste(e.in)
			if err != nil {
				e.finish()
				return "", err
			}
			e.insert([]rune(text)...)
		default:
			e.edit(k)
		}
	}
}

// finish leaves the line on the screen and the cursor at the start of the next one.
func (e *Editor) finish(mark ...string) {
	e.pos = len(e.buf)
	e.refresh()
	_, _ = io.WriteString(e.out, strings.Join(mark, "")+"\r\n")
}
