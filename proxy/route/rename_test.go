package route

import (
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// TestRenamedColumns has columns make a table a sharded one, and not: what would have its rows looked
// for elsewhere is refused.
func TestRenamedColumns(t *testing.T) {
	l, err := sharding.Compile(sharding.Config{Shards: 3, Tables: []sharding.Table{{Columns: []string{"tenant_id"}}}})
	if err != nil {
		t.Fatal(err)
	}
	col := func(name string) schema.Column {
		return schema.Column{Name: name, Type: hash.Int8, TypeName: hash.TypeName(hash.Int8)}
	}
	r := New(Config{Layout: l, Schema: schema.New([]*schema.Table{
		{Schema: "public", Name: "things", Kind: 'r', Columns: []schema.Column{col("tenant_id"), col("n")}},
		{Schema: "public", Name: "lists", Kind: 'r', Columns: []schema.Column{col("x")}},
	}, nil)})
	for sql, refused := range map[string]bool{
		"ALTER TABLE things RENAME COLUMN tenant_id TO tid":                    true,
		"ALTER TABLE IF EXISTS ONLY public.things RENAME Tenant_ID TO tid":     true,
		"ALTER TABLE lists RENAME x TO tenant_id":                              true,
		`ALTER TABLE things DROP COLUMN IF EXISTS "tenant_id" CASCADE`:         true,
		"ALTER TABLE things ADD y numeric(3, 1), DROP tenant_id":               true,
		"ALTER TABLE things RENAME COLUMN n TO m":                              false,
		"ALTER TABLE things RENAME CONSTRAINT tenant_id TO tid":                false,
		"ALTER TABLE things RENAME TO tenant_things":                           false,
		"ALTER TABLE things DROP CONSTRAINT tenant_id, DROP COLUMN n":          false,
		"ALTER TABLE things ALTER tenant_id DROP DEFAULT":                      false,
		"ALTER TABLE things ALTER COLUMN tenant_id SET DEFAULT 1, DROP n":      false,
		"ALTER TABLE lists DROP COLUMN x":                                      false,
		"ALTER TABLE nowhere RENAME COLUMN tenant_id TO x":                     false,
		"ALTER TABLE things ADD CONSTRAINT k UNIQUE (n, tenant_id), DROP n":    false,
		"ALTER TABLE things ADD COLUMN tenant_id2 bigint, DROP COLUMN missing": false,
	} {
		var d Decision
		err := r.Route(&d, sql, &Session{Hint: NoHint()}, nil)
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "by its new columns") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// TestAltered has ALTERs that would divide tables in another way than their rows are: refused, or
// refused if there are rows.
func TestAltered(t *testing.T) {
	l, err := sharding.Compile(sharding.Config{
		Shards:  3,
		Tables:  []sharding.Table{{Columns: []string{"tenant_id"}}, {Name: "users", Columns: []string{"id"}}, {Schema: "a", Name: "by_schema", Columns: []string{"id"}}},
		Schemas: []sharding.Schema{{Name: "one", Shard: 1}, {Name: "uno", Shard: 1}, {Name: "two", Shard: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	table := func(schemaName, name string, columns ...string) *schema.Table {
		out := &schema.Table{Schema: schemaName, Name: name, Kind: 'r'}
		for _, c := range columns {
			typ := hash.Int8
			if c == "note" {
				typ = hash.Text
			}
			out.Columns = append(out.Columns, schema.Column{Name: c, Type: typ, TypeName: hash.TypeName(typ)})
		}
		return out
	}
	child := table("public", "users_1", "id", "note")
	users := table("public", "users", "id", "note")
	child.Parent = users
	hidden := table("public", "hidden", "id")
	hidden.Secured = true
	r := New(Config{Layout: l, Schema: schema.New([]*schema.Table{
		users, child, hidden, table("public", "lists", "id", "x"), table("public", "things", "tenant_id", "n"), table("public", "tenants", "tenant_id"),
		table("a", "by_schema", "id"), table("one", "t", "id"), table("c", "plain", "id"), table("public", "kin", "id", "note"),
	}, nil)})
	for sql, want := range map[string]string{
		"ALTER TABLE lists ADD COLUMN tenant_id bigint":                                       "rows",
		"ALTER TABLE lists ADD COLUMN IF NOT EXISTS Tenant_ID bigint NOT NULL DEFAULT 1":      "rows",
		"ALTER TABLE lists DROP x, ADD tenant_id bigint":                                      "rows",
		"ALTER TABLE hidden ADD tenant_id bigint":                                             "refused",
		"ALTER TABLE lists ADD COLUMN tenant bigint, ADD CONSTRAINT tenant_id CHECK (x > 0)":  "",
		"ALTER TABLE lists ADD PRIMARY KEY (id)":                                              "",
		"ALTER TABLE things ADD COLUMN IF NOT EXISTS tenant_id bigint":                        "",
		"ALTER TABLE users ADD COLUMN tenant_id bigint":                                       "",
		"ALTER TABLE users DROP COLUMN id":                                                    "rows",
		"ALTER TABLE users DROP COLUMN id, ADD COLUMN id bigint":                              "rows",
		"ALTER TABLE users RENAME COLUMN id TO uid":                                           "refused",
		"ALTER TABLE users RENAME note TO notes":                                              "",
		"ALTER TABLE users ALTER COLUMN id TYPE text":                                         "rows",
		"ALTER TABLE users ALTER id SET DATA TYPE bigint USING id + 1":                        "rows",
		"ALTER TABLE things ALTER tenant_id TYPE numeric":                                     "rows",
		"ALTER TABLE users ALTER COLUMN id TYPE integer, ALTER note TYPE varchar(9) USING ''": "",
		"ALTER TABLE users ALTER id SET NOT NULL, ALTER id DROP DEFAULT":                      "",
		"ALTER TABLE users SET SCHEMA a":                                                      "",
		"ALTER TABLE a.by_schema SET SCHEMA public":                                           "refused",
		"ALTER TABLE lists SET SCHEMA two":                                                    "refused",
		"ALTER TABLE one.t SET SCHEMA uno":                                                    "",
		"ALTER MATERIALIZED VIEW lists RENAME TO users":                                       "refused",
		"ALTER FOREIGN TABLE lists RENAME TO users":                                           "refused",
		"ALTER SCHEMA a RENAME TO b":                                                          "refused",
		"ALTER SCHEMA c RENAME TO d":                                                          "",
		"ALTER SCHEMA c RENAME TO one":                                                        "refused",
		"ALTER SCHEMA one RENAME TO uno":                                                      "",
		"ALTER SCHEMA one RENAME TO tre":                                                      "refused",
		"ALTER TABLE lists ADD":                                                               "",
		"ALTER TABLE lists DROP x,":                                                           "",
		"ALTER TABLE lists ALTER":                                                             "",
		"ALTER TABLE lists RENAME":                                                            "",
		"ALTER TABLE users ATTACH":                                                            "",
		"ALTER SCHEMA a RENAME TO":                                                            "",
		"ALTER TABLE":                                                                         "",
		"DO $$ BEGIN EXECUTE 'ALTER TABLE ' || t || ' ADD '; EXECUTE 'ALTER'; EXECUTE 'column %I'; EXECUTE 'x add'; END $$": "refused",
		"ALTER SCHEMA a OWNER TO b":                                                                       "",
		"ALTER TABLE users ATTACH PARTITION lists DEFAULT":                                                "rows",
		"ALTER TABLE things ATTACH PARTITION tenants DEFAULT":                                             "",
		"ALTER TABLE users DETACH PARTITION users_1":                                                      "rows",
		"ALTER TABLE users_1 NO INHERIT users":                                                            "rows",
		"ALTER TABLE kin INHERIT users":                                                                   "rows",
		"ALTER TABLE kin INHERIT lists":                                                                   "",
		"DO $$ BEGIN ALTER TABLE lists ADD COLUMN tenant_id bigint; END $$":                               "refused",
		"DO $$ BEGIN ALTER TABLE a.by_schema SET SCHEMA public; END $$":                                   "refused",
		"DO $$ BEGIN ALTER SCHEMA a RENAME TO b; END $$":                                                  "refused",
		"DO $$ BEGIN EXECUTE 'ALTER TABLE things RENAME tenant_id TO tid'; END $$":                        "refused",
		"DO $$ BEGIN EXECUTE format('ALTER TABLE %I SET SCHEMA x', t); END $$":                            "refused",
		"DO $$ BEGIN EXECUTE 'ALTER TABLE ' || t || ' ADD COLUMN tenant_id bigint'; END $$":               "refused",
		"DO $$ BEGIN EXECUTE format('ALTER TABLE %I DROP COLUMN %I', t, c); END $$":                       "refused",
		"DO $$ BEGIN EXECUTE format('ALTER TABLE %I ADD COLUMN x int', t); END $$":                        "",
		"DO $$ BEGIN EXECUTE 'ALTER TABLE ' || t || ' OWNER TO me'; END $$":                               "",
		"DO $$ BEGIN ALTER TABLE lists ADD COLUMN y bigint; ALTER TABLE c.plain RENAME TO simple; END $$": "",
	} {
		var d Decision
		err := r.Route(&d, sql, &Session{Hint: NoHint()}, nil)
		got := ""
		switch {
		case err != nil && wire.AsError(err).Code != wire.CodeFeatureNotSupported:
			t.Errorf("%s: %v", sql, err)
			continue
		case err != nil:
			got = "refused"
		case d.Plan.Vacancy != nil:
			got = "rows"
		}
		if got != want {
			t.Errorf("%s: %q (%v), want %q", sql, got, err, want)
		}
	}
}
