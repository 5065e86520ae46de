// Package copysplit cuts the data of COPY FROM STDIN into rows and says to which shard each
// belongs. It is pure: bytes in, bytes out.
//
// # Flow
//
//	CopyData ─► Splitter.Write ─► rows of shard 0, rows of shard 1, …; what all get
//
// The data are cut where the server would cut them (CopyReadLine and CopyReadBinaryData in
// copyfromparse.c), and go on unchanged: only the columns of the sharding key are read, as
// the server would read them. A row may be in several pieces of data, and pieces may hold
// many rows.
package copysplit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// maxRow is how long a row may be, in bytes: what one message can hold (MaxAllocSize).
const maxRow = 1 << 30

// A Place finds the shard of a row by its sharding key, whose values are valid during the
// call only.
type Place func(key []sharding.Raw) (shard int, err error)

// A Splitter cuts one COPY. It is not safe for concurrent use.
type Splitter struct {
	format        format
	header        bool // the first line names the columns
	delimiter     byte
	null          []byte
	quote, escape byte
	forceNull     []bool // by key column: a quoted null string is NULL too
	forceNot      []bool // by key column: an unquoted null string is none
	keyAt         []int
	types         []hash.OID
	place         Place
	shards        int
	out           [][]byte
	rest          []byte // a row that is not complete
	values        []sharding.Raw
	scratch       []byte
	table         string
	columns       []string
	line          int // of the data, the current row's last one
	lines         []lines
	begun, ended  bool
	marker        []byte // stands for a column's default
	marked        bool   // in a column of the key
	ascii         bool   // text is in an encoding that is like UTF-8 in its ASCII characters only
	dots          bool   // \. ends CSV data
	eol           ending
	// state of the search for the end of a row, so that a long one is scanned once
	scanned         int
	quoted, escaped bool
}

type format uint8

const (
	text format = iota
	csv
	binary
)

// New makes a splitter for a COPY. place is called once for each row. An error says that
// the COPY has options with which its data cannot be split.
func New(c *route.Copy, shards int, place Place) (*Splitter, error) {
	s := &Splitter{
		delimiter: '\t', null: []byte(`\N`), quote: '"', place: place, shards: shards, keyAt: c.KeyAt,
		out: make([][]byte, shards), values: make([]sharding.Raw, len(c.KeyAt)),
		forceNull: make([]bool, len(c.KeyAt)), forceNot: make([]bool, len(c.KeyAt)),
		table: c.Table, columns: c.Columns, lines: make([]lines, shards), dots: c.Version < 180000,
	}
	for i := range s.lines {
		s.lines[i].most = mostLines / shards
	}
	if c.Key == nil || len(c.KeyAt) == 0 {
		return nil, fmt.Errorf("table %s has no sharding key", c.Table)
	}
	for i := range c.KeyAt {
		t := c.Key.Types[min(i, len(c.Key.Types)-1)]
		s.types = append(s.types, t)
	}
	switch f := strings.ToLower(c.Options["format"]); f {
	case "", "text":
	case "csv":
		s.format, s.delimiter, s.null = csv, ',', nil
	case "binary":
		s.format = binary
	default:
		return nil, fmt.Errorf("COPY format %q is not known", f)
	}
	for name, v := range c.Options {
		if err := s.option(c, strings.ToLower(name), v); err != nil {
			return nil, err
		}
	}
	if s.escape == 0 {
		s.escape = s.quote
	}
	return s, nil
}

func (s *Splitter) option(c *route.Copy, name, v string) error {
	single := func(dst *byte) error {
		if len(v) != 1 {
			return fmt.Errorf("COPY %s must be a single one-byte character", name)
		}
		*dst = v[0]
		return nil
	}
	switch name {
	case "default":
		s.marker = []byte(v)
	case "format", "freeze", "on_error", "log_verbosity", "reject_limit", "force_quote":
		if name == "on_error" && strings.ToLower(v) != "stop" {
			return fmt.Errorf("COPY with ON_ERROR %s cannot be split", v)
		}
	case "header":
		switch strings.ToLower(v) {
		case "true", "on", "1", "match":
			s.header = s.format != binary
		case "false", "off", "0":
		default:
			return fmt.Errorf("COPY with HEADER %s cannot be split", v)
		}
	case "delimiter":
		return single(&s.delimiter)
	case "quote":
		return single(&s.quote)
	case "escape":
		return single(&s.escape)
	case "null":
		s.null = []byte(v)
	case "encoding":
		switch e := strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(v)); e {
		case "utf8", "sqlascii", "unicode":
		default:
			// Others, such as SJIS, have ASCII characters within longer ones.
			single := strings.HasPrefix(e, "latin") || strings.HasPrefix(e, "win") || strings.HasPrefix(e, "iso") || strings.HasPrefix(e, "euc") || strings.HasPrefix(e, "koi8")
			if !single || slices.Contains([]string{"win932", "win936", "win949", "win950", "windows932", "windows936", "windows949", "windows950"}, e) {
				return fmt.Errorf("COPY in encoding %s cannot be split", v)
			}
			s.ascii = true
		}
	case "force_null", "force_not_null":
		for i, at := range c.KeyAt {
			named := strings.TrimSpace(v) == "*"
			for col := range strings.SplitSeq(strings.Trim(strings.TrimSpace(v), "()"), ",") {
				col = strings.Trim(strings.TrimSpace(col), `"`)
				named = named || at < len(c.Columns) && strings.EqualFold(col, c.Columns[at])
			}
			if name == "force_null" {
				s.forceNull[i] = named
			} else {
				s.forceNot[i] = named
			}
		}
	default:
		return fmt.Errorf("COPY option %s is not known", name)
	}
	return nil
}

