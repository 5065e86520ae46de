package copysplit

import (
	"bytes"

	"github.com/pgx-dev/pgx-dev/wire"
)

// An ending is how lines end, which the first one says.
type ending uint8

const (
	endUnknown ending = iota
	endNewline
	endReturn
	endBoth
)

// A line is what has been cut off: so many bytes, of which the first are its body. The last one is
// the end of the data, whatever stands behind it.
type line struct {
	size, body int
	last       bool
}

// cut finds the line at the beginning of p, of size 0 if more data must come first. It takes the
// same decisions in the same order as CopyReadLineText in copyfromparse.c; what that refuses cannot
// be told apart either.
func (s *Splitter) cut(p []byte, end bool) (line, error) {
	if l, ok := s.plain(p); ok {
		return l, nil
	}
	isCSV := s.format == csv
	escape := s.escape
	if escape == s.quote {
		escape = 0 // the quote toggles
	}
	done := func(l line) (line, error) {
		s.scanned, s.quoted, s.escaped = 0, false, false
		return l, nil
	}
	bad := func(text, csvText string) (line, error) {
		if isCSV {
			text = csvText
		}
		err := wire.Errorf(wire.CodeBadCopyFileFormat, "%s", text)
		s.line++
		err.Where = s.context(len(s.keyAt))
		return line{}, err
	}
	// after is the byte at i, 0 at the end of the data; ok is false if it is not there yet.
	after := func(i int) (c byte, ok bool) {
		if i < len(p) {
			return p[i], true
		}
		return 0, end
	}
	i := s.scanned
	wait := func() (line, error) {
		s.scanned = i
		return line{}, nil
	}
	for ; i < len(p); i++ {
		c := p[i]
		if c == '\r' || c == '\\' {
			if _, ok := after(i + 1); !ok {
				return wait()
			}
		}
		if isCSV {
			if s.quoted && c == escape && escape != 0 {
				s.escaped = !s.escaped
			}
			if c == s.quote && !s.escaped {
				s.quoted = !s.quoted
			}
			if c != escape || escape == 0 {
				s.escaped = false
			}
			if s.quoted {
				continue
			}
		}
		switch c {
		case '\r':
			size := i + 1
			switch s.eol {
			case endUnknown, endBoth:
				switch next, _ := after(i + 1); {
				case next == '\n':
					s.eol, size = endBoth, i+2
				case s.eol == endBoth:
					return bad("literal carriage return found in data", "unquoted carriage return found in data")
				default:
					s.eol = endReturn
				}
			case endNewline:
				return bad("literal carriage return found in data", "unquoted carriage return found in data")
			case endReturn:
			}
			return done(line{size: size, body: i})
		case '\n':
			if s.eol == endReturn || s.eol == endBoth {
				return bad("literal newline found in data", "unquoted newline found in data")
			}
			s.eol = endNewline
			return done(line{size: i + 1, body: i})
		case '\\':
			if isCSV && (i > 0 || !s.dots) {
				continue
			}
			if next, _ := after(i + 1); next != '.' {
				if !isCSV {
					i++ // whatever it is, it is data
				}
				continue
			}
			size, ok, why := s.marks(after, i+2)
			switch {
			case why != "" && (!isCSV || why == mismatch && size > 0):
				return bad(why, why)
			case why != "":
				continue // it is data
			case !ok:
				return wait()
			}
			return done(line{size: min(size, len(p)), body: i, last: true})
		}
	}
	if end {
		return done(line{size: len(p), body: len(p)})
	}
	return wait()
}

const mismatch = "end-of-copy marker does not match previous newline style"

// marks looks at what follows \. at i: size is where the line ends, ok false if that is not there yet.
// why says that it is no end of the data; size is 0 if it may be data in CSV then.
func (s *Splitter) marks(after func(int) (byte, bool), i int) (size int, ok bool, why string) {
	if s.eol == endBoth {
		c, ok := after(i)
		switch {
		case !ok:
			return 0, false, ""
		case c == '\n':
			return 0, true, mismatch
		case c != '\r':
			return 0, true, "end-of-copy marker corrupt"
		}
		i++
	}
	c, ok := after(i)
	switch {
	case !ok:
		return 0, false, ""
	case c != '\r' && c != '\n':
		return 0, true, "end-of-copy marker corrupt"
	case (s.eol == endNewline || s.eol == endBoth) && c != '\n', s.eol == endReturn && c != '\r':
		return i + 1, true, mismatch
	}
	return i + 1, true, ""
}

// plain finds the end of a line in which nothing is special, as in most, by faster searches.
func (s *Splitter) plain(p []byte) (line, bool) {
	if s.scanned > 0 || s.quoted || s.eol == endUnknown || s.eol == endReturn {
		return line{}, false
	}
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		return line{}, false
	}
	body := i
	if s.eol == endBoth {
		if body--; body < 0 || p[body] != '\r' {
			return line{}, false
		}
	}
	if bytes.IndexByte(p[:body], '\r') >= 0 {
		return line{}, false
	}
	special := byte('\\')
	if s.format == csv {
		if body > 0 && p[0] == '\\' {
			return line{}, false
		}
		special = s.quote
	}
	if bytes.IndexByte(p[:body], special) >= 0 {
		return line{}, false
	}
	return line{size: i + 1, body: body}, true
}
