package scatter_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/routetest"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

// keyedPair is a pair with the tables of k, in databases made with the given options.
func keyedPair(t *testing.T, srv engines.Server, name string, n int, k *routetest.Keyed, with string) *pair {
	t.Helper()
	var types []hash.OID
	for _, typ := range k.Names() {
		types = append(types, map[string]hash.OID{
			"text": hash.Text, "varchar": hash.Varchar, "uuid": hash.UUID, "int": hash.Int4, "smallint": hash.Int2, "bigint": hash.Int8,
			"date": hash.Date, "timestamptz": hash.Timestamptz,
		}[typ])
	}
	createDatabase(t, srv, name+"w", with)
	w, err := engines.Connect(t.Context(), srv, name+"w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(context.Background()) })
	f := newFleet(t, srv, name, n, func(sc *sharding.Config, _ *scatter.Config) {
		sc.Tables = nil
		for _, table := range []string{"docs", "items"} {
			sc.Tables = append(sc.Tables, sharding.Table{Name: table, Columns: k.Keys, Types: types})
		}
	}, with)
	p := &pair{w.PgConn(), f.connect().PgConn(), f}
	p.both(t, k.Schema(50, 90)...)
	return p
}

// TestRandomKeys gives random queries and writes over tables with composite keys, and keys of
// text, uuid and other types, to one server and to shards, with databases that sort by C and
// by ICU.
func TestRandomKeys(t *testing.T) {
	srv := startServer(t)
	total, sum := 0, 0
	refused := map[string]int{}
	rounds := max(1, count(t, 320)/400)
	for _, n := range []int{1, 2, 3, 5} {
		for round := range rounds {
			with := ""
			if (round+n)%2 == 0 {
				with = " TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'"
			}
			g := routetest.New(uint64(round), uint64(100+n))
			k := g.Keyed()
			p := keyedPair(t, srv, fmt.Sprintf("k%d_%d_", n, round), n, k, with)
			each := 90
			for i := range each {
				if i%6 != 5 {
					sql, ordered := k.Query()
					p.one(t, mode(i%3), sql, ordered, refused, &total)
				} else {
					p.write(t, mode(i/6%3), k.Write(), refused, &total)
				}
				if t.Failed() {
					t.Fatalf("key %v of %v, %d shards%s", k.Keys, k.Types, n, with)
				}
			}
			_ = p.shards.Close(t.Context())
			_ = p.whole.Close(t.Context())
			p.f.pool.close()
		}
	}
	for why, n := range refused {
		t.Logf("refused %d: %s", n, why)
		sum += n
	}
	t.Logf("%d statements, %d refused", total, sum)
	if sum*20 > total {
		t.Errorf("%d of %d statements were refused", sum, total)
	}
}

// one asks both the same query, and reports whether the shards refused it.
func (p *pair) one(t *testing.T, m mode, sql string, ordered bool, refused map[string]int, total *int) bool {
	t.Helper()
	want, got := ask(t.Context(), p.whole, m, sql), ask(t.Context(), p.shards, m, sql)
	*total++
	if got.code == "0A000" && want.code != "0A000" {
		refused[got.err.Error()]++
		return true
	}
	if why := differ(want, got, ordered); why != "" {
		explained := ask(t.Context(), p.shards, simpleMode, "EXPLAIN (ROUTE) "+sql)
		t.Errorf("%s (%v)\n%s\n%s", sql, m, why, strings.Join(explained.rows, "\n"))
	}
	return false
}

// write lets both carry out the same write, and compares all tables. One that is refused is
// rolled back on both.
func (p *pair) write(t *testing.T, m mode, sql string, refused map[string]int, total *int) {
	t.Helper()
	ask(t.Context(), p.whole, simpleMode, "BEGIN")
	ask(t.Context(), p.shards, simpleMode, "BEGIN")
	end := "COMMIT"
	if p.one(t, m, sql, false, refused, total) {
		end = "ROLLBACK"
	}
	ask(t.Context(), p.whole, simpleMode, end)
	ask(t.Context(), p.shards, simpleMode, end)
	for _, table := range []string{"docs", "items", "labels"} {
		want, got := ask(t.Context(), p.whole, simpleMode, "SELECT * FROM "+table), ask(t.Context(), p.shards, simpleMode, "SELECT * FROM "+table)
		if why := differ(want, got, false); why != "" {
			t.Errorf("%s after %s (%v): %s", table, sql, m, why)
		}
	}
}
