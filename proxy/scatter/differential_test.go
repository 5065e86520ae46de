package scatter_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy/route/routetest"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

// A mode is how a client asks.
type mode int

const (
	simpleMode mode = iota
	textMode
	binaryMode
)

func (m mode) String() string { return [...]string{"simple", "text", "binary"}[m] }

// An outcome is what a client sees of a statement.
type outcome struct {
	fields []string // names and types
	rows   []string
	tag    string
	code   string // SQLSTATE
	err    error
}

func ask(ctx context.Context, c *pgconn.PgConn, m mode, sql string) (o outcome) {
	var err error
	read := func(r *pgconn.ResultReader) {
		o.fields = o.fields[:0]
		for _, f := range r.FieldDescriptions() {
			// OIDs from 16384 on are the database's own.
			o.fields = append(o.fields, fmt.Sprintf("%s %d %d", f.Name, min(f.DataTypeOID, 16384), f.Format))
		}
		for r.NextRow() {
			var b strings.Builder
			for _, v := range r.Values() {
				if v == nil {
					b.WriteString("NULL|")
					continue
				}
				fmt.Fprintf(&b, "%q|", v)
			}
			o.rows = append(o.rows, b.String())
		}
		var tag pgconn.CommandTag
		tag, err = r.Close()
		o.tag = tag.String()
	}
	if m == simpleMode {
		mr := c.Exec(ctx, sql)
		for mr.NextResult() {
			read(mr.ResultReader())
		}
		err = mr.Close()
	} else {
		var formats []int16
		if m == binaryMode {
			formats = []int16{1}
		}
		read(c.ExecParams(ctx, sql, nil, nil, nil, formats))
	}
	if err != nil {
		o.err = err
		o.code = "?"
		if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
			o.code = pe.Code
		}
	}
	return o
}

// differ compares outcomes; "" if they are alike.
func differ(want, got outcome, ordered bool) string {
	a, b := slices.Clone(want.rows), slices.Clone(got.rows)
	if !ordered {
		slices.Sort(a)
		slices.Sort(b)
	}
	switch {
	case want.code != got.code:
		return fmt.Sprintf("error %v, want %v", got.err, want.err)
	case want.code != "":
		return ""
	case !slices.Equal(want.fields, got.fields):
		return fmt.Sprintf("columns %v, want %v", got.fields, want.fields)
	case want.tag != got.tag:
		return fmt.Sprintf("tag %s, want %s", got.tag, want.tag)
	case !slices.Equal(a, b):
		return "rows\n" + strings.Join(b, "\n") + "\nwant\n" + strings.Join(a, "\n")
	}
	return ""
}

// A pair is one server with everything, and a session over shards with the same.
type pair struct {
	whole, shards *pgconn.PgConn
	f             *fleet
}

func newPair(t *testing.T, srv engines.Server, name string, n int, tables ...sharding.Table) *pair {
	t.Helper()
	return pairWith(t, srv, name, n, "", tables...)
}

// pairWith is newPair in databases that are made with some options.
func pairWith(t *testing.T, srv engines.Server, name string, n int, with string, tables ...sharding.Table) *pair {
	t.Helper()
	createDatabase(t, srv, name+"w", with)
	w, err := engines.Connect(t.Context(), srv, name+"w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(context.Background()) })
	f := newFleet(t, srv, name, n, func(sc *sharding.Config, _ *scatter.Config) { sc.Tables = append(slices.Clone(demo), tables...) }, with)
	return &pair{w.PgConn(), f.connect().PgConn(), f}
}

func (p *pair) both(t *testing.T, list ...string) {
	t.Helper()
	for _, sql := range list {
		for _, c := range []*pgconn.PgConn{p.whole, p.shards} {
			if _, err := c.Exec(t.Context(), sql).ReadAll(); err != nil {
				t.Fatalf("%.200s: %v", sql, err)
			}
		}
	}
}

// count is how many random queries a test asks.
func count(t *testing.T, usual int) int {
	if s := os.Getenv("SHARD_QUERIES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return usual
}

// TestRandomQueries gives random queries to one server and to shards.
func TestRandomQueries(t *testing.T) {
	srv := startServer(t)
	total := 0
	refused := map[string]int{}
	for _, n := range []int{1, 2, 3, 5} {
		// A test of its own for each pair closes its connections when it ends.
		good := t.Run(fmt.Sprintf("%d shards", n), func(t *testing.T) {
			p := newPair(t, srv, fmt.Sprintf("q%d_", n), n)
			p.both(t, routetest.Schema)
			p.both(t, routetest.Rows()...)
			g := routetest.New(uint64(count(t, 1)), uint64(n))
			p.random(t, count(t, 480)/8, g.Query, refused, &total)
		})
		for table := range max(1, count(t, 480)/960) {
			good = good && t.Run(fmt.Sprintf("%d shards, table %d", n, table), func(t *testing.T) {
				p := newPair(t, srv, fmt.Sprintf("r%d_%d_", n, table), n, sharding.Table{Name: "things", Columns: []string{"id"}})
				g := routetest.New(uint64(table), uint64(n))
				things := g.Things()
				p.both(t, things.Schema(40)...)
				p.random(t, min(120, count(t, 480)/8), things.Query, refused, &total)
			})
		}
		if !good {
			return
		}
	}
	sum := 0
	for why, n := range refused {
		t.Logf("refused %d: %s", n, why)
		sum += n
	}
	t.Logf("%d queries, %d refused", total, sum)
	if sum*20 > total {
		t.Errorf("%d of %d queries were refused", sum, total)
	}
}

func (p *pair) random(t *testing.T, n int, query func() (string, bool), refused map[string]int, total *int) {
	t.Helper()
	for i := range n {
		sql, ordered := query()
		m := mode(i % 3)
		want, got := ask(t.Context(), p.whole, m, sql), ask(t.Context(), p.shards, m, sql)
		*total++
		if got.code == "0A000" && want.code != "0A000" {
			refused[got.err.Error()]++
			continue
		}
		if why := differ(want, got, ordered); why != "" {
			explained := ask(t.Context(), p.shards, simpleMode, "EXPLAIN (ROUTE) "+sql)
			t.Fatalf("%s (%v)\n%s\n%s", sql, m, why, strings.Join(explained.rows, "\n"))
		}
	}
}
