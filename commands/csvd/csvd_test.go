package csvd

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/commands/sqlited"
)

func TestLoad(t *testing.T) {
	tests := []struct{ name, text, columns, err string }{
		{"types", "a,b,c,d,e,f,g\n1,1.5,t,2024-02-29,2024-02-29 10:00,x,\n-2,2,no,,2024-01-01,007,\n", "a bigint, b double precision, c boolean, d date, e timestamp, f text, g text", ""},
		{"leading zeros", "a,b,c\n01,0.5,0\n", "a text, b double precision, c bigint", ""},
		{"too large for bigint", "a,b,c,d\n9223372036854775809,123456789012345678901234567890,1e300,10000000000000000000000\n", "a text, b text, c double precision, d double precision", ""},
		{"too long for double", "a,b\n9007199254740993,1\n1.5,0.1234567890123456789\n", "a text, b double precision", ""},
		{"separators in quotes", "\"a,b,c\";d\n1;2\n", "a,b,c bigint, d bigint", ""},
		{"carriage returns alone", "a\r1\r2\r", "", "its lines end with carriage returns alone"},
		{"UTF-16", "\xff\xfea\x00\n\x00", "", "UTF-16"},
		{"a name that is not UTF-8", "a,\xff\n", "", "the name of column 2: \"\\xff\" is not UTF-8"},
		{"a zero byte", "a\nx\x00\n", "", "has a zero byte"},
		{"names", "\ufeffid, ID ,,id\n1,2,3,4\n", "id bigint, ID_2 bigint, column3 bigint, id_3 bigint", ""},
		{"semicolons", "a;b\n1,5;x\n", "a text, b text", ""},
		{"tabs and quotes", "a\tb\n\"x\ty\"\t\"line\nbreak\"\n", "a text, b text", ""},
		{"header only", "a,b\n", "a text, b text", ""},
		{"no newline", "a\n1", "a bigint", ""},
		{"CRLF", "a,b\r\n1,2\r\n", "a bigint, b bigint", ""},
		{"nothing", "", "", "the file is empty"},
		{"too many fields", "a\n1\n1,2\n", "", "line 3: wrong number of fields"},
		{"open quote", "a\n\"x\n", "", "quote"},
		{"late text", "a\n" + strings.Repeat("1\n", SniffRows) + "x\n", "", `line 1002 or before, column a: "x" is no bigint, as the first 1000 rows suggested`},
		{"not UTF-8", "a\n\xff\n", "", "is not UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db, err := sqlited.Open(t.Context(), sqlited.Memory, sqlited.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			table, err := load(t.Context(), db, strings.NewReader(tt.text), "t")
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				var n int
				if err := db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil || n != 0 {
					t.Errorf("%d tables are left, %v", n, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var columns []string
			for i := range table.Columns {
				columns = append(columns, table.Columns[i]+" "+table.Types[i])
			}
			if got := strings.Join(columns, ", "); got != tt.columns {
				t.Errorf("columns %s, want %s", got, tt.columns)
			}
			var n int64
			if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != table.Rows {
				t.Errorf("%d rows, want %d, %v", n, table.Rows, err)
			}
		})
	}
}

// Empty lines are rows where there is one column, as COPY writes NULLs.
func TestEmptyLines(t *testing.T) {
	for text, want := range map[string]string{
		"a\n1\n\n3\n": "1,,3", "a\n\n\n1\n": ",,1", "a\n1\n\n": "1,", "a\n1": "1", "a\r\n\"x\r\ny\"\r\n\r\nz\r\n": "x\ny,,z", "\na\n1\n": "1",
		"a,b\n\n1,2\n\n": "1 2",
	} {
		in, err := newReader(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			record, err := in.read()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, strings.Join(record, " "))
		}
		if got := strings.Join(got[1:], ","); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestTableName(t *testing.T) {
	for path, want := range map[string]string{
		"a/Sales-2024.csv": "sales_2024", "x": "x", "2024.csv": "t_2024", ".csv": "t_", "sqlite_x.csv": "t_sqlite_x", "é ü.tsv": "é_ü",
	} {
		if got := TableName(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	for sql, ok := range map[string]bool{
		"select 1": true, " -- x\n/* y */ (values (1))": true, "copy t to stdout": true, "BEGIN": true, "show all": true,
		"insert into t values (1)": false, "pragma x": false, "attach 'x' as y": false, "copy t from stdin": false, "vacuum into 'x'": false, "load x": false, "selection": false, "": false,
	} {
		if err := check(sql); (err == nil) != ok {
			t.Errorf("%q: %v", sql, err)
		}
	}
}

func FuzzSniff(f *testing.F) {
	f.Add("a,b\n1,2\n")
	f.Add("\ufeffa;\"b\"\n;\n2024-02-29;1e5\n")
	f.Fuzz(func(t *testing.T, text string) {
		in, err := newReader(strings.NewReader(text))
		if err != nil {
			return
		}
		header, err := in.read()
		if err != nil {
			return
		}
		table := Table{}
		if table.Columns, err = columnNames(header); err != nil {
			return
		}
		rows, err := sniff(in, &table)
		if err != nil {
			return
		}
		for _, row := range rows {
			for i, field := range row {
				if _, err := convert(table.Types[i], field); err != nil && table.Types[i] != "text" {
					t.Error(fmt.Errorf("%q does not fit the type that it suggested: %w", field, err))
				}
			}
		}
	})
}
