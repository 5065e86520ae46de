package replication

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A plainArchive reads one archive as servers before 15 send it: to the end of the COPY.
type plainArchive struct {
	b    *backup
	tail []byte // what the server leaves out
	rest []byte
	err  error
}

// tarTailLen is the size of the two blocks of zeros that end a tar file. Servers before 15 leave them to
// their client.
const tarTailLen = 1024

func (a *plainArchive) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if a.rest, a.err = a.b.copyData(); a.err == nil {
			a.b.took(len(a.rest))
		} else if errors.Is(a.err, io.EOF) {
			a.rest = a.tail
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// A typedArchive reads the archives that servers since 15 send in one COPY, whose messages
// begin with a byte: 'n' begins an archive and 'm' the manifest, 'd' is data, 'p' progress
// (PostgreSQL's documentation, "BASE_BACKUP"). Read ends where the next one begins.
type typedArchive struct {
	b       *backup
	rest    []byte
	err     error
	kind    byte // of the archive that begins next; 0 at the end
	archive string
}

// next waits for the next archive and returns 'n' and its name, 'm', or 0 at the end.
func (a *typedArchive) next() (kind byte, archive string, err error) {
	for a.err == nil { // only before the first one: later ones have been read to their end
		if err := a.message(); err != nil {
			return 0, "", err
		}
		if len(a.rest) > 0 {
			return 0, "", fmt.Errorf("the server sends data before it says of which archive")
		}
	}
	if !errors.Is(a.err, io.EOF) {
		return 0, "", a.err
	}
	a.err = nil
	return a.kind, a.archive, nil
}

func (a *typedArchive) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if err := a.message(); err != nil {
			a.err = err
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// message reads one message: data into a.rest; the beginning of something new, or the end,
// sets a.err to io.EOF.
func (a *typedArchive) message() error {
	body, err := a.b.copyData()
	if errors.Is(err, io.EOF) {
		a.kind, a.archive, a.err = 0, "", io.EOF
		return nil
	}
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return fmt.Errorf("the server sends an empty message inside a backup")
	}
	switch kind := body[0]; kind {
	case 'd':
		a.rest = body[1:]
		a.b.took(len(a.rest))
	case 'n':
		name, _, ok := bytes.Cut(body[1:], []byte{0})
		if !ok {
			return fmt.Errorf("the server sends an archive's name that has no end")
		}
		a.kind, a.archive, a.err = kind, string(name), io.EOF
	case 'm':
		a.kind, a.archive, a.err = kind, "", io.EOF
	case 'p': // how far the server is; what has come tells as much
	default:
		return fmt.Errorf("the server sends an unknown message %q inside a backup", kind)
	}
	return nil
}
