package scatter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A relation is rows that are to be handed to a server: a text array for each column, as
// array_recv reads it, which costs the server no parsing.
type relation struct {
	columns []gather.RelationColumn
	fields  []wire.Field
	arrays  [][]byte // the elements
	nulls   []bool
	rows    int
	row     string // the composite type of the only column, if it is one
}

func newRelation(columns []gather.RelationColumn, fields []wire.Field) (*relation, error) {
	if len(columns) > len(fields) {
		return nil, wire.Errorf(wire.CodeInternalError, "a relation has %d columns, the shards' rows %d", len(columns), len(fields))
	}
	r := &relation{columns: columns, fields: fields, arrays: make([][]byte, len(columns)), nulls: make([]bool, len(columns))}
	for i := range columns {
		switch fields[i].TypeOID {
		case 2249, 2287: // record, record[]
			return nil, refuse("rows with a column of an anonymous row type cannot be handed to another server", "select the row's columns")
		}
	}
	return r, nil
}

// badRow reports a DataRow that is none.
func badRow() error {
	return wire.Errorf(wire.CodeProtocolViolation, "a shard sent a malformed DataRow message")
}

// columnsOf splits a DataRow's body; nil is NULL.
func columnsOf(dst [][]byte, body []byte) ([][]byte, error) {
	dst = dst[:0]
	if len(body) < 2 {
		return nil, badRow()
	}
	n := int(binary.BigEndian.Uint16(body))
	at := 2
	for range n {
		if len(body)-at < 4 {
			return nil, badRow()
		}
		size := int32(binary.BigEndian.Uint32(body[at:]))
		at += 4
		if size < 0 {
			dst = append(dst, nil)
			continue
		}
		if int(size) > len(body)-at {
			return nil, badRow()
		}
		dst = append(dst, body[at:at+int(size):at+int(size)])
		at += int(size)
	}
	if at != len(body) {
		return nil, badRow()
	}
	return dst, nil
}

// add adds a row. left is the memory that may still be taken.
func (r *relation) add(values [][]byte, left *int) error {
	if len(values) < len(r.arrays) {
		return badRow()
	}
	size := 4 * len(r.arrays)
	for i := range r.arrays {
		v := values[i]
		if v == nil {
			r.nulls[i] = true
			r.arrays[i] = binary.BigEndian.AppendUint32(r.arrays[i], 1<<32-1)
			continue
		}
		size += len(v)
		r.arrays[i] = binary.BigEndian.AppendUint32(r.arrays[i], uint32(len(v)))
		r.arrays[i] = append(r.arrays[i], v...)
	}
	r.rows++
	if *left -= size; *left < 0 {
		err := wire.Errorf(wire.CodeProgramLimitExceeded, "the rows that a server must combine take more memory than is allowed")
		err.Hint = "Narrow the query by a WHERE clause, or raise the proxy's memory limit for merging."
		return err
	}
	return nil
}

// parameter is the binary text[] of a column.
func (r *relation) parameter(i int) []byte {
	b := make([]byte, 0, 20+len(r.arrays[i]))
	dims := uint32(1)
	if r.rows == 0 {
		dims = 0
	}
	b = binary.BigEndian.AppendUint32(b, dims)
	b = binary.BigEndian.AppendUint32(b, uint32(boolInt(r.nulls[i])))
	b = binary.BigEndian.AppendUint32(b, oidText)
	if dims == 1 {
		b = binary.BigEndian.AppendUint32(b, uint32(r.rows))
		b = binary.BigEndian.AppendUint32(b, 1)
	}
	return append(b, r.arrays[i]...)
}

const (
	oidInt8      = 20
	oidText      = 25
	oidTextArray = 1009
)

// source is what stands for the relation in a FROM clause; its arrays are parameters from
// the number first on.
func (r *relation) source(types []string, first int) string {
	var b strings.Builder
	if len(r.columns) == 0 {
		fmt.Fprintf(&b, "(SELECT FROM generate_series(1, $%d::int8))", first)
		return b.String()
	}
	if r.row != "" {
		fmt.Fprintf(&b, "unnest($%d::text[]::%s[])", first, r.row)
		return b.String()
	}
	b.WriteString("(SELECT ")
	for i, c := range r.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "u.c%d::%s", i, types[i])
		if c.Collation.Name != "" {
			b.WriteString(" COLLATE " + c.Collation.Name)
		}
		b.WriteString(" AS " + quoteIdent(c.Name))
	}
	b.WriteString(" FROM unnest(")
	for i := range r.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d::text[]", first+i)
	}
	b.WriteString(") AS u(")
	for i := range r.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "c%d", i)
	}
	b.WriteString("))")
	return b.String()
}

// parameters appends the relation's parameters to a request.
func (r *relation) parameters(q *request) {
	if len(r.columns) == 0 {
		q.types = append(q.types, oidInt8)
		q.formats = append(q.formats, wire.Text)
		q.values = append(q.values, fmt.Append(nil, r.rows))
		return
	}
	for i := range r.columns {
		q.types = append(q.types, oidTextArray)
		q.formats = append(q.formats, wire.Binary)
		q.values = append(q.values, r.parameter(i))
	}
}

func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// collect reads all rows of branches into a relation.
func collect(ctx context.Context, columns []gather.RelationColumn, branches []*branch, fields []wire.Field, left *int) (*relation, error) {
	r, err := newRelation(columns, fields)
	if err != nil {
		return nil, err
	}
	var values [][]byte
	for _, b := range branches {
		for {
			body, err := b.Next(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			if values, err = columnsOf(values, body); err != nil {
				return nil, err
			}
			if err := r.add(values, left); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}
