package route

import (
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
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
