package route

import (
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// TestTriggers writes tables with triggers, by all that their functions may do.
func TestTriggers(t *testing.T) {
	l, err := sharding.Compile(sharding.Config{Shards: 3, LocalFunctions: []string{"trusted"}, Tables: []sharding.Table{
		{Name: "users", Columns: []string{"id"}}, {Name: "payments", Columns: []string{"user_id"}}, {Name: "places", Columns: []string{"code"}, Types: []hash.OID{hash.Text}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	col := func(name string, typ hash.OID) schema.Column {
		return schema.Column{Name: name, Type: typ, TypeName: hash.TypeName(typ)}
	}
	const row, stmt = schema.TriggerRow | schema.TriggerInsert | schema.TriggerUpdate | schema.TriggerDelete, schema.TriggerInsert
	route := func(table, function, language, body string, when int, sql string) error {
		tables := map[string]*schema.Table{
			"users":    {Schema: "public", Name: "users", Kind: 'r', Columns: []schema.Column{col("id", hash.Int8), col("email", hash.Text), col("country", hash.Int8)}},
			"payments": {Schema: "public", Name: "payments", Kind: 'r', Columns: []schema.Column{col("id", hash.Int8), col("user_id", hash.Int8), col("amount", hash.Int8)}},
			"places":   {Schema: "public", Name: "places", Kind: 'r', Columns: []schema.Column{col("code", hash.Text), col("name", hash.Text)}},
			"logs":     {Schema: "public", Name: "logs", Kind: 'r', Columns: []schema.Column{col("line", hash.Text)}},
		}
		tables[table].Triggers = true
		tables[table].Fires = []schema.Trigger{{Schema: "public", Function: function, Language: language, Body: body, When: when}}
		if table != "payments" { // what is written by a trigger has one, too
			tables["payments"].Triggers = true
			tables["payments"].Fires = []schema.Trigger{{
				Schema: "public", Function: "back", Language: "plpgsql", When: row,
				Body: "BEGIN UPDATE users SET email = 'paid' WHERE id = NEW.user_id; IF NEW.amount < 0 THEN INSERT INTO logs VALUES ('x'); END IF; RETURN NEW; END",
			}}
		}
		list := []*schema.Table{tables["users"], tables["payments"], tables["places"], tables["logs"]}
		r := New(Config{Layout: l, Schema: schema.New(list, []*schema.Function{
			{Schema: "public", Name: "looks", Kind: 'f', Volatility: 'v', Opaque: true},
			{Schema: "pg_catalog", Name: "lower", Kind: 'f', Volatility: 'i'},
			{Schema: "pg_catalog", Name: "count", Kind: 'a', Volatility: 'i'},
			{Schema: "pg_catalog", Name: "now", Kind: 'f', Volatility: 's'},
		})})
		var d Decision
		return r.Route(&d, sql, &Session{Hint: NoHint()}, nil)
	}
	const insert, update = "INSERT INTO users VALUES (5, 'a', 1)", "UPDATE users SET email = 'x'"
	before := row | schema.TriggerBefore
	for _, x := range []struct {
		table, body string
		when        int
		sql, want   string
	}{
		{"users", "BEGIN NEW.email := lower(NEW.email); RETURN NEW; END", before, insert, ""},
		{"users", "BEGIN NEW.country := now(); RETURN NEW; END", before, update, ""},
		{"users", "BEGIN NEW.id := 7; RETURN NEW; END", before, insert, "may change the sharding key"},
		{"users", "BEGIN NEW.id = NEW.id + 1; RETURN NEW; END", before, insert, "may change the sharding key"},
		{"users", "BEGIN IF NEW.id = 1 THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END", before, insert, ""},
		{"users", "BEGIN SELECT 1, 2 INTO NEW.email, NEW.id; RETURN NEW; END", before, insert, "may change the sharding key"},
		{"users", "BEGIN NEW := r; RETURN NEW; END", before, insert, "may change the sharding key"},
		{"users", "DECLARE r users; BEGIN r := NEW; r.id := 3; RETURN r; END", before, update, "may change the sharding key"},
		{"users", "BEGIN NEW.id := 7; RETURN NULL; END", row, insert, ""}, // which is not heeded after it
		{"users", "BEGIN NEW.id := 7; RETURN NEW; END", before, "DELETE FROM users", ""},
		{"users", "BEGIN GET DIAGNOSTICS NEW.id = ROW_COUNT; RETURN NEW; END", before, insert, "may change the sharding key"},
		{"users", "BEGIN GET CURRENT DIAGNOSTICS n = ROW_COUNT, NEW.id = ROW_COUNT; RETURN NEW; END", before, insert, "may change the sharding key"},
		{"users", "BEGIN FOR NEW IN SELECT 7, 'x', 1 LOOP EXIT; END LOOP; RETURN NEW; END", before, insert, "may change the sharding key"},
		{"users", "BEGIN FOREACH NEW.id IN ARRAY ARRAY[7] LOOP EXIT; END LOOP; RETURN NEW; END", before, insert, "may change the sharding key"},
		{"users", "BEGIN CALL moves(NEW.id); RETURN NEW; END", before, insert, "may "},
		{"users", "BEGIN NEW.id := 7; PERFORM 1 FROM payments WHERE user_id = NEW.id; RETURN NULL; END", row, insert, "rows of payments"},
		{"users", "BEGIN SELECT 7 INTO OLD.id; PERFORM 1 FROM payments WHERE user_id = OLD.id; RETURN NULL; END", row, update, "rows of payments"},
		{"users", "BEGIN FOR NEW IN SELECT 7, 'x', 1 LOOP PERFORM 1 FROM payments WHERE user_id = NEW.id; END LOOP; RETURN NULL; END", row, insert, "rows of payments"},
		{"users", "DECLARE new record; BEGIN PERFORM 1 FROM payments WHERE user_id = NEW.id; RETURN NULL; END", row, insert, "rows of payments"},
		{"users", "BEGIN UPDATE payments SET user_id = 5 WHERE user_id = NEW.id; RETURN NULL; END", row, insert, "rows of payments"},
		{"users", `BEGIN "new".id := 7; RETURN NEW; END`, before, insert, "may change the sharding key"},
		{"users", "BEGIN OLD.id := 7; RETURN OLD; END", before, update, "may change the sharding key"},
		{"users", "BEGIN INSERT INTO logs VALUES (NEW.email); RETURN NEW; END", row, insert, "only one shard's copy"},
		{"users", "BEGIN INSERT INTO logs VALUES (NEW.email); RETURN NEW; END", row &^ schema.TriggerInsert, insert, ""},
		{"users", "BEGIN INSERT INTO logs VALUES (NEW.email); RETURN NEW; END", row, "/* pgdog_shard: 1 */ " + insert, ""},
		{"users", "BEGIN DELETE FROM public.logs; RETURN NEW; END", stmt, insert, "only one shard's copy"},
		{"users", "BEGIN UPDATE logs SET line = ''; RETURN NEW; END", row, "DELETE FROM users WHERE id = 4", "only one shard's copy"},
		{"users", "BEGIN IF EXISTS (SELECT FROM logs) THEN RETURN NULL; END IF; RETURN NEW; END", before, insert, ""},
		{"users", "BEGIN IF (SELECT count(*) FROM users) > 9 THEN RETURN NULL; END IF; RETURN NEW; END", before, insert, "rows of users"},
		{"users", "DECLARE n int; BEGIN SELECT count(*) INTO n FROM payments WHERE user_id = NEW.id; RETURN NEW; END", row, update, ""},
		{"users", "DECLARE n int; BEGIN SELECT count(*) INTO n FROM payments WHERE user_id = NEW.country; RETURN NEW; END", row, update, "rows of payments"},
		{"users", "BEGIN PERFORM 1 FROM payments p JOIN users u ON p.user_id = u.id WHERE u.id = OLD.id AND u.email = OLD.email; RETURN OLD; END", row, update, ""},
		{"users", "BEGIN DELETE FROM payments WHERE user_id = 5; RETURN OLD; END", row, "DELETE FROM users", "rows of payments"},
		{"users", "BEGIN PERFORM 1 FROM payments WHERE user_id = NEW.id OR true; RETURN NEW; END", row, insert, "rows of payments"},
		{"users", "BEGIN PERFORM 1 FROM payments WHERE user_id = NEW.id; PERFORM 1 FROM payments; RETURN NEW; END", row, insert, "rows of payments"},
		{"users", "BEGIN EXECUTE 'DELETE FROM payments'; RETURN NEW; END", row, insert, "rows of payments"},
		{"users", "BEGIN EXECUTE format('INSERT INTO %I VALUES (1)', TG_ARGV[0]); RETURN NEW; END", row, insert, "name is computed"},
		{"users", "BEGIN PERFORM looks(NEW.id); RETURN NEW; END", row, insert, "calls function looks"},
		{"users", "BEGIN UPDATE payments SET amount = 1 WHERE user_id = NEW.id; RETURN NEW; END", row, insert, "rows of payments"}, // its own trigger writes logs
		{"payments", "BEGIN UPDATE users SET country = country + 1 WHERE id = NEW.user_id; RETURN NEW; END", row, "INSERT INTO payments VALUES (1, 2, 3)", ""},
		{"payments", "BEGIN UPDATE users SET country = country + 1 WHERE id = NEW.id; RETURN NEW; END", row, "INSERT INTO payments VALUES (1, 2, 3)", "rows of users"},
		{"payments", "BEGIN INSERT INTO payments VALUES (NEW.id, NEW.user_id, 0); RETURN NULL; END", row, "COPY payments FROM STDIN", ""},
		{"payments", "BEGIN INSERT INTO payments VALUES (NEW.user_id, NEW.id, 0); RETURN NULL; END", row, "COPY payments FROM STDIN", "rows of payments"},
		{"places", "BEGIN UPDATE places SET name = 'x' WHERE code = NEW.code; RETURN NULL; END", row, "INSERT INTO places VALUES ('a', 'b')", ""},
		{"logs", "BEGIN NEW.line := lower(NEW.line); RETURN NEW; END", before, "INSERT INTO logs VALUES ('a')", ""},
		{"logs", "BEGIN NEW.line := now(); RETURN NEW; END", before, "UPDATE logs SET line = 'a'", "another value of now"},
		{"logs", "BEGIN INSERT INTO users VALUES (1); RETURN NEW; END", row, "INSERT INTO logs VALUES ('a')", "rows of users"},
		{"logs", "BEGIN DELETE FROM logs; RETURN NEW; END", schema.TriggerTruncate, "TRUNCATE users, logs", ""},
		{"users", "BEGIN DELETE FROM logs; RETURN NULL; END", schema.TriggerTruncate, "TRUNCATE users", "only one shard's copy"},
		{"users", "BEGIN DELETE FROM logs; RETURN NULL; END", row, "WITH d AS (DELETE FROM users RETURNING id) SELECT count(*) FROM d", "only one shard's copy"},
		{"users", "BEGIN DELETE FROM logs; RETURN NULL; END", row &^ schema.TriggerDelete, "MERGE INTO users u USING payments p ON u.id = p.user_id WHEN MATCHED THEN DELETE", ""},
		{"users", "BEGIN DELETE FROM logs; RETURN NULL; END", row, "MERGE INTO users u USING payments p ON u.id = p.user_id WHEN MATCHED THEN DELETE", "only one shard's copy"},
	} {
		err := route(x.table, "f", "plpgsql", x.body, x.when, x.sql)
		if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%s, %s: %v, want %q", x.body, x.sql, err, x.want)
		}
	}
	const writes = "BEGIN DELETE FROM logs; RETURN NULL; END"
	for _, x := range []struct {
		function, language string
		refused            bool
	}{{"trusted", "plpgsql", false}, {"f", "c", false}, {"f", "internal", false}, {"f", "plpython3u", true}} {
		if err := route("users", x.function, x.language, writes, row, insert); (err != nil) != x.refused {
			t.Errorf("%s in %s: %v", x.function, x.language, err)
		}
	}
}
