package shell

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// An input is where statements come from, line by line.
type input struct {
	name string        // of a file, for errors; empty for Stdin, the command line and a prompt
	line int           // number of the line that was read last
	r    *bufio.Reader // nil at a prompt
	// interactive inputs go on after errors, and their data may end with the terminal's
	// end-of-file key.
	interactive bool
	// copyLine asks a person for a line of COPY's data; first is true for the first one.
	copyLine func(first bool) (string, error)
}

func newInput(name string, r io.Reader) *input {
	return &input{name: name, r: bufio.NewReaderSize(r, 64<<10)}
}

// openInput opens a script file.
func openInput(path string) (*input, io.Closer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if fi, err := f.Stat(); err == nil && fi.IsDir() {
		return nil, nil, errors.Join(fmt.Errorf("%s is a directory", path), f.Close())
	}
	return newInput(path, f), f, nil
}

// next returns the next line, with its newline if it has one. io.EOF comes without text.
func (in *input) next() (string, error) {
	text, err := in.r.ReadString('\n')
	if text == "" {
		return "", err
	}
	in.line++
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return text, err
}

// data returns a reader of the COPY data that follow in the input, up to the line "\.".
// Reading it to its end leaves the input behind that line.
func (in *input) data() io.Reader { return &copyData{in: in, first: true} }

// errNoEnd reports COPY data that end where their file ends.
var errNoEnd = errors.New(`its data do not end with a line "\."`)

type copyData struct {
	in    *input
	first bool
	rest  string
	end   bool
}

func (d *copyData) Read(b []byte) (int, error) {
	if d.rest == "" && !d.end {
		text, err := d.line()
		switch {
		case errors.Is(err, io.EOF) && d.in.interactive:
			d.end = true
		case errors.Is(err, io.EOF):
			return 0, errNoEnd
		case err != nil:
			return 0, err
		case strings.TrimRight(text, "\r\n") == `\.`:
			d.end = true
		default:
			d.rest = text
		}
	}
	if d.end {
		return 0, io.EOF
	}
	n := copy(b, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

func (d *copyData) line() (string, error) {
	if d.in.copyLine == nil {
		return d.in.next()
	}
	first := d.first
	d.first = false
	return d.in.copyLine(first)
}
