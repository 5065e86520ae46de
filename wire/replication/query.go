package replication

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Result is what one statement returned, in text format. A nil value is NULL.
type Result struct {
	Fields []wire.Field
	Rows   [][][]byte
	Tag    string // of CommandComplete
}

// Query runs a replication command or, on a [Logical] connection, SQL, and returns one
// result for each statement. An error of the server is a [*wire.Error]; the connection
// goes on after it. COPY does not work here.
func (c *Conn) Query(ctx context.Context, command string) ([]Result, error) {
	stop := c.watch(ctx)
	defer stop()
	results, err := c.query(command)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", summary(command), ctxError(ctx, err))
	}
	return results, nil
}

func (c *Conn) query(command string) ([]Result, error) {
	if err := c.send(&wire.Query{SQL: command}); err != nil {
		return nil, err
	}
	var results []Result
	for {
		r, ended, err := c.result()
		if err != nil {
			return nil, err
		}
		if ended {
			return results, nil
		}
		results = append(results, r)
	}
}

// result reads the answer to one statement up to its CommandComplete, or ReadyForQuery,
// where ended is true. After an error of the server it has read ReadyForQuery.
func (c *Conn) result() (r Result, ended bool, err error) {
	for {
		t, body, err := c.receive()
		if err != nil {
			return Result{}, false, err
		}
		switch t {
		case wire.TypeReadyForQuery:
			return Result{}, true, nil
		case wire.TypeErrorResponse:
			return Result{}, false, c.failed(body)
		case wire.TypeRowDescription:
			var m wire.RowDescription
			if err := m.Decode(body); err != nil {
				return Result{}, false, c.breakWith(err)
			}
			r.Fields = m.Fields
		case wire.TypeDataRow:
			var m wire.DataRow
			if err := m.Decode(body); err != nil {
				return Result{}, false, c.breakWith(err)
			}
			r.Rows = append(r.Rows, cloneRow(m.Values))
		case wire.TypeCommandComplete:
			var m wire.CommandComplete
			if err := m.Decode(body); err != nil {
				return Result{}, false, c.breakWith(err)
			}
			r.Tag = m.Tag
			return r, false, nil
		case wire.TypeEmptyQueryResponse:
			return r, false, nil
		default:
			return Result{}, false, c.unexpected(t, "reading a result")
		}
	}
}

// failed returns the error in body after it has read up to ReadyForQuery.
func (c *Conn) failed(body []byte) error {
	e, err := decodeError(body)
	if err != nil {
		return c.breakWith(err)
	}
	if _, err := c.untilReady(); err != nil {
		return fmt.Errorf("%w (and then: %w)", e, err)
	}
	return e
}

// cloneRow copies values out of the read buffer, in one allocation for all their bytes.
func cloneRow(values [][]byte) [][]byte {
	size := 0
	for _, v := range values {
		size += len(v)
	}
	mem := make([]byte, 0, size)
	row := make([][]byte, len(values))
	for i, v := range values {
		if v != nil {
			at := len(mem)
			mem = append(mem, v...)
			row[i] = mem[at:len(mem):len(mem)]
		}
	}
	return row
}

// one runs a command that returns exactly one row, with at least the given columns.
func (c *Conn) one(ctx context.Context, command string, columns int) ([][]byte, error) {
	results, err := c.Query(ctx, command)
	if err != nil {
		return nil, err
	}
	if len(results) == 0 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) < columns {
		return nil, fmt.Errorf("%s: the server's answer is not one row of %d columns", summary(command), columns)
	}
	return results[0].Rows[0], nil
}

// summary returns the words in capitals that a command begins with; the rest may hold
// connection strings.
func summary(command string) string {
	var words []string
	for w := range strings.FieldsSeq(command) {
		if w != strings.ToUpper(w) || strings.ContainsAny(w, "'\"(") {
			break
		}
		words = append(words, strings.TrimRight(w, ";"))
	}
	if len(words) == 0 {
		return "query"
	}
	return strings.Join(words, " ")
}

// QuoteIdent quotes a name for use in a command or in SQL.
func QuoteIdent(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// QuoteLiteral quotes a string for use in a replication command, or in SQL while
// standard_conforming_strings is on.
func QuoteLiteral(s string) string {
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}
