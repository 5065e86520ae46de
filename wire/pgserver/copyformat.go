package pgserver

import (
	"encoding/binary"

	"github.com/pgx-dev/pgx-dev/wire"
)

// CopyKind is the kind of data a COPY carries.
type CopyKind uint8

// The kinds of COPY data.
const (
	CopyText CopyKind = iota
	CopyCSV
	CopyBinary
)

// A CopyFormat says how COPY data looks: the options of the COPY command. The zero value is
// the text format with PostgreSQL's defaults.
type CopyFormat struct {
	Kind      CopyKind
	Delimiter byte    // 0: a tab, in CSV a comma
	Null      *string // nil: \N, in CSV nothing
	Header    bool    // CSV and text: the first line has the columns' names
	Quote     byte    // CSV; 0: a double quote
	Escape    byte    // CSV; 0: the same as Quote
	// NoEndMarker makes a line of \. in CSV a row like any other, as it is since PostgreSQL 18;
	// before, the data ends there. CopyReader.Rows goes by the session's server_version.
	NoEndMarker bool
}

// Check returns an error with code 22023 or 0A000 for options that exclude each other
// (ProcessCopyOptions in commands/copy.c).
func (f CopyFormat) Check() error {
	bad := func(format string, args ...any) error {
		return wire.Errorf(wire.CodeInvalidParameterValue, format, args...)
	}
	only := func(what, kinds string) error {
		return wire.Errorf(wire.CodeFeatureNotSupported, "COPY %s available only in %s mode", what, kinds)
	}
	switch {
	case f.Kind > CopyBinary:
		return bad("COPY format %d not recognized", f.Kind)
	case f.Kind != CopyCSV && f.Quote != 0:
		return only("quote", "CSV")
	case f.Kind != CopyCSV && f.Escape != 0:
		return only("escape", "CSV")
	case f.Kind == CopyBinary && f.Delimiter != 0:
		return only("delimiter", "text and CSV")
	case f.Kind == CopyBinary && f.Null != nil:
		return only("null", "text and CSV")
	case f.Kind == CopyBinary && f.Header:
		return only("header", "text and CSV")
	case f.Kind == CopyBinary:
		return nil
	}
	f = f.defaults()
	switch {
	case f.Delimiter == '\n' || f.Delimiter == '\r':
		return bad("COPY delimiter cannot be newline or carriage return")
	case f.Delimiter >= 0x80 || f.Quote >= 0x80 || f.Escape >= 0x80:
		return bad("COPY delimiter, quote and escape must be ASCII characters")
	}
	for i := range len(*f.Null) {
		switch c := (*f.Null)[i]; {
		case c == '\n' || c == '\r':
			return bad("COPY null representation cannot use newline or carriage return")
		case c == f.Delimiter:
			return bad("COPY delimiter character must not appear in the NULL specification")
		case f.Kind == CopyCSV && c == f.Quote:
			return bad("CSV quote character must not appear in the NULL specification")
		}
	}
	if f.Kind == CopyCSV {
		switch {
		case f.Delimiter == f.Quote:
			return bad("COPY delimiter and quote must be different")
		case f.Quote == '\n' || f.Quote == '\r' || f.Escape == '\n' || f.Escape == '\r':
			return bad("COPY quote and escape cannot be newline or carriage return")
		}
		return nil
	}
	for _, c := range []byte(`\.abcdefghijklmnopqrstuvwxyz0123456789`) {
		if f.Delimiter == c {
			return bad("COPY delimiter cannot be %q", string(c))
		}
	}
	return nil
}

func (f CopyFormat) defaults() CopyFormat {
	if f.Delimiter == 0 {
		f.Delimiter = '\t'
		if f.Kind == CopyCSV {
			f.Delimiter = ','
		}
	}
	if f.Null == nil {
		null := `\N`
		if f.Kind == CopyCSV {
			null = ""
		}
		f.Null = &null
	}
	if f.Quote == 0 {
		f.Quote = '"'
	}
	if f.Escape == 0 {
		f.Escape = f.Quote
	}
	return f
}

// wire is the format code of CopyInResponse and CopyOutResponse.
func (f CopyFormat) wire() wire.Format {
	if f.Kind == CopyBinary {
		return wire.Binary
	}
	return wire.Text
}

// columns are the format codes of n columns.
func (f CopyFormat) columns(n int) []wire.Format {
	out := make([]wire.Format, n)
	for i := range out {
		out[i] = f.wire()
	}
	return out
}

// copySignature begins binary COPY data (commands/copyto.c, BinarySignature).
const copySignature = "PGCOPY\n\xff\r\n\x00"

// AppendHeader appends what comes before the first row: the signature of binary data, or the
// columns' names if the format has a header.
func (f CopyFormat) AppendHeader(dst []byte, names ...string) []byte {
	if f.Kind == CopyBinary {
		return append(append(dst, copySignature...), 0, 0, 0, 0, 0, 0, 0, 0)
	}
	if !f.Header {
		return dst
	}
	row := make([][]byte, len(names))
	for i, n := range names {
		row[i] = []byte(n)
	}
	return f.AppendRow(dst, row)
}

// AppendRow appends a row of values in text or binary form; nil is NULL.
func (f CopyFormat) AppendRow(dst []byte, row [][]byte) []byte {
	f = f.defaults()
	if f.Kind == CopyBinary {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(row)))
		for _, v := range row {
			dst = wire.AppendValue(dst, v)
		}
		return dst
	}
	for i, v := range row {
		if i > 0 {
			dst = append(dst, f.Delimiter)
		}
		switch {
		case v == nil:
			dst = append(dst, *f.Null...)
		case f.Kind == CopyCSV:
			dst = f.appendCSV(dst, v, len(row) == 1)
		default:
			dst = f.appendText(dst, v)
		}
	}
	return append(dst, '\n')
}

// AppendTrailer appends what comes after the last row.
func (f CopyFormat) AppendTrailer(dst []byte) []byte {
	if f.Kind == CopyBinary {
		return append(dst, 0xff, 0xff)
	}
	return dst
}

// appendText is CopyAttributeOutText.
func (f CopyFormat) appendText(dst, v []byte) []byte {
	for _, c := range v {
		switch c {
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		case '\v':
			dst = append(dst, `\v`...)
		case '\\', f.Delimiter:
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendCSV is CopyAttributeOutCSV.
func (f CopyFormat) appendCSV(dst, v []byte, single bool) []byte {
	quote := string(v) == *f.Null || single && string(v) == `\.`
	for _, c := range v {
		quote = quote || c == f.Delimiter || c == f.Quote || c == '\n' || c == '\r'
	}
	if !quote {
		return append(dst, v...)
	}
	dst = append(dst, f.Quote)
	for _, c := range v {
		if c == f.Quote || c == f.Escape {
			dst = append(dst, f.Escape)
		}
		dst = append(dst, c)
	}
	return append(dst, f.Quote)
}
