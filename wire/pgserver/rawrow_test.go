package pgserver_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// TestRawRow sends values of every length that is copied in a way of its own, and NULLs between
// them, and refuses a row that no message can hold without making it.
func TestRawRow(t *testing.T) {
	var values [][]byte
	for n := range 41 {
		v := make([]byte, n)
		for i := range v {
			v[i] = byte('A' + (i*7+n)%26)
		}
		values = append(values, v, nil)
	}
	half := make([]byte, wire.MaxLargeMessage/2)
	url := start(t, &pgserver.Server{Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		if q.SQL == "long" {
			if err := w.Columns(pgserver.Text("a"), pgserver.Text("b"), pgserver.Text("c")); err != nil {
				return err
			}
			err := w.RawRow([][]byte{half, half, nil})
			if _, ok := errors.AsType[*wire.EncodeError](err); !ok {
				t.Errorf("a row of %d bytes: %v", 2*len(half), err)
			}
			return w.RawRow([][]byte{[]byte("x"), nil, {}})
		}
		var columns []pgserver.Column
		for range values {
			columns = append(columns, pgserver.Text("v"))
		}
		if err := w.Columns(columns...); err != nil {
			return err
		}
		if err := w.RawRow(values); err != nil {
			return err
		}
		return w.RawRow(values)
	})})
	conn := connect(t, url)
	got := func(sql string) [][][]byte {
		rows, err := conn.Query(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var all [][][]byte
		for rows.Next() {
			var row [][]byte
			for _, v := range rows.RawValues() {
				if v != nil {
					v = append([]byte{}, v...)
				}
				row = append(row, v)
			}
			all = append(all, row)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	all := got("all")
	if len(all) != 2 {
		t.Fatalf("%d rows", len(all))
	}
	for _, row := range all {
		for i, v := range row {
			if !bytes.Equal(v, values[i]) || (v == nil) != (values[i] == nil) {
				t.Errorf("value %d is %q, not %q", i, v, values[i])
			}
		}
	}
	if all := got("long"); len(all) != 1 || string(all[0][0]) != "x" || all[0][1] != nil || all[0][2] == nil {
		t.Errorf("after a row that was too long: %q", all)
	}
}
