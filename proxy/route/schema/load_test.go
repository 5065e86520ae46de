package schema_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
)

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

func TestLoad(t *testing.T) {
	ctx := t.Context()
	srv, err := native.New(native.DefaultConfig()).Start(ctx, engines.Spec{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	_, err = conn.Exec(ctx, `
		CREATE SCHEMA "S x";
		CREATE TABLE "S x".t (id bigint PRIMARY KEY, "N a" varchar(20) COLLATE "C" NOT NULL, at timestamptz DEFAULT now(),
			n int DEFAULT 7, s serial, i int GENERATED ALWAYS AS IDENTITY, g int GENERATED ALWAYS AS (id * 2) STORED, price numeric(10,2));
		CREATE UNIQUE INDEX ON "S x".t (price, id);
		CREATE FUNCTION "S x".f(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
		CREATE TABLE parted (id bigint, d int) PARTITION BY RANGE (d);
		CREATE TABLE parted1 PARTITION OF parted FOR VALUES FROM (0) TO (9) PARTITION BY LIST (d);
		CREATE TABLE parted11 PARTITION OF parted1 FOR VALUES IN (1);
		CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
		CREATE TABLE fired (id int PRIMARY KEY, other int REFERENCES fired);
		CREATE TRIGGER b BEFORE INSERT OR UPDATE ON fired FOR EACH ROW EXECUTE FUNCTION fire();
		CREATE TRIGGER a AFTER DELETE ON fired EXECUTE FUNCTION fire();
		CREATE TRIGGER off AFTER DELETE ON fired EXECUTE FUNCTION fire();
		ALTER TABLE fired DISABLE TRIGGER off;
		CREATE VIEW v AS SELECT 1 AS one`)
	if err != nil {
		t.Fatal(err)
	}
	s, err := schema.Load(ctx, querier{conn})
	if err != nil {
		t.Fatal(err)
	}
	def := gather.Collation{Known: true, Bytewise: s.Bytewise}
	want := &schema.Table{
		Schema: "S x", Name: "t", Kind: 'r', Primary: []string{"id"}, Unique: [][]string{{"id"}, {"id", "price"}},
		Columns: []schema.Column{
			{Name: "id", Type: hash.Int8, TypeName: "bigint", Collation: def, NotNull: true},
			{
				Name: "N a", Type: hash.Varchar, TypeName: "character varying(20)", NotNull: true,
				Collation: gather.Collation{Known: true, Name: `pg_catalog."C"`, Bytewise: true},
			},
			{Name: "at", Type: hash.Timestamptz, TypeName: "timestamp with time zone", Collation: def, Default: true, Volatile: true},
			{Name: "n", Type: hash.Int4, TypeName: "integer", Collation: def, Default: true},
			{Name: "s", Type: hash.Int4, TypeName: "integer", Collation: def, NotNull: true, Default: true, Volatile: true, Sequence: true},
			{Name: "i", Type: hash.Int4, TypeName: "integer", Collation: def, NotNull: true, Default: true, Volatile: true, Sequence: true},
			{Name: "g", Type: hash.Int4, TypeName: "integer", Collation: def, Default: true, Generated: true},
			{Name: "price", Type: hash.Numeric, TypeName: "numeric(10,2)", Collation: def},
		},
	}
	if diff := cmp.Diff(want, s.Table("S x", "t", nil)); diff != "" {
		t.Error(diff)
	}
	fire := func(when int) schema.Trigger {
		return schema.Trigger{Schema: "public", Function: "fire", Language: "plpgsql", Body: "BEGIN RETURN NEW; END", When: when}
	}
	fires := []schema.Trigger{fire(schema.TriggerDelete), fire(schema.TriggerRow | schema.TriggerBefore | schema.TriggerInsert | schema.TriggerUpdate)}
	if diff := cmp.Diff(fires, s.Table("public", "fired", nil).Fires); diff != "" {
		t.Error(diff)
	}
	if s.Table("", "t", []string{"public"}) != nil || s.Table("", "t", []string{"public", "S x"}) == nil || s.Table("", "pg_class", []string{"public"}) == nil {
		t.Error("the search path is not heeded")
	}
	if f := s.Functions("S x", "f"); len(f) != 1 || f[0].Volatility != 's' || !f[0].Opaque {
		t.Errorf("f: %+v", f)
	}
	if f := s.Functions("", "count"); len(f) != 2 || f[0].Kind != 'a' || f[0].Opaque {
		t.Errorf("count: %+v", f)
	}
	if p := s.Table("public", "parted11", nil).Parent; p == nil || p.Name != "parted" {
		t.Errorf("parent: %+v", p)
	}
	if s.Type("int8") != hash.Int8 || s.Version < 120000 || s.Database == "" || s.Empty() {
		t.Errorf("%d %d %q", s.Type("int8"), s.Version, s.Database)
	}
	if _, err := schema.Load(ctx, broken{}); err == nil {
		t.Error("a failing query: no error")
	}
}

type broken struct{}

func (broken) Query(context.Context, string, func([][]byte) error) error { return errors.New("gone") }
