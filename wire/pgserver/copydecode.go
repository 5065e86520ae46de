package pgserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pgx-dev/pgx-dev/wire"
)

// maxCopyRow bounds one row: PostgreSQL's own limit is that of a string buffer.
const maxCopyRow = 1 << 30

// A CopyDecoder reads rows out of COPY data. It is what CopyReader.Rows uses, for data that
// comes from elsewhere. It is not safe for concurrent use.
type CopyDecoder struct {
	r       io.Reader
	f       CopyFormat
	columns int // 0: any number

	buf      []byte
	from, to int
	eof      bool
	started  bool
	ended    bool
	line     int64
	eol      string // how the first line ended
	cut      bool   // the last line has no end
	row      [][]byte
	mem      []byte // of the fields of the row
	names    []string
}

// NewCopyDecoder returns a decoder of rows with the given number of columns; 0 takes any.
func NewCopyDecoder(r io.Reader, f CopyFormat, columns int) *CopyDecoder {
	return &CopyDecoder{r: r, f: f.defaults(), columns: columns}
}

// Header returns the names in the header line, once Next was called.
func (d *CopyDecoder) Header() []string { return d.names }

// Next returns the fields of the next row, nil for NULL, and io.EOF after the last one. They
// are valid until the next call. Data that does not fit the format is an error with code
// 22P04 that says which line it is in.
func (d *CopyDecoder) Next() ([][]byte, error) {
	if d.ended {
		return nil, io.EOF
	}
	if !d.started {
		d.started = true
		if err := d.start(); err != nil {
			d.ended = true
			return nil, err
		}
	}
	d.line++
	d.row, d.mem = d.row[:0], d.mem[:0]
	var err error
	switch d.f.Kind {
	case CopyBinary:
		err = d.binaryRow()
	case CopyCSV:
		err = d.csvRow()
	default:
		err = d.textRow()
	}
	if err != nil {
		d.ended = true
		return nil, err
	}
	if d.f.Kind != CopyBinary {
		for _, v := range d.row {
			if err := checkText(v); err != nil {
				d.ended = true
				return nil, d.located(err)
			}
		}
	}
	if d.columns > 0 && len(d.row) != d.columns {
		d.ended = true
		if len(d.row) < d.columns {
			return nil, d.bad("missing data: %d columns instead of %d", len(d.row), d.columns)
		}
		return nil, d.bad("extra data after last expected column")
	}
	return d.row, nil
}

func (d *CopyDecoder) bad(format string, args ...any) error {
	return d.located(wire.Errorf(wire.CodeBadCopyFileFormat, format, args...))
}

// located adds where the trouble is.
func (d *CopyDecoder) located(err error) error {
	e := *wire.AsError(err)
	e.Where = "COPY, line " + itoa(d.line)
	return &e
}

func (d *CopyDecoder) start() error {
	if d.f.Kind == CopyBinary {
		return d.binaryHeader()
	}
	if !d.f.Header {
		return nil
	}
	d.line++
	read := d.textRow
	if d.f.Kind == CopyCSV {
		read = d.csvRow
	}
	if err := read(); err != nil {
		return err
	}
	for _, v := range d.row {
		d.names = append(d.names, string(v))
	}
	return nil
}

