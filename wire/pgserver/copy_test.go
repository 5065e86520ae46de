package pgserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// copyFormats are the options tried, with the same ones for PostgreSQL's COPY.
var copyFormats = []struct {
	f   pgserver.CopyFormat
	sql string
}{
	{pgserver.CopyFormat{}, ""},
	{pgserver.CopyFormat{Delimiter: '|', Null: new("<>")}, "(delimiter '|', null '<>')"},
	{pgserver.CopyFormat{Kind: pgserver.CopyCSV}, "(format csv)"},
	{pgserver.CopyFormat{Kind: pgserver.CopyCSV, Header: true, Delimiter: ';', Null: new("nil")}, "(format csv, header, delimiter ';', null 'nil')"},
	{pgserver.CopyFormat{Kind: pgserver.CopyCSV, Quote: '\'', Escape: '\\'}, `(format csv, quote '''', escape '\')`},
	{pgserver.CopyFormat{Kind: pgserver.CopyBinary}, "(format binary)"},
}

var copyRows = [][]any{
	{"plain", "x", "1"},
	{nil, "", "\\N"},
	{"tab\tnewline\ncr\rcrlf\r\n", `back\slash\\`, "quote\"s ' and 'more'"},
	{"\b\f\v\x01", "comma, semi; pipe|", "ünïcödé 🐘"},
	{`\.`, "nil", "null"},
	{" ", "\"", "'"},
	{strings.Repeat("long ", 5000), `\x41\101\n`, "end\\"},
}

// PostgreSQL's COPY output is ours byte for byte, ours loads there, and both decode to the
// same rows, in pieces of any size.
func TestCopyAgainstPostgreSQL(t *testing.T) {
	conn := oracleConn(t)
	ctx := t.Context()
	if _, err := conn.Exec(ctx, "create temp table c (n serial, a text, b text, c text)"); err != nil {
		t.Fatal(err)
	}
	for _, row := range copyRows {
		if _, err := conn.Exec(ctx, "insert into c (a, b, c) values ($1, $2, $3)", row...); err != nil {
			t.Fatal(err)
		}
	}
	for _, cf := range copyFormats {
		var theirs bytes.Buffer
		if _, err := conn.PgConn().CopyTo(ctx, &theirs, "copy (select a, b, c from c order by n) to stdout "+cf.sql); err != nil {
			t.Fatal(err)
		}
		ours := cf.f.AppendHeader(nil, "a", "b", "c")
		for _, row := range copyRows {
			raw := make([][]byte, len(row))
			for i, v := range row {
				if v != nil {
					raw[i] = []byte(v.(string))
				}
			}
			ours = cf.f.AppendRow(ours, raw)
		}
		ours = cf.f.AppendTrailer(ours)
		if d := cmp.Diff(theirs.String(), string(ours)); d != "" {
			t.Errorf("%s: output: %s", cf.sql, d)
		}
		for _, size := range []int{1, 7, 1 << 20} {
			d := pgserver.NewCopyDecoder(&pieces{ours, size}, cf.f, 3)
			var got [][]any
			for {
				row, err := d.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("%s: %v", cf.sql, err)
				}
				out := make([]any, len(row))
				for i, v := range row {
					if v != nil {
						out[i] = string(v)
					}
				}
				got = append(got, out)
			}
			if diff := cmp.Diff(copyRows, got); diff != "" {
				t.Errorf("%s, %d: decoded: %s", cf.sql, size, diff)
			}
			if cf.f.Header && !slices.Equal(d.Header(), []string{"a", "b", "c"}) {
				t.Errorf("header %q", d.Header())
			}
		}
		if _, err := conn.Exec(ctx, "create temp table back (a text, b text, c text)"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(ours), "copy back from stdin "+cf.sql); err != nil {
			t.Errorf("%s: PostgreSQL refuses it: %v", cf.sql, err)
		}
		var same bool
		if err := conn.QueryRow(ctx, "select array_agg((a,b,c)::text order by (a,b,c)::text) = (select array_agg((a,b,c)::text order by (a,b,c)::text) from c) from back").Scan(&same); err != nil || !same {
			t.Errorf("%s: PostgreSQL loads something else: %v", cf.sql, err)
		}
		if _, err := conn.Exec(ctx, "drop table back"); err != nil {
			t.Fatal(err)
		}
	}
}

// pieces is a reader that gives a few bytes at a time.
type pieces struct {
	b    []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.b)
	p.b = p.b[n:]
	return n, nil
}

