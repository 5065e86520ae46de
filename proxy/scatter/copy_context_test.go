package scatter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestCopyContext compares what is said of bad data, and of what line, with what one server says.
func TestCopyContext(t *testing.T) {
	srv := startServer(t)
	p := newPair(t, srv, "cc", 3)
	p.both(t, "CREATE TABLE users (id bigint PRIMARY KEY, email text, n int CHECK (n < 100))",
		"INSERT INTO users VALUES (500, 'there', 1)")
	lines := func(n int, line func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i+1) + "\n")
		}
		return b.String()
	}
	good := func(i int) string { return fmt.Sprintf("%d\tx\t%d", i, i%90) }
	but := func(at int, bad string) func(i int) string {
		return func(i int) string {
			if i == at {
				return bad
			}
			return good(i)
		}
	}
	tests := []struct{ name, options, data string }{
		{"not a key", "", lines(20, but(7, "abc\tx\t1"))},
		{"a NULL key", "", lines(20, but(7, "\\N\tx\t1"))},
		{"not a number", "", lines(20, but(9, "9\tx\tabc"))},
		{"a duplicate of a row that is there", "", lines(20, but(11, "500\tx\t1"))},
		{"a check", "", lines(40, but(33, "33\tx\t1000"))},
		{"too few columns", "", lines(20, but(13, "13\tx"))},
		{"too many columns", "", lines(20, but(13, "13\tx\t1\t2"))},
		{"an empty line", "", lines(20, but(5, ""))},
		{"beyond what is buffered", "", lines(9000, but(8123, "8123\tx\tabc"))},
		{"csv", "WITH (FORMAT csv, HEADER)", "id,email,n\n" + lines(20, func(i int) string {
			switch i {
			case 4, 9:
				return fmt.Sprintf("%d,\"two\nlines, %d\",3", i, i)
			case 15:
				return "15,\"three\n\nlines\",x"
			}
			return fmt.Sprintf("%d,y,1", i)
		})},
		{"csv, key", "WITH (FORMAT csv)", lines(20, func(i int) string {
			switch i {
			case 4, 9:
				return fmt.Sprintf("%d,\"two\nlines, %d\",3", i, i)
			case 12:
				return "\"1 2\",\"y\",3"
			}
			return fmt.Sprintf("%d,y,1", i)
		})},
		{"csv with carriage returns", "WITH (FORMAT csv)", lines(20, func(i int) string {
			switch i {
			case 3:
				return "3,\"two\r\nlines\",3\r"
			case 12:
				return "12,y,z\r"
			}
			return fmt.Sprintf("%d,y,1\r", i)
		})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var say [2]string
			for i, c := range []*pgconn.PgConn{p.whole, p.shards} {
				_, err := c.CopyFrom(t.Context(), strings.NewReader(test.data), "COPY users FROM STDIN "+test.options)
				e, ok := errors.AsType[*pgconn.PgError](err)
				if !ok {
					t.Fatalf("%v", err)
				}
				say[i] = e.Code + " " + e.Message + " | " + e.Where
			}
			if say[0] != say[1] {
				t.Errorf("shards: %s\none server: %s", say[1], say[0])
			}
			if got := ask(t.Context(), p.shards, simpleMode, "SELECT count(*) FROM users"); got.rows[0] != `"1"|` {
				t.Errorf("%v rows are left", got.rows)
			}
		})
	}
}