// more reads until at least n bytes wait, or reports false at the end of the data. What is
// in the buffer from d.from on stays.
func (d *CopyDecoder) more(n int) (bool, error) {
	for d.to-d.from < n {
		if d.eof {
			return false, nil
		}
		if d.from > 0 {
			d.to = copy(d.buf, d.buf[d.from:d.to])
			d.from = 0
		}
		if d.to == len(d.buf) {
			if len(d.buf) >= maxCopyRow {
				return false, wire.Errorf(wire.CodeProgramLimitExceeded, "a row of COPY data is longer than %d bytes", maxCopyRow)
			}
			d.buf = append(d.buf, make([]byte, max(len(d.buf), 8<<10))...)
		}
		got, err := d.r.Read(d.buf[d.to:])
		d.to += got
		if errors.Is(err, io.EOF) {
			d.eof = true
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

// take returns n bytes, valid until the next call of more.
func (d *CopyDecoder) take(n int) ([]byte, error) {
	ok, err := d.more(n)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, d.bad("unexpected EOF in COPY data")
	}
	b := d.buf[d.from : d.from+n]
	d.from += n
	return b, nil
}

func (d *CopyDecoder) binaryHeader() error {
	b, err := d.take(len(copySignature) + 8)
	if err != nil {
		return err
	}
	if string(b[:len(copySignature)]) != copySignature {
		return d.bad("COPY file signature not recognized")
	}
	b = b[len(copySignature):]
	if flags := binary.BigEndian.Uint32(b); flags>>16 != 0 {
		return d.bad("unrecognized critical flags in COPY file header")
	}
	ext := binary.BigEndian.Uint32(b[4:])
	if int32(ext) < 0 {
		return d.bad("invalid COPY file header (missing length)")
	}
	for ext > 0 {
		n := min(ext, 4096)
		if _, err := d.take(int(n)); err != nil {
			return err
		}
		ext -= n
	}
	return nil
}

func (d *CopyDecoder) binaryRow() error {
	ok, err := d.more(1)
	if err != nil {
		return err
	}
	if !ok {
		// The protocol's end does for the trailer, as it did in the old days.
		return io.EOF
	}
	b, err := d.take(2)
	if err != nil {
		return err
	}
	n := int16(binary.BigEndian.Uint16(b))
	if n == -1 {
		if ok, err := d.more(1); err != nil {
			return err
		} else if ok {
			return d.bad("received copy data after EOF marker")
		}
		return io.EOF
	}
	if n < 0 || d.columns > 0 && int(n) != d.columns {
		return d.bad("row field count is %d, expected %d", n, d.columns)
	}
	// Offsets first: mem may move while it grows.
	ends := make([]int, 0, min(int(n), 64))
	for range n {
		b, err := d.take(4)
		if err != nil {
			return err
		}
		size := int32(binary.BigEndian.Uint32(b))
		if size == -1 {
			ends = append(ends, -1)
			continue
		}
		if size < 0 {
			return d.bad("invalid field size")
		}
		for size > 0 {
			part := min(size, 64<<10)
			b, err := d.take(int(part))
			if err != nil {
				return err
			}
			if len(d.mem)+len(b) > maxCopyRow {
				return wire.Errorf(wire.CodeProgramLimitExceeded, "a row of COPY data is longer than %d bytes", maxCopyRow)
			}
			d.mem = append(d.mem, b...)
			size -= part
		}
		ends = append(ends, len(d.mem))
	}
	d.fields(ends)
	return nil
}

// fields cuts mem at the ends; -1 is NULL.
func (d *CopyDecoder) fields(ends []int) {
	if d.mem == nil {
		d.mem = []byte{} // a value of no bytes is not NULL
	}
	from := 0
	for _, end := range ends {
		if end < 0 {
			d.row = append(d.row, nil)
			continue
		}
		d.row = append(d.row, d.mem[from:end:end])
		from = end
	}
}

// nextLine returns a line without its end, and io.EOF at the end of the data. A line's end that
// a backslash or, in CSV, quotes hide does not count. Each byte is looked at once, however
// small the pieces are in which the data comes.
func (d *CopyDecoder) nextLine() ([]byte, error) {
	pos, in := 0, false
	for {
		b := d.buf[d.from:d.to]
		var size int // of the line's end, when it was found
		if pos, size, in = d.scanLine(b, pos, in); size > 0 {
			d.from += pos + size
			if err := d.lineEnd(string(b[pos : pos+size])); err != nil {
				return nil, err
			}
			return b[:pos], nil
		}
		ok, err := d.more(len(b) + 1)
		if err != nil {
			return nil, err
		}
		if ok || pos < len(b) {
			continue // a last byte waited for its successor
		}
		b = d.buf[d.from:d.to] // more may have moved it
		if len(b) == 0 {
			return nil, io.EOF
		}
		if in {
			return nil, d.bad("unterminated CSV quoted field")
		}
		d.from, d.cut = d.to, true
		return b, nil
	}
}

// lineEnd refuses a line's end that is not like the first one's, which is more likely part of
// a value that should have been escaped (CopyReadLineText).
func (d *CopyDecoder) lineEnd(end string) error {
	if d.eol == "" {
		d.eol = end
	}
	if d.eol == end {
		return nil
	}
	what, how := "literal", `"\n"`
	if d.f.Kind == CopyCSV {
		what, how = "unquoted", "quoted CSV field"
	}
	character := "newline"
	if end[0] == '\r' {
		character = "carriage return"
		if d.f.Kind != CopyCSV {
			how = `"\r"`
		}
	}
	err := wire.Errorf(wire.CodeBadCopyFileFormat, "%s %s found in data", what, character)
	err.Hint = fmt.Sprintf("Use %s to represent %s.", how, character)
	return d.located(err)
}

// scanLine goes on at pos and stops at the line's end, whose size it returns, or where it
// needs more bytes.
func (d *CopyDecoder) scanLine(b []byte, pos int, in bool) (int, int, bool) {
	csv := d.f.Kind == CopyCSV
	for ; pos < len(b); pos++ {
		c := b[pos]
		last := pos+1 == len(b)
		switch {
		case !csv && c == '\\', csv && in && c == d.f.Escape:
			if last && !d.eof {
				return pos, 0, in
			}
			switch {
			case last && csv:
				in = in && c != d.f.Quote
			case !csv, b[pos+1] == d.f.Escape, b[pos+1] == d.f.Quote:
				pos++
			case c == d.f.Quote:
				in = false
			}
		case csv && c == d.f.Quote:
			in = !in
		case in:
		case c == '\n':
			return pos, 1, in
		case c == '\r':
			if last && !d.eof {
				return pos, 0, in
			}
			if !last && b[pos+1] == '\n' {
				return pos, 2, in
			}
			return pos, 1, in
		}
	}
	return min(pos, len(b)), 0, in
}

func itoa(n int64) string {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}