// Out returns what shard's server is to be sent, which the caller takes over by [Splitter.Taken].
func (s *Splitter) Out(shard int) []byte { return s.out[shard] }

// Taken says that what Out returned has been sent.
func (s *Splitter) Taken(shard int) {
	if cap(s.out[shard]) > 1<<20 {
		s.out[shard] = nil
		return
	}
	s.out[shard] = s.out[shard][:0]
}

// Write takes a piece of the data. An error is the client's.
func (s *Splitter) Write(p []byte) error {
	if s.ended {
		return s.behind(p) // that of text is not read
	}
	if len(s.rest) > 0 {
		if len(s.rest)+len(p) > maxRow {
			return wire.Errorf(wire.CodeProgramLimitExceeded, "a row of COPY data is longer than %d bytes", maxRow)
		}
		s.rest = append(s.rest, p...)
		p = s.rest
	}
	n, err := s.rows(p, false)
	if err != nil {
		return err
	}
	if n == len(p) {
		s.rest = s.rest[:0]
		if cap(s.rest) > 1<<20 {
			s.rest = nil
		}
		return nil
	}
	if len(s.rest) > 0 {
		s.rest = s.rest[:copy(s.rest, s.rest[n:])]
		return nil
	}
	s.rest = append(s.rest[:0], p[n:]...)
	return nil
}

// Close ends the data: a last line may lack its end.
func (s *Splitter) Close() error {
	if s.ended || len(s.rest) == 0 {
		return nil
	}
	if s.format == binary {
		for i := range s.out {
			s.out[i] = append(s.out[i], s.rest...) // the server says what is wrong
		}
		return nil
	}
	line := s.rest
	s.rest = nil
	_, err := s.rows(line, true)
	return err
}

// rows takes complete rows off p, and returns how many bytes they are; at the end of the data, the
// last one may lack its end.
func (s *Splitter) rows(p []byte, end bool) (int, error) {
	if s.format == binary {
		return s.binaryRows(p)
	}
	at := 0
	for at < len(p) {
		l, err := s.cut(p[at:], end)
		if err != nil || l.size == 0 {
			return at, err
		}
		s.ended = l.last
		if l.body > 0 || !l.last {
			if err := s.row(p[at:at+l.size], l.body); err != nil {
				return at, err
			}
		}
		if at += l.size; s.ended {
			return len(p), nil
		}
	}
	return at, nil
}

// row places a line, of which the first bytes are its body.
func (s *Splitter) row(line []byte, to int) error {
	height := s.height(line[:to])
	s.line += height
	if s.header && !s.begun {
		s.begun = true
		for i := range s.out {
			s.out[i] = append(s.out[i], line...)
			s.lines[i].add(s.line, height)
		}
		return nil
	}
	s.begun = true
	body := line[:to]
	var err error
	if s.format == csv {
		err = s.csvKey(body)
	} else {
		err = s.textKey(body)
	}
	if err != nil {
		return err
	}
	return s.put(line, height)
}

// put places a row of so many lines.
func (s *Splitter) put(row []byte, height int) error {
	if err := s.readable(); err != nil {
		return err
	}
	shard, err := s.place(s.values)
	if err != nil {
		e := *wire.AsError(err)
		e.Where = strings.TrimSpace(s.context(0) + "\n" + e.Where)
		return &e
	}
	s.out[shard] = append(s.out[shard], row...)
	s.lines[shard].add(s.line, height)
	return nil
}

