package pgserver

import (
	"fmt"
	"testing"

	"github.com/pgx-dev/pgx-dev/wire"
)

func TestParseCopy(t *testing.T) {
	tests := []struct{ sql, want string }{
		{"copy t from stdin", "t [] from {0 0 - false 0 0}"},
		{`COPY "S".t ("a", B) TO STDOUT`, `"S".t [a b] to {0 0 - false 0 0}`},
		{"copy (select 1, (2)) to stdout with (format csv, header)", "(select 1, (2)) [] to {1 0 - true 0 0}"},
		{"copy t from stdin (delimiter '|', null 'x', header off)", "t [] from {0 124 x false 0 0}"},
		{"copy t from stdin with csv header delimiter as ';' quote ''''", "t [] from {1 59 - true 39 0}"},
		{"copy t to stdout binary", "t [] to {2 0 - false 0 0}"},
		{"copy t from '/etc/passwd'", "0A000"},
		{"copy t to program 'rm'", "0A000"},
		{"copy (select 1) from stdin", "42601"},
		{"copy t from stdin (format xml)", "22023"},
		{"copy t from stdin (force_null (a))", "0A000"},
		{"copy t from stdin (quote '|')", "0A000"},
		{"copy t from stdin (escape 'x')", "0A000"},
		{"copy t from stdin (format binary, delimiter ',')", "0A000"},
		{"copy t from stdin (null '', format binary)", "0A000"},
		{"copy t from stdin (format binary, header)", "0A000"},
		{"copy t from stdin (delimiter '||')", "0A000"},
		{"copy t", "42601"},
		{"copy t (a from stdin", "42601"},
		{"select 1", "no"},
	}
	for _, tt := range tests {
		c, ok, err := ParseCopy(tt.sql)
		got := "no"
		if ok && err != nil {
			got = string(wire.AsError(err).Code)
		} else if ok {
			null := "-"
			if c.Format.Null != nil {
				null = *c.Format.Null
			}
			what, way := c.Table, "to"
			if c.Query != "" {
				what = "(" + c.Query + ")"
			}
			if c.From {
				way = "from"
			}
			got = fmt.Sprintf("%s %v %s {%d %d %s %v %d %d}", what, c.Columns, way, c.Format.Kind, c.Format.Delimiter, null, c.Format.Header, c.Format.Quote, c.Format.Escape)
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.sql, got, tt.want)
		}
	}
}
