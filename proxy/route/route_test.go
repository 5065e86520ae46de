package route

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// testLayout shards users and payments by user, events by a composite key, logs by range.
func testLayout(t testing.TB) *sharding.Layout {
	t.Helper()
	l, err := sharding.Compile(sharding.Config{
		Shards: 3,
		Tables: []sharding.Table{
			{Name: "users", Columns: []string{"id"}},
			{Name: "payments", Columns: []string{"user_id"}},
			{Name: "events", Columns: []string{"tenant", "user_id"}, Types: []hash.OID{hash.Text, hash.Int8}},
			{Name: "logs", Columns: []string{"at"}, Types: []hash.OID{hash.Int8}, Rules: []sharding.Rule{
				{Kind: sharding.Range, End: new("100"), Shard: 0},
				{Kind: sharding.Range, Start: new("100"), End: new("200"), Shard: 1},
				{Kind: sharding.Range, Start: new("200"), Shard: 2},
			}},
		},
		Schemas: []sharding.Schema{{Name: "one", Shard: 1}, {Name: "two", Shard: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func testSchema() *schema.Snapshot {
	def := gather.Collation{Known: true}
	c := gather.Collation{Known: true, Name: `pg_catalog."C"`, Bytewise: true}
	col := func(name string, t hash.OID) schema.Column {
		return schema.Column{Name: name, Type: t, TypeName: hash.TypeName(t), Collation: def}
	}
	table := func(schemaName, name string, kind byte, primary string, columns ...schema.Column) *schema.Table {
		t := &schema.Table{Schema: schemaName, Name: name, Kind: kind, Columns: columns}
		if primary != "" {
			t.Primary = []string{primary}
			t.Unique = [][]string{t.Primary}
		}
		return t
	}
	code := col("code", hash.Text)
	code.Collation = c
	stamp := col("created", hash.Timestamptz)
	stamp.Default, stamp.Volatile = true, true
	fn := func(name string, kind, volatility byte, opaque bool) *schema.Function {
		s := "pg_catalog"
		if opaque {
			s = "public"
		}
		return &schema.Function{Schema: s, Name: name, Kind: kind, Volatility: volatility, Opaque: opaque}
	}
	functions := []*schema.Function{fn("f", 'f', 's', true), fn("pure", 'f', 'i', true), fn("w", 'f', 'v', true)}
	for _, name := range []string{"count", "sum", "avg", "min", "max", "array_agg", "string_agg", "json_agg", "stddev", "variance", "var_pop", "bool_and", "percentile_cont"} {
		functions = append(functions, fn(name, 'a', 'i', false))
	}
	for _, name := range []string{"lower", "length", "abs", "rank", "date_trunc", "row_number", "generate_series", "now", "jsonb_array_elements", "pg_collation_for"} {
		functions = append(functions, fn(name, 'f', 's', false))
	}
	for _, name := range []string{"random", "nextval", "pg_sleep"} {
		functions = append(functions, fn(name, 'f', 'v', false))
	}
	view := func(schemaName, name, query string, columns ...schema.Column) *schema.Table {
		t := table(schemaName, name, 'v', "", columns...)
		t.Definition = query
		return t
	}
	replaced := view("public", "replaced", "SELECT users.id, users.email FROM users", col("id", hash.Int8), col("email", hash.Text))
	replaced.Triggers = true
	kept := view("public", "kept", "SELECT now() AS at, countries.id FROM countries", col("at", hash.Timestamptz), col("id", hash.Int4))
	kept.Kind = 'm'
	totals := view("public", "totals", "SELECT payments.user_id, sum(payments.amount) AS total FROM payments GROUP BY payments.user_id", col("user_id", hash.Int8), col("total", hash.Numeric))
	totals.Kind = 'm'
	s := schema.New([]*schema.Table{
		view("public", "people", "SELECT users.id AS number, users.email FROM users WHERE users.country > 1", col("number", hash.Int8), col("email", hash.Text)),
		view("public", "spenders", "SELECT p.number, sum(q.amount) AS total FROM (people p JOIN payments q ON ((q.user_id = p.number))) GROUP BY p.number", col("number", hash.Int8), col("total", hash.Numeric)),
		view("public", "named", "SELECT users.email FROM users", col("email", hash.Text)),
		view("public", "twice", "SELECT users.id, users.id AS again, users.email FROM users", col("id", hash.Int8), col("again", hash.Int8), col("email", hash.Text)),
		view("public", "everyone", "SELECT count(*) AS n FROM users", col("n", hash.Int8)),
		view("public", "newest", "SELECT users.id FROM users ORDER BY users.id DESC LIMIT 3", col("id", hash.Int8)),
		view("public", "peeking", "SELECT users.id, f(1) AS x FROM users", col("id", hash.Int8), col("x", hash.Int8)),
		view("public", "places", "SELECT countries.id, countries.name FROM countries", col("id", hash.Int4), col("name", hash.Text)),
		view("public", "some_place", "SELECT countries.id FROM countries ORDER BY (random()) LIMIT 1", col("id", hash.Int4)),
		view("public", "stamps", "SELECT stamped.id FROM stamped", col("id", hash.Int4)),
		view("public", "kinds", "SELECT pg_class.relname FROM pg_class", col("relname", hash.Name)),
		view("one", "mine", "SELECT things.id FROM one.things", col("id", hash.Int4)),
		view("one", "theirs", "SELECT users.id FROM users", col("id", hash.Int8)),
		replaced, kept, totals,
		table("public", "users", 'r', "id", col("id", hash.Int8), col("email", hash.Text), col("country", hash.Int4), code),
		table("public", "payments", 'r', "", col("id", hash.Int8), col("user_id", hash.Int8), col("amount", hash.Numeric), col("rate", hash.Float4), col("note", hash.Text)),
		table("public", "events", 'r', "", col("tenant", hash.Text), col("user_id", hash.Int8), col("what", hash.Text)),
		table("public", "logs", 'r', "", col("at", hash.Int8), col("line", hash.Text)),
		table("public", "countries", 'r', "id", col("id", hash.Int4), col("name", hash.Text)),
		table("public", "stamped", 'r', "id", col("id", hash.Int4), stamp),
		table("public", "rich", 'v', "", col("id", hash.Int8)),
		table("one", "things", 'r', "id", col("id", hash.Int4)),
		table("two", "others", 'r', "id", col("id", hash.Int4)),
		table("pg_catalog", "pg_class", 'r', "", col("oid", hash.Oid), col("relname", hash.Name)),
	}, functions)
	s.Path = []string{"pg_catalog", "public"}
	return s
}

func testRouter(t testing.TB) *Router {
	return New(Config{Layout: testLayout(t), Schema: testSchema()})
}

// params reads "-- $1=5 $2=NULL" at the end of a statement.
func binding(sql string) (string, *Binding) {
	b := &Binding{UniqueID: func() int64 { return 1234567890123 }}
	text, rest, found := strings.Cut(sql, "-- $")
	if !found {
		return sql, b
	}
	for field := range strings.FieldsSeq("$" + rest) {
		_, value, _ := strings.Cut(field, "=")
		if value == "NULL" {
			b.Values = append(b.Values, nil)
			continue
		}
		b.Values = append(b.Values, []byte(value))
	}
	return strings.TrimSpace(text), b
}

func decideText(r *Router, d *Decision, sql string) string {
	sql, b := binding(sql)
	err := r.Route(d, sql, &Session{Hint: NoHint()}, b)
	var e *wire.Error
	switch {
	case errors.As(err, &e):
		out := string(e.Code) + ": " + e.Message + "\n"
		if e.Hint != "" {
			out += "hint: " + e.Hint + "\n"
		}
		return out
	case err != nil:
		return "error: " + err.Error() + "\n"
	}
	return d.Explain()
}

// TestGolden compares decisions with testdata/route/*.txt: statements, each with what
// follows from it after "=>", and an empty line. go test -update writes what follows anew.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/route/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := testRouter(t)
			var d Decision
			var out strings.Builder
			for i, entry := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
				sql, _, _ := strings.Cut(entry, "\n=>")
				sql = strings.TrimSpace(sql)
				got := decideText(r, &d, sql)
				// The second time it comes from the cache, and must be the same.
				if again := decideText(r, &d, sql); again != got {
					t.Errorf("%s\nfirst:\n%s\nthen:\n%s", sql, got, again)
				}
				if i > 0 {
					out.WriteString("\n")
				}
				out.WriteString(sql + "\n=>\n" + got)
			}
			if *update {
				if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if out.String() != string(data) {
				t.Errorf("%s differs from what is decided now:\n%s", file, out.String())
			}
		})
	}
}
