package pgserver

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// copy serves COPY for a SQLHandler: out of a query, or into a table row by row in one
// transaction.
func (h *SQLHandler) copy(w ResponseWriter, q *Query, d *dbSession, c CopyStatement) error {
	if c.From {
		return h.copyIn(w, q, d, c)
	}
	query := c.Query
	if query == "" {
		query = "select " + columnList(c.Columns) + " from " + c.Table
	}
	rows, err := d.query(q.Context(), query, nil)
	if err != nil {
		return h.translate(err)
	}
	return h.translate(errors.Join(h.copyOut(w, rows, c), rows.Close()))
}

func (h *SQLHandler) copyOut(w ResponseWriter, rows *sql.Rows, c CopyStatement) error {
	s, err := h.source(rows)
	if err != nil {
		return err
	}
	out, err := w.CopyOut(c.Format, len(s.columns))
	if err != nil {
		return err
	}
	if err := out.Columns(s.columns...); err != nil {
		return err
	}
	for {
		ok, err := s.next()
		if err != nil {
			return err
		}
		if !ok {
			return out.Close()
		}
		for i, v := range s.values {
			s.values[i] = columnValue(s.columns[i].Type, v)
		}
		if err := out.Row(s.values...); err != nil {
			return err
		}
	}
}

func (h *SQLHandler) copyIn(w ResponseWriter, q *Query, d *dbSession, c CopyStatement) error {
	// The table's columns, for their number and types.
	rows, err := d.query(q.Context(), "select "+columnList(c.Columns)+" from "+c.Table+" where 1 = 0", nil)
	if err != nil {
		return h.translate(err)
	}
	s, err := h.source(rows)
	if err = errors.Join(err, rows.Close()); err != nil {
		return h.translate(err)
	}
	if d.tx == nil {
		if err := h.begin(q, d, nil); err != nil {
			return err
		}
		d.implicit = true // ends with the string or series that the COPY is in
	}
	marks := make([]string, len(s.columns))
	names := make([]string, len(s.columns))
	for i, col := range s.columns {
		marks[i], names[i] = fmt.Sprintf("$%d", i+1), col.Name
	}
	insert, err := d.tx.PrepareContext(q.Context(), h.rewrite(fmt.Sprintf("insert into %s (%s) values (%s)", c.Table, columnList(names), strings.Join(marks, ", "))))
	if err != nil {
		return h.translate(err)
	}
	defer insert.Close()
	in, err := w.CopyIn(c.Format, len(s.columns))
	if err != nil {
		return err
	}
	values := make([]any, len(s.columns))
	for row, err := range in.Rows() {
		if err != nil {
			return err
		}
		for i, v := range row {
			v.Type = s.columns[i].Type
			if values[i], err = h.copyValue(v); err != nil {
				e := *wire.AsError(err)
				e.Where = fmt.Sprintf("COPY %s, row %d, column %s", c.Table, in.Count(), names[i])
				return &e
			}
		}
		if _, err := insert.ExecContext(q.Context(), values...); err != nil {
			return h.translate(err)
		}
	}
	return w.Complete(fmt.Sprintf("COPY %d", in.Count()))
}

// copyValue leaves text to the database's own conversion and decodes binary values.
func (h *SQLHandler) copyValue(v Value) (any, error) {
	if h.Value != nil {
		return h.Value(v)
	}
	if v.Format == wire.Text {
		if v.IsNull() {
			return nil, nil
		}
		return v.String(), nil
	}
	out, err := v.Any()
	return DriverValue(out), err
}

func columnList(names []string) string {
	if len(names) == 0 {
		return "*"
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
	}
	return strings.Join(quoted, ", ")
}