func TestCopyDecoderOddities(t *testing.T) {
	textFormat, csv := pgserver.CopyFormat{}, pgserver.CopyFormat{Kind: pgserver.CopyCSV}
	bin := pgserver.CopyFormat{Kind: pgserver.CopyBinary}
	tests := []struct {
		name string
		f    pgserver.CopyFormat
		in   string
		want string
	}{
		{"escapes", textFormat, `\b\f\n\r\t\v\x41\x4\101\7\q\\` + "\n", `["\b\f\n\r\t\vA\x04A\aq\\"]`},
		{"no newline at the end", textFormat, "a\tb", `["a" "b"]`},
		{"carriage returns", textFormat, "a\r\nb\r\n", `["a"] ["b"]`},
		{"old Mac", textFormat, "a\rb\r", `["a"] ["b"]`},
		{"carriage return among newlines", textFormat, "a\nb\rc\n", `["a"] 22P04`},
		{"newline among carriage returns", textFormat, "a\r\nb\nc\r\n", `["a"] 22P04`},
		{"csv carriage return among newlines", csv, "a\nb\rc\n", `["a"] 22P04`},
		{"csv quoted carriage return", csv, "a\n\"b\rc\"\n", `["a"] ["b\rc"]`},
		{"not UTF-8", textFormat, "a\xc3\t\xa9\n", "22021"},
		{"escaped to no UTF-8", textFormat, `\xff` + "\n", "22021"},
		{"a zero byte", csv, "a\x00b\n", "22021"},
		{"end marker", textFormat, "a\n\\.\nignored\n", `["a"]`},
		{"quoted newline", textFormat, "a\\\nb\tc\n", `["a\nb" "c"]`},
		{"empty line", textFormat, "\n", `[""]`},
		{"csv newline inside", csv, "\"a\nb\",c\n", `["a\nb" "c"]`},
		{"csv quote in the middle", csv, `a"b,c"d,e` + "\n", `["ab,cd" "e"]`},
		{"csv quotes doubled", csv, `"a""b",""` + "\n", `["a\"b" ""]`},
		{"csv null", csv, ",\"\",x\n", `[NULL "" "x"]`},
		{"csv end marker", csv, "a\n\\.\n", `["a"]`},
		{"csv, no end marker", pgserver.CopyFormat{Kind: pgserver.CopyCSV, NoEndMarker: true}, "a\n\\.\nb\n", `["a"] ["\\."] ["b"]`},
		{"csv open quote", csv, "\"a\n", "22P04"},
		{"binary without signature", bin, "PGCOPY nothing at all", "22P04"},
		{"binary cut", bin, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00", "22P04"},
		{"binary size -2", bin, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\xff\xfe", "22P04"},
		{"binary huge size", bin, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x7f\xff\xff\xffx", "22P04"},
		{"binary critical flag", bin, "PGCOPY\n\xff\r\n\x00\x00\x01\x00\x00\x00\x00\x00\x00", "22P04"},
		{"binary after the end", bin, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xffx", "22P04"},
		{"binary extension", bin, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x02xy\x00\x01\xff\xff\xff\xff\xff\xff", `[NULL]`},
	}
	for _, tt := range tests {
		d := pgserver.NewCopyDecoder(strings.NewReader(tt.in), tt.f, 0)
		var out []string
		for {
			row, err := d.Next()
			if err == io.EOF {
				break
			}
			if e, ok := errors.AsType[*wire.Error](err); ok {
				out = append(out, string(e.Code))
				if _, err := d.Next(); err != io.EOF {
					t.Errorf("%s: a row after an error: %v", tt.name, err)
				}
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			var cells []string
			for _, v := range row {
				if v == nil {
					cells = append(cells, "NULL")
					continue
				}
				cells = append(cells, fmt.Sprintf("%q", v))
			}
			out = append(out, fmt.Sprint(cells))
		}
		if got := strings.Join(out, " "); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	for _, n := range []int{1, 3} {
		if _, err := pgserver.NewCopyDecoder(strings.NewReader("a\tb\n"), textFormat, n).Next(); err == nil {
			t.Errorf("2 fields were taken for %d", n)
		}
	}
}

// TestCopyEndMarker has a server that says it is 15 or 18, and a real one, read a line that
// ended the data until 18.
func TestCopyEndMarker(t *testing.T) {
	for major, version := range map[int]string{15: "15.4 (Debian 15.4-1)", 18: "18beta1"} {
		oracle := testpg.New(t, major, nil)
		url := start(t, &pgserver.Server{Handler: &store{}, Params: map[string]string{"server_version": version}})
		for _, sql := range []string{"copy t from stdin (format csv)", "copy t from stdin"} {
			for _, data := range []string{"a,b\n\\.\nc,d\n", "a\tb\n\\.\nc\td\n", "a,b\n\"\\.\",c\n", "\\.\n", "\\.", "a,b\n\\.", "a\tb\n\\.", "a,b\r\n\\.\r\n", "a\tb\r\n\\.\r\n"} {
				var results []string
				for i, url := range []string{oracle.URL("postgres"), url} {
					conn, err := pgconn.Connect(t.Context(), url)
					if err != nil {
						t.Fatal(err)
					}
					if i == 0 {
						if _, err := conn.Exec(t.Context(), "create temp table t (a text, b text)").ReadAll(); err != nil {
							t.Fatal(err)
						}
					}
					tag, err := conn.CopyFrom(t.Context(), strings.NewReader(data), sql)
					code := tag.String()
					if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
						code = pg.Code
					} else if err != nil {
						t.Fatal(err)
					}
					results = append(results, code)
					if err := conn.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if results[0] != results[1] {
					t.Errorf("%d, %s of %q: PostgreSQL says %s, we %s", major, sql, data, results[0], results[1])
				}
			}
		}
	}
}

// store keeps what COPY brings and gives it back.
type store struct{ rows [][]string }

func (s *store) ServeQuery(w pgserver.ResponseWriter, q *pgserver.Query) error {
	if q.DescribeOnly {
		return nil
	}
	format := pgserver.CopyFormat{}
	switch {
	case strings.Contains(q.SQL, "csv"):
		format.Kind = pgserver.CopyCSV
	case strings.Contains(q.SQL, "binary"):
		format.Kind = pgserver.CopyBinary
	}
	switch {
	case q.SQL == "begin" || q.SQL == "commit":
		return w.Complete(strings.ToUpper(q.SQL))
	case strings.Contains(q.SQL, "ignore"):
		_, err := w.CopyIn(format, 2)
		return err
	case strings.Contains(q.SQL, "refuse"):
		if _, err := w.CopyIn(format, 2); err != nil {
			return err
		}
		return wire.Errorf("23505", "duplicate")
	case strings.Contains(q.SQL, "from stdin"):
		r, err := w.CopyIn(format, 2)
		if err != nil {
			return err
		}
		for row, err := range r.Rows() {
			if err != nil {
				return err
			}
			var cells []string
			for i := range row {
				if format.Kind == pgserver.CopyBinary && i == 0 {
					row[i].Type = 23
					var n int
					if err := row[i].Scan(&n); err != nil {
						return err
					}
					cells = append(cells, fmt.Sprint(n))
					continue
				}
				cells = append(cells, row[i].String())
			}
			s.rows = append(s.rows, cells)
		}
		return w.Complete(fmt.Sprintf("COPY %d", r.Count()))
	}
	o, err := w.CopyOut(format, 2)
	if err != nil {
		return err
	}
	if err := o.Columns(pgserver.Int4("n"), pgserver.Text("t")); err != nil {
		return err
	}
	for i, row := range s.rows {
		if strings.Contains(q.SQL, "broken") && i == 1 {
			return wire.Errorf("58030", "disk on fire")
		}
		if err := o.Row(i+1, row[1]); err != nil {
			return err
		}
	}
	return o.Close()
}

func TestCopyWithPgx(t *testing.T) {
	for _, format := range []string{"text", "csv", "binary"} {
		t.Run(format, func(t *testing.T) {
			h := &store{}
			conn := connect(t, start(t, &pgserver.Server{Handler: h}))
			data := pgserver.CopyFormat{Kind: map[string]pgserver.CopyKind{"text": 0, "csv": 1, "binary": 2}[format]}
			in := data.AppendHeader(nil)
			const n = 5000
			for i := range n {
				first := []byte(fmt.Sprint(i + 1))
				if format == "binary" {
					first = []byte{0, 0, byte((i + 1) >> 8), byte(i + 1)}
				}
				in = data.AppendRow(in, [][]byte{first, []byte("some, text\n" + fmt.Sprint(i))})
			}
			in = data.AppendTrailer(in)
			tag, err := conn.PgConn().CopyFrom(t.Context(), bytes.NewReader(in), "copy t from stdin "+format)
			if err != nil || tag.String() != "COPY 5000" || len(h.rows) != n || h.rows[4999][0] != "5000" {
				t.Fatalf("%v, %v, %d rows", tag, err, len(h.rows))
			}
			var out bytes.Buffer
			tag, err = conn.PgConn().CopyTo(t.Context(), &out, "copy t to stdout "+format)
			if err != nil || tag.String() != "COPY 5000" || !bytes.Equal(out.Bytes(), in) {
				t.Errorf("%v, %v: %d bytes back of %d", tag, err, out.Len(), len(in))
			}
		})
	}
}

func TestCopyStates(t *testing.T) {
	h := &store{rows: [][]string{{"1", "a"}, {"2", "b"}}}
	p := open(t, addrOf(start(t, &pgserver.Server{Handler: h})))
	data := &wire.CopyData{Data: []byte("1\ta\n")}
	tests := []struct {
		name string
		send []wire.Message
		want string
	}{
		{"in", []wire.Message{query("copy t from stdin"), data, &wire.CopyDone{}}, "G C(COPY 1) ZI"},
		{"in a transaction", []wire.Message{query("begin"), query("copy t from stdin"), data, &wire.CopyDone{}, query("commit")}, "C(BEGIN) ZT G C(COPY 1) ZT C(COMMIT) ZI"},
		{"flush and sync inside", []wire.Message{query("copy t from stdin"), &wire.Flush{}, data, &wire.Sync{}, &wire.CopyDone{}}, "G C(COPY 1) ZI"},
		{"given up", []wire.Message{query("copy t from stdin"), data, &wire.CopyFail{Message: "no"}}, "G ERROR:57014 ZI"},
		{"bad data", []wire.Message{query("copy t from stdin"), &wire.CopyData{Data: []byte("1\n")}, data, &wire.CopyDone{}, query("begin"), query("commit")}, "G ERROR:22P04 ZI C(BEGIN) ZT C(COMMIT) ZI"},
		{"refused at once", []wire.Message{query("copy refuse from stdin"), data, data, &wire.CopyDone{}, query("begin"), query("commit")}, "G ERROR:23505 ZI C(BEGIN) ZT C(COMMIT) ZI"},
		{"not read", []wire.Message{query("copy ignore"), data, data, &wire.CopyDone{}}, "G C(COPY 0) ZI"},
		{"two in one string", []wire.Message{query("copy t from stdin; copy t from stdin"), data, &wire.CopyDone{}, data, &wire.CopyDone{}}, "G C(COPY 1) G C(COPY 1) ZI"},
		{"extended", []wire.Message{&wire.Parse{SQL: "copy t from stdin"}, &wire.Bind{}, &wire.Execute{}, data, &wire.CopyDone{}, &wire.Sync{}}, "1 2 G C(COPY 1) ZI"},
		{"extended, given up", []wire.Message{&wire.Parse{SQL: "copy t from stdin"}, &wire.Bind{}, &wire.Execute{}, data, &wire.CopyFail{Message: "x"}, &wire.Execute{}, &wire.Sync{}}, "1 2 G ERROR:57014 ZI"},
		{"out fails", []wire.Message{query("copy t to stdout broken")}, "H d(1\ta) ERROR:58030 ZI"},
	}
	for _, tt := range tests {
		p.send(tt.send...)
		got := p.until('Z')
		for strings.Count(got, "Z") < strings.Count(tt.want, "Z") {
			got += " " + p.until('Z')
		}
		if got != tt.want {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.want)
		}
	}
	p.send(query("copy t from stdin"), query("copy t from stdin"))
	if got := p.end(); got != "G FATAL:08P01 closed" {
		t.Errorf("query inside: %s", got)
	}
	p = open(t, addrOf(start(t, &pgserver.Server{Handler: h})))
	p.send(query("copy t from stdin"), &wire.Terminate{})
	if got := p.end(); got != "G closed" {
		t.Errorf("goodbye inside: %s", got)
	}
}

func TestCopyBoth(t *testing.T) {
	h := pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		if q.Session.Replication() != "database" {
			return wire.Errorf(wire.CodeSyntaxError, "not a replication connection")
		}
		c, err := w.CopyBoth()
		if err != nil {
			return err
		}
		sent := make(chan error, 1)
		go func() { // sends while the other side is received
			for i := range 1000 {
				if err := c.Send(fmt.Appendf(nil, "from server %d", i)); err != nil {
					sent <- err
					return
				}
			}
			sent <- c.Flush()
		}()
		for {
			b, err := c.Receive()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if string(b) != "from client" {
				return fmt.Errorf("got %q", b)
			}
		}
		if err := <-sent; err != nil {
			return err
		}
		return w.Complete("START_STREAMING")
	})
	p := open(t, addrOf(start(t, &pgserver.Server{Handler: h})), wire.Param{Name: "replication", Value: "database"})
	p.send(query("START_REPLICATION"))
	for range 1000 {
		p.send(&wire.CopyData{Data: []byte("from client")})
	}
	p.send(&wire.CopyDone{})
	got := p.until('Z')
	if !strings.HasPrefix(got, "W d(from server 0) ") || !strings.HasSuffix(got, "d(from server 999) c C(START_STREAMING) ZI") {
		t.Errorf("got %.60s … %s", got, got[max(0, len(got)-60):])
	}
}
