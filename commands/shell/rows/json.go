package rows

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// jsonWriter prints an array of objects, or an object on each line. Numbers, booleans and
// json values keep their kind; NaN and the infinities, which JSON lacks, and all other
// types are strings in PostgreSQL's own notation.
type jsonWriter struct {
	out  *bufio.Writer
	o    Options
	keys [][]byte // encoded, with the colon
	set  Set
	rows int
	buf  []byte
}

// newJSON names a second column of the same name "name_2", so that no value is lost.
func newJSON(out *bufio.Writer, o Options, set Set) *jsonWriter {
	j := &jsonWriter{out: out, o: o, set: set}
	used := map[string]bool{}
	for _, c := range set.Columns {
		used[c.Name] = true
	}
	seen := map[string]bool{}
	for _, c := range set.Columns {
		name := c.Name
		for n := 2; seen[name] || name != c.Name && used[name]; n++ {
			name = fmt.Sprintf("%s_%d", c.Name, n)
		}
		seen[name] = true
		j.keys = append(j.keys, append(appendString(nil, []byte(name)), ':'))
	}
	return j
}

func (j *jsonWriter) Row(values [][]byte) error {
	b := j.buf[:0]
	if j.o.Format == JSON {
		if j.rows == 0 {
			b = append(b, '[')
		} else {
			b = append(b, ",\n "...)
		}
	}
	b = append(b, '{')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, j.keys[i]...)
		b = appendValue(b, j.set.Columns[i].Type, v)
	}
	b = append(b, '}')
	if j.o.Format == JSONL {
		b = append(b, '\n')
	}
	j.buf = b
	j.rows++
	_, err := j.out.Write(b)
	return err
}

func (j *jsonWriter) Close([]string) error {
	switch {
	case j.o.Format == JSON && j.rows == 0:
		_, _ = j.out.WriteString("[]\n")
	case j.o.Format == JSON:
		_, _ = j.out.WriteString("]\n")
	}
	return j.out.Flush()
}

func appendValue(b []byte, oid uint32, v []byte) []byte {
	switch {
	case v == nil:
		return append(b, "null"...)
	case oid == oidBool && len(v) == 1:
		if v[0] == 't' {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case isNumber(oid) && len(v) > 0 && (v[len(v)-1] >= '0' && v[len(v)-1] <= '9'):
		return append(b, v...)
	case oid == oidJSON || oid == oidJSONB:
		compact := bytes.NewBuffer(b)
		if json.Compact(compact, v) == nil {
			return compact.Bytes()
		}
	}
	return appendString(b, v)
}

// appendString appends a JSON string; what is not UTF-8 becomes U+FFFD.
func appendString(b, s []byte) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c < 0x20:
			b = fmt.Appendf(b, `\u%04x`, c)
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRune(s[i:])
			b = utf8.AppendRune(b, r)
			i += size
			continue
		}
		i++
	}
	return append(b, '"')
}

func (j *jsonWriter) Abort() error { return j.out.Flush() }
