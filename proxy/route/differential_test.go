package route_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/routetest"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A fleet is one database with everything, and shards with their parts of it.
type fleet struct {
	whole  *pgx.Conn
	shards []*pgx.Conn
	router *route.Router
	temp   int
}

type querier struct{ conn *pgx.Conn }

func (q querier) Query(ctx context.Context, sql string, row func([][]byte) error) error {
	rows, err := q.conn.Query(ctx, sql, pgx.QueryResultFormats{pgx.TextFormatCode})
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.RawValues()); err != nil {
			return err
		}
	}
	return rows.Err()
}

func newFleet(t *testing.T, n int) *fleet {
	ctx := t.Context()
	srv, err := native.New(native.DefaultConfig()).Start(ctx, engines.Spec{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	open := func(name string) *pgx.Conn {
		if name != "" {
			c, err := engines.Connect(ctx, srv, "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Exec(ctx, "CREATE DATABASE "+name); err != nil {
				t.Fatal(err)
			}
			_ = c.Close(ctx)
		}
		c, err := engines.Connect(ctx, srv, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		if _, err := c.Exec(ctx, routetest.Schema); err != nil {
			t.Fatal(err)
		}
		return c
	}
	layout, err := sharding.Compile(sharding.Config{Shards: n, Tables: []sharding.Table{
		{Name: "users", Columns: []string{"id"}}, {Name: "payments", Columns: []string{"user_id"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{whole: open("whole")}
	for i := range n {
		f.shards = append(f.shards, open("s"+strconv.Itoa(i)))
	}
	snap, err := schema.Load(ctx, querier{f.whole})
	if err != nil {
		t.Fatal(err)
	}
	f.router = route.New(route.Config{Layout: layout, Schema: snap})
	// Every row goes in through the router.
	for _, sql := range routetest.Rows() {
		if _, err := f.whole.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
		if err := f.write(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// write runs a statement that only writes.
func (f *fleet) write(ctx context.Context, sql string) error {
	var d route.Decision
	if err := f.router.Route(&d, sql, &route.Session{Hint: route.NoHint()}, nil); err != nil {
		return err
	}
	if len(d.Queries) > 0 {
		for _, q := range d.Queries {
			if _, err := f.shards[q.Shards.Lowest()].Exec(ctx, q.SQL); err != nil {
				return err
			}
		}
		return nil
	}
	for _, s := range d.Targets() {
		if _, err := f.shards[s].Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

type answer struct {
	names []string
	types []uint32
	mods  []int32
	rows  [][]*string
}

func read(ctx context.Context, conn *pgx.Conn, sql string) (a answer, err error) {
	rows, err := conn.Query(ctx, sql, pgx.QueryResultFormats{pgx.TextFormatCode}, pgx.QueryExecModeExec)
	if err != nil {
		return a, err
	}
	defer rows.Close()
	for rows.Next() {
		var row []*string
		for _, v := range rows.RawValues() {
			if v == nil {
				row = append(row, nil)
				continue
			}
			s := string(v)
			row = append(row, &s)
		}
		a.rows = append(a.rows, row)
	}
	for _, f := range rows.FieldDescriptions() {
		a.names, a.types, a.mods = append(a.names, f.Name), append(a.types, f.DataTypeOID), append(a.mods, f.TypeModifier)
	}
	return a, rows.Err()
}

// gather reads from several shards.
func (f *fleet) gather(ctx context.Context, shards []int, sql string) (all answer, err error) {
	for _, s := range shards {
		a, err := read(ctx, f.shards[s], sql)
		if err != nil {
			return all, err
		}
		rows := append(all.rows, a.rows...)
		all = a
		all.rows = rows
	}
	return all, nil
}

// stage puts rows into a temporary table.
func (f *fleet) stage(ctx context.Context, conn *pgx.Conn, a answer, columns []gather.RelationColumn) (name string, types []string, err error) {
	f.temp++
	name = "tmp" + strconv.Itoa(f.temp)
	var defs []string
	for i := range a.types {
		var typ string
		if err := conn.QueryRow(ctx, "SELECT format_type($1, $2)", a.types[i], a.mods[i]).Scan(&typ); err != nil {
			return "", nil, err
		}
		types = append(types, typ)
		def := pgx.Identifier{columns[i].Name}.Sanitize() + " " + typ
		if columns[i].Collation.Name != "" {
			def += " COLLATE " + columns[i].Collation.Name
		}
		defs = append(defs, def)
	}
	if _, err := conn.Exec(ctx, "CREATE TEMP TABLE "+name+" ("+strings.Join(defs, ", ")+")"); err != nil {
		return "", nil, err
	}
	var rows []string
	for _, row := range a.rows {
		var values []string
		for _, v := range row {
			if v == nil {
				values = append(values, "NULL")
				continue
			}
			values = append(values, "'"+strings.ReplaceAll(*v, "'", "''")+"'")
		}
		rows = append(rows, "("+strings.Join(values, ", ")+")")
	}
	if len(rows) > 0 {
		if _, err := conn.Exec(ctx, "INSERT INTO "+name+" VALUES "+strings.Join(rows, ", ")); err != nil {
			return "", nil, err
		}
	}
	return name, types, nil
}

// run carries out a decision in the plainest way: every merge by a server.
func (f *fleet) run(ctx context.Context, sql string) (a answer, d *route.Decision, err error) {
	d = &route.Decision{}
	if err := f.router.Route(d, sql, &route.Session{Hint: route.NoHint()}, nil); err != nil {
		return a, d, err
	}
	text := sql
	if d.SQL != "" {
		text = d.SQL
	}
	shards := d.Targets()
	if d.Any || len(shards) == 1 {
		a, err = read(ctx, f.shards[shards[len(shards)-1]], text)
		return a, d, err
	}
	conn := f.shards[d.FinishShard]
	if fin := d.Merge.Finish; fin != nil {
		var names []string
		var types [][]string
		for i, q := range d.Relations {
			rows, err := f.gather(ctx, q.Shards.AppendTo(nil), q.SQL)
			if err != nil {
				return a, d, err
			}
			if len(rows.types) == 0 {
				if rows, err = f.gather(ctx, []int{0}, q.SQL); err != nil {
					return a, d, err
				}
				rows.rows = nil
			}
			if row := fin.Relations[i].Row; row != "" {
				var list []string
				for _, r := range rows.rows {
					list = append(list, "'"+strings.ReplaceAll(*r[0], "'", "''")+"'")
				}
				names = append(names, "unnest(ARRAY["+strings.Join(list, ", ")+"]::"+row+"[])")
				types = append(types, nil)
				continue
			}
			name, ts, err := f.stage(ctx, conn, rows, fin.Relations[i].Columns)
			if err != nil {
				return a, d, err
			}
			names, types = append(names, name), append(types, ts)
		}
		var b strings.Builder
		for _, p := range d.Finish {
			switch p.Kind {
			case gather.Source:
				b.WriteString(names[p.Relation])
			case gather.TypeOf:
				b.WriteString(types[p.Relation][p.Column])
			default:
				b.WriteString(p.Text)
			}
		}
		a, err = read(ctx, conn, b.String())
		return a, d, err
	}
	all, err := f.gather(ctx, shards, text)
	if err != nil {
		return a, d, err
	}
	columns := make([]gather.RelationColumn, len(all.types))
	for i := range columns {
		columns[i].Name = "c" + strconv.Itoa(i)
	}
	for _, k := range d.Merge.Order {
		columns[k.Column.Index(len(columns))].Collation = k.Collation
	}
	name, _, err := f.stage(ctx, conn, all, columns)
	if err != nil {
		return a, d, err
	}
	var visible []string
	for i := range len(all.types) - d.Merge.Hidden {
		visible = append(visible, "c"+strconv.Itoa(i))
	}
	list := strings.Join(visible, ", ")
	col := func(c gather.Column) string { return "c" + strconv.Itoa(c.Index(len(all.types))) }
	q := "SELECT " + list
	if d.Merge.Kind == gather.Unique && d.Merge.DistinctAll {
		q = "SELECT DISTINCT " + list
	} else if d.Merge.Kind == gather.Unique {
		var on []string
		for _, c := range d.Merge.Distinct {
			on = append(on, col(c))
		}
		q = "SELECT DISTINCT ON (" + strings.Join(on, ", ") + ") " + list
	}
	q += " FROM " + name
	for i, k := range d.Merge.Order {
		q += map[bool]string{true: " ORDER BY ", false: ", "}[i == 0] + col(k.Column)
		q += map[bool]string{true: " DESC", false: " ASC"}[k.Descending] + map[bool]string{true: " NULLS FIRST", false: " NULLS LAST"}[k.NullsFirst]
	}
	if d.Offset > 0 {
		q += fmt.Sprintf(" OFFSET %d", d.Offset)
	}
	switch {
	case d.Limit >= 0 && d.Merge.WithTies:
		q += fmt.Sprintf(" FETCH FIRST %d ROWS WITH TIES", d.Limit)
	case d.Limit >= 0:
		q += fmt.Sprintf(" LIMIT %d", d.Limit)
	}
	a, err = read(ctx, conn, q)
	a.names = all.names[:len(visible)]
	return a, d, err
}

func lines(a answer) []string {
	var out []string
	for _, row := range a.rows {
		var b strings.Builder
		for _, v := range row {
			if v == nil {
				b.WriteString("NULL|")
				continue
			}
			b.WriteString(*v + "|")
		}
		out = append(out, b.String())
	}
	return out
}

// compare runs a query on the whole and on the shards. ordered says that the order counts
// (it must be total). It returns the SQLSTATE with which it was refused, or "".
func (f *fleet) compare(t *testing.T, sql string, ordered bool) string {
	t.Helper()
	ctx := t.Context()
	want, wantErr := read(ctx, f.whole, sql)
	got, d, err := f.run(ctx, sql)
	var refused *wire.Error
	switch {
	case errors.As(err, &refused):
		return string(refused.Code) + " " + refused.Message
	case wantErr != nil && err != nil:
		return ""
	case wantErr != nil || err != nil:
		t.Errorf("%s\none server: %v\nshards: %v\n%s", sql, wantErr, err, d.Explain())
		return ""
	}
	a, b := lines(want), lines(got)
	if !ordered {
		slices.Sort(a)
		slices.Sort(b)
	}
	if !slices.Equal(a, b) || !slices.Equal(want.names, got.names) || !slices.EqualFunc(want.types, got.types, func(x, y uint32) bool { return min(x, 16384) == min(y, 16384) }) {
		t.Errorf("%s\none server %v %v:\n%s\nshards %v %v:\n%s\n%s", sql, want.names, want.types, strings.Join(a, "\n"), got.names, got.types, strings.Join(b, "\n"), d.Explain())
	}
	return ""
}

// TestDifferential gives random queries to one server and to shards: the answers must be the
// same, or refused.
func TestDifferential(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			f := newFleet(t, n)
			refused := map[string]int{}
			queries := 300
			if n, err := strconv.Atoi(os.Getenv("ROUTE_QUERIES")); err == nil {
				queries = n
			}
			g := routetest.New(uint64(queries), uint64(n))
			for range queries {
				sql, ordered := g.Query()
				if why := f.compare(t, sql, ordered); why != "" {
					refused[why]++
				}
				if t.Failed() {
					return
				}
			}
			total := 0
			for why, count := range refused {
				t.Logf("refused %d: %s", count, why)
				total += count
			}
			if total*20 > queries {
				t.Errorf("%d of %d queries were refused", total, queries)
			}
		})
	}
}
