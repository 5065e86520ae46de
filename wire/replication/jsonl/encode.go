package jsonl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// An Encoder makes lines of changes. It has to see every change of a subscription, because
// a truncate names tables by what was said of them before. The zero value is ready. It is
// not safe for concurrent use.
type Encoder struct {
	relations map[uint32]string
}

// Append appends the line of a change. Some changes have none: those that describe tables
// and types.
func (e *Encoder) Append(b []byte, ch replication.Change) ([]byte, error) {
	switch m := ch.Message.(type) {
	case *pgoutput.Relation:
		if e.relations == nil {
			e.relations = map[uint32]string{}
		}
		e.relations[m.OID] = schema(m) + "." + m.Name
		return b, nil
	case *pgoutput.Type, *pgoutput.Origin:
		return b, nil
	case *pgoutput.Begin:
		b = begin(b, "begin", m.XID, m.FinalLSN)
		return stamp(b, m.CommitTime), nil
	case *pgoutput.Commit:
		b = begin(b, "commit", ch.XID, m.CommitLSN)
		b = fmt.Appendf(b, `,"end":"%v"`, m.EndLSN)
		return stamp(b, m.CommitTime), nil
	case *pgoutput.Insert:
		b = row(b, "insert", ch)
		b, _ = tuple(b, "new", ch.Relation.Columns, m.New, false)
	case *pgoutput.Update:
		b = row(b, "update", ch)
		b, _ = old(b, ch.Relation.Columns, m.Old, m.Full)
		var missing []string
		b, missing = tuple(b, "new", ch.Relation.Columns, m.New, false)
		if missing != nil {
			b = append(b, `,"unchanged":`...)
			b = list(b, missing)
		}
	case *pgoutput.Delete:
		b = row(b, "delete", ch)
		b, _ = old(b, ch.Relation.Columns, m.Old, m.Full)
	case *pgoutput.Truncate:
		b = begin(b, "truncate", ch.XID, ch.LSN)
		var names []string
		for _, oid := range m.RelationOIDs {
			names = append(names, e.relations[oid])
		}
		b = list(append(b, `,"tables":`...), names)
		b = fmt.Appendf(b, `,"cascade":%v,"restart_identity":%v`, m.Cascade, m.RestartIdentity)
	case *pgoutput.LogicalMessage:
		b = begin(b, "message", ch.XID, m.LSN)
		b = quote(append(b, `,"prefix":`...), []byte(m.Prefix))
		b = quote(append(b, `,"content":`...), m.Content)
		b = fmt.Appendf(b, `,"transactional":%v`, m.Transactional)
		if ch.Ack != 0 {
			b = fmt.Appendf(b, `,"end":"%v"`, ch.Ack)
		}
	default:
		return b, fmt.Errorf("a change that was not asked for: %T", m)
	}
	return append(b, "}\n"...), nil
}

// AppendRow appends the line of a row that was there when a slot was made. values are in
// text format.
func AppendRow(b []byte, lsn wire.LSN, schema, table string, columns []pgoutput.Column, values [][]byte) []byte {
	b = fmt.Appendf(b, `{"kind":"row","lsn":"%v","schema":`, lsn)
	b = quote(b, []byte(schema))
	b = quote(append(b, `,"table":`...), []byte(table))
	row := make(pgoutput.Tuple, len(values))
	for i, v := range values {
		if row[i] = pgoutput.NullValue(); v != nil {
			row[i] = pgoutput.Value{Kind: pgoutput.Text, Data: v}
		}
	}
	b, _ = tuple(b, "new", columns, row, false)
	return append(b, "}\n"...)
}

// AppendCopied appends the line that says that all rows are there, as of a position.
func AppendCopied(b []byte, lsn wire.LSN) []byte {
	return fmt.Appendf(b, `{"kind":"copied","end":"%v"}`+"\n", lsn)
}

func begin(b []byte, kind string, xid uint32, lsn wire.LSN) []byte {
	b = fmt.Appendf(b, `{"kind":"%s"`, kind)
	if xid != 0 {
		b = fmt.Appendf(b, `,"xid":%d`, xid)
	}
	return fmt.Appendf(b, `,"lsn":"%v"`, lsn)
}

func stamp(b []byte, ts wire.Timestamp) []byte {
	return fmt.Appendf(b, `,"time":%q}`+"\n", ts.Time().Format(time.RFC3339Nano))
}

func row(b []byte, kind string, ch replication.Change) []byte {
	b = begin(b, kind, ch.XID, ch.LSN)
	b = quote(append(b, `,"schema":`...), []byte(schema(ch.Relation)))
	return quote(append(b, `,"table":`...), []byte(ch.Relation.Name))
}

// schema returns a table's schema; pgoutput leaves pg_catalog out.
func schema(r *pgoutput.Relation) string {
	if r.Schema == "" {
		return "pg_catalog"
	}
	return r.Schema
}

// old appends what a row was before: all of it, or what identifies it.
func old(b []byte, columns []pgoutput.Column, t pgoutput.Tuple, full bool) ([]byte, []string) {
	switch {
	case t == nil:
		return b, nil
	case full:
		return tuple(b, "old", columns, t, false)
	}
	return tuple(b, "key", columns, t, true)
}

// tuple appends a row as an object, and returns the names of the columns that were not
// sent.
func tuple(b []byte, name string, columns []pgoutput.Column, t pgoutput.Tuple, keys bool) (_ []byte, missing []string) {
	b = fmt.Appendf(b, `,"%s":{`, name)
	first := true
	for i, v := range t {
		if i >= len(columns) || keys && !columns[i].Key {
			continue
		}
		if v.Kind == pgoutput.Unchanged {
			missing = append(missing, columns[i].Name)
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(quote(b, []byte(columns[i].Name)), ':')
		b = value(b, columns[i].TypeOID, v)
	}
	return append(b, '}'), missing
}

// value appends a value in the JSON that its type has.
func value(b []byte, oid uint32, v pgoutput.Value) []byte {
	if v.Kind == pgoutput.Null {
		return append(b, "null"...)
	}
	switch oid {
	case pgtype.BoolOID:
		switch string(v.Data) {
		case "t":
			return append(b, "true"...)
		case "f":
			return append(b, "false"...)
		}
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID:
		if _, err := strconv.ParseInt(string(v.Data), 10, 64); err == nil && json.Valid(v.Data) {
			return append(b, v.Data...)
		}
	case pgtype.Float4OID, pgtype.Float8OID:
		if _, err := strconv.ParseFloat(string(v.Data), 64); err == nil && json.Valid(v.Data) { // NaN and Infinity are not
			return append(b, v.Data...)
		}
	case pgtype.JSONOID, pgtype.JSONBOID:
		var compact bytes.Buffer
		if json.Compact(&compact, v.Data) == nil {
			return append(b, compact.Bytes()...)
		}
	}
	return quote(b, v.Data)
}

func list(b []byte, names []string) []byte {
	b = append(b, '[')
	for i, n := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = quote(b, []byte(n))
	}
	return append(b, ']')
}

// quote appends a JSON string. Bytes that are no UTF-8, which only a message or a database
// in SQL_ASCII can have, become U+FFFD.
func quote(b, s []byte) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\t':
			b = append(b, '\\', 't')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r < 0x20 || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		case r == utf8.RuneError && n == 1:
			b = append(b, "\uFFFD"...)
		default:
			b = append(b, s[:n]...)
		}
		s = s[n:]
	}
	return append(b, '"')
}