// readable refuses a row whose key is not what its bytes say.
func (s *Splitter) readable() error {
	e := &wire.Error{Code: wire.CodeFeatureNotSupported, Where: s.context(0)}
	switch {
	case s.marked:
		e.Message, e.Hint = "the sharding key of a row of COPY is its column's default", "give its value"
	case s.ascii && s.format != binary && slices.ContainsFunc(s.values, func(v sharding.Raw) bool {
		return bytes.ContainsFunc(v.Bytes, func(r rune) bool { return r >= 0x80 })
	}):
		e.Message, e.Hint = "the sharding key of a row of COPY has other than ASCII characters, which are not in UTF-8", "copy data in UTF-8"
	default:
		return nil
	}
	return e
}

// missing is the server's error for a row that ends too early (NextCopyFrom).
func (s *Splitter) missing(column int, line []byte) error {
	name := fmt.Sprint(column + 1)
	if column < len(s.columns) {
		name = s.columns[column]
	}
	err := wire.Errorf(wire.CodeBadCopyFileFormat, "missing data for column \"%s\"", name)
	if len(bytes.TrimRight(line, "\r\n")) > 100 {
		line = append(append([]byte(nil), line[:100]...), "..."...)
	}
	err.Where = fmt.Sprintf("COPY %s, line %d: \"%s\"", s.table, s.line, bytes.TrimRight(line, "\r\n"))
	return err
}

// context says where the data are, as the server does, with the value of a column of the key
// (CopyFromErrorCallback in copyfrom.c).
func (s *Splitter) context(key int) string {
	where := fmt.Sprintf("COPY %s, line %d", s.table, s.line)
	if key >= len(s.keyAt) || s.keyAt[key] >= len(s.columns) {
		return where
	}
	where += ", column " + s.columns[s.keyAt[key]]
	switch v := s.values[key]; {
	case s.format == binary:
	case v.Null:
		where += ": null input"
	case len(v.Bytes) > 100: // MAX_COPY_DATA_DISPLAY
		where += fmt.Sprintf(": \"%s...\"", v.Bytes[:100])
	default:
		where += fmt.Sprintf(": \"%s\"", v.Bytes)
	}
	return where
}

// textKey reads the key's columns of a line in the text format.
func (s *Splitter) textKey(line []byte) error {
	s.scratch, s.marked = s.scratch[:0], false
	last := slices.Max(s.keyAt)
	at := 0
	for col := 0; col <= last; col++ {
		if at > len(line) {
			return s.missing(col, line)
		}
		end := at
		for {
			i := bytes.IndexByte(line[end:], s.delimiter)
			if i < 0 {
				end = len(line)
				break
			}
			end += i
			back := 0
			for j := end - 1; j >= at && line[j] == '\\'; j-- {
				back++
			}
			if back%2 == 0 {
				break
			}
			end++
		}
		if k := slices.Index(s.keyAt, col); k >= 0 {
			s.values[k] = s.textValue(line[at:end], s.types[k])
		}
		at = end + 1
	}
	return nil
}

func (s *Splitter) textValue(v []byte, t hash.OID) sharding.Raw {
	s.marked = s.marked || s.marker != nil && bytes.Equal(v, s.marker)
	if bytes.Equal(v, s.null) {
		return sharding.Raw{Type: t, Null: true}
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return sharding.Raw{Type: t, Bytes: v}
	}
	start := len(s.scratch)
	s.scratch = wire.AppendCopyText(s.scratch, v)
	return sharding.Raw{Type: t, Bytes: s.scratch[start:]}
}

// csvKey reads the key's columns of a line in the CSV format (CopyReadAttributesCSV).
func (s *Splitter) csvKey(line []byte) error {
	s.scratch, s.marked = s.scratch[:0], false
	last := slices.Max(s.keyAt)
	at := 0
	for col := 0; col <= last; col++ {
		if at > len(line) {
			return s.missing(col, line)
		}
		k := slices.Index(s.keyAt, col)
		start := len(s.scratch)
		quoted, inside := false, false
		from := at
		for ; at < len(line); at++ {
			c := line[at]
			switch {
			case !inside && c == s.delimiter:
			case !inside && c == s.quote:
				quoted, inside = true, true
				continue
			case inside && c == s.escape && at+1 < len(line) && (line[at+1] == s.quote || line[at+1] == s.escape):
				at++
				s.scratch = append(s.scratch, line[at])
				continue
			case inside && c == s.quote:
				inside = false
				continue
			default:
				s.scratch = append(s.scratch, c)
				continue
			}
			break
		}
		if k >= 0 {
			v := s.scratch[start:]
			s.marked = s.marked || s.marker != nil && !quoted && bytes.Equal(line[from:at], s.marker)
			null := bytes.Equal(line[from:at], s.null) && !quoted && !s.forceNot[k] || s.forceNull[k] && bytes.Equal(v, s.null)
			s.values[k] = sharding.Raw{Type: s.types[k], Bytes: v, Null: null}
		}
		at++
	}
	return nil
}
