package scatter_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestExplainShards explains statements of several shards: there is a plan of each, ANALYZE
// carries the statement out, once, and without it nothing happens.
func TestExplainShards(t *testing.T) {
	srv := startServer(t)
	f := newFleet(t, srv, "ex", 3, nil)
	c := f.connect()
	pg := c.PgConn()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text, n int DEFAULT 0)")
	mustExec(t, c, "CREATE TABLE payments (id bigint, user_id bigint, amount numeric)")
	mustExec(t, c, "CREATE TABLE countries (id int PRIMARY KEY, name text, at timestamptz DEFAULT now())")
	mustExec(t, c, "CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
	mustExec(t, c, "PREPARE above(bigint) AS SELECT * FROM users WHERE id > $1")

	const state = "SELECT count(*), coalesce(sum(id), 0), coalesce(sum(n), 0), (SELECT count(*) FROM payments), (SELECT count(*) FROM countries) FROM users"
	reset := func() {
		mustExec(t, c, "TRUNCATE users, payments, countries")
		mustExec(t, c, "INSERT INTO users SELECT g, 'e' || g FROM generate_series(1, 50) g")
	}
	tests := []struct {
		sql    string
		shards int  // plans of shards; 0: it goes in steps, of which no server makes a plan
		finish bool // what the shards return is finished by one
	}{
		{sql: "SELECT * FROM users", shards: 3},
		{sql: "SELECT * FROM users ORDER BY email DESC LIMIT 2 OFFSET 1", shards: 3},
		{sql: "SELECT n, count(*) FROM users GROUP BY n", shards: 3},
		{sql: "SELECT count(DISTINCT email) FROM users", shards: 3, finish: true},
		{sql: "SELECT * FROM users u JOIN payments p ON p.id = u.n", shards: 6, finish: true},
		{sql: "INSERT INTO users VALUES (100), (101), (102), (103), (104), (105), (106), (107), (108), (109), (110), (111), (112), (113), (114), (115)", shards: 3},
		{sql: "INSERT INTO countries VALUES (1, 'x')", shards: 0},
		{sql: "INSERT INTO countries VALUES (1, 'x', '2020-01-01')", shards: 3},
		{sql: "UPDATE users SET n = n + 1", shards: 3},
		{sql: "UPDATE users SET n = n + 1 WHERE id < 20 RETURNING *", shards: 3},
		{sql: "UPDATE users SET id = id + 1000", shards: 0},
		{sql: "UPDATE users SET id = 1000 WHERE id = 5", shards: 0},
		{sql: "DELETE FROM users", shards: 3},
		{sql: "INSERT INTO payments SELECT 7, id, 1 FROM users", shards: 3},
		{sql: "INSERT INTO payments SELECT id, id + 1, 1 FROM users", shards: 0},
		{sql: "WITH w AS (DELETE FROM users WHERE id < 10 RETURNING *) INSERT INTO payments SELECT id, n, 1 FROM w", shards: 0},
		{sql: "EXECUTE above(7)", shards: 3},
	}
	for _, m := range []mode{simpleMode, textMode, binaryMode} {
		for _, test := range tests {
			t.Run(fmt.Sprintf("%s/%v", test.sql, m), func(t *testing.T) {
				reset()
				before := ask(t.Context(), pg, simpleMode, state)
				if o := ask(t.Context(), pg, m, "EXPLAIN "+test.sql); o.err != nil || len(o.rows) < 1 || o.tag != "EXPLAIN" {
					t.Fatalf("%v %v", o.rows, o.err)
				}
				if o := ask(t.Context(), pg, m, "EXPLAIN (ANALYZE off, FORMAT yaml) "+test.sql); o.err != nil || len(o.rows) != 1 {
					t.Fatalf("%v %v", o.rows, o.err)
				}
				if got := ask(t.Context(), pg, simpleMode, state); got.rows[0] != before.rows[0] {
					t.Fatalf("EXPLAIN has made %v of %v", got.rows, before.rows)
				}
				sql := test.sql
				if m == simpleMode {
					sql = strings.Replace(sql, "EXECUTE above(7)", "SELECT * FROM users WHERE id > 7", 1)
				}
				if o := ask(t.Context(), pg, m, sql); o.err != nil {
					t.Fatal(o.err)
				}
				after := ask(t.Context(), pg, simpleMode, state)
				for _, format := range []string{"text", "json", "xml", "yaml"} {
					reset()
					o := ask(t.Context(), pg, m, "EXPLAIN (ANALYZE, BUFFERS, FORMAT "+format+") "+test.sql)
					if o.err != nil || o.tag != "EXPLAIN" || len(o.fields) != 1 || !strings.HasPrefix(o.fields[0], "QUERY PLAN ") {
						t.Fatalf("%s: %v %v", format, o, o.err)
					}
					if got := ask(t.Context(), pg, simpleMode, state); got.rows[0] != after.rows[0] {
						t.Errorf("%s: EXPLAIN ANALYZE has made %v, the statement %v", format, got.rows, after.rows)
					}
					if pg.TxStatus() != 'I' {
						t.Fatalf("%s: a transaction is left open", format)
					}
					doc := unquoted(t, o.rows)
					title, finish := "Shard ", "Finish"
					if test.finish {
						title = "on shard "
					}
					n := strings.Count(doc, title)
					if test.finish {
						n-- // that of the finish
					}
					if strings.Contains(doc, finish) != test.finish || test.shards > 0 && n != test.shards || test.shards == 0 && !strings.Contains(doc, "Steps on shard") {
						t.Errorf("%s: %d plans of shards, want %d:\n%s", format, n, test.shards, doc)
					}
					switch format {
					case "json":
						var v []struct{ Plan map[string]any }
						if err := json.Unmarshal([]byte(doc), &v); err != nil || len(v) != 1 {
							t.Errorf("%v:\n%s", err, doc)
						}
						plans, _ := v[0].Plan["Plans"].([]any)
						if len(plans) != test.shards {
							t.Errorf("%d nodes below ours, want %d", len(plans), test.shards)
						}
						for _, p := range plans {
							node := p.(map[string]any)
							if _, ok := node["Execution Time"].(float64); !ok || len(node["Plans"].([]any)) != 1 {
								t.Errorf("a shard's node is %v", node)
							}
						}
					case "xml":
						d, depth, nodes := xml.NewDecoder(strings.NewReader(doc)), 0, 0
						for {
							tok, err := d.Token()
							if errors.Is(err, io.EOF) {
								break
							}
							if err != nil {
								t.Fatalf("%v:\n%s", err, doc)
							}
							switch tok := tok.(type) {
							case xml.StartElement:
								if depth++; tok.Name.Local == "Plan" && depth == 5 {
									nodes++ // explain, Query, Plan, Plans, Plan
								}
							case xml.EndElement:
								depth--
							}
						}
						if nodes != test.shards {
							t.Errorf("%d nodes below ours, want %d:\n%s", nodes, test.shards, doc)
						}
					case "yaml":
						var v []struct {
							Plan struct {
								Plans []struct {
									Plans []map[string]any     `yaml:"Plans"`
									More  map[string]yaml.Node `yaml:",inline"`
								} `yaml:"Plans"`
							} `yaml:"Plan"`
						}
						if err := yaml.Unmarshal([]byte(doc), &v); err != nil || len(v) != 1 || len(v[0].Plan.Plans) != test.shards {
							t.Fatalf("%v, want %d nodes below ours:\n%s", err, test.shards, doc)
						}
						for _, p := range v[0].Plan.Plans {
							if _, ok := p.More["Execution Time"]; !ok || len(p.Plans) != 1 || p.Plans[0]["Node Type"] == nil {
								t.Errorf("a shard's node has %v and %v:\n%s", p.More, p.Plans, doc)
							}
						}
					}
				}
			})
		}
	}
	// What fails leaves nothing behind.
	reset()
	for _, sql := range []string{"EXPLAIN ANALYZE INSERT INTO users VALUES (200), (201), (202), (203), (1)", "EXPLAIN ANALYZE UPDATE users SET n = 1 / (id - 30)"} {
		if o := ask(t.Context(), pg, simpleMode, sql); o.code != "23505" && o.code != "22012" {
			t.Errorf("%s: %v", sql, o.err)
		}
	}
	if o := ask(t.Context(), pg, simpleMode, state); o.rows[0] != `"50"|"1275"|"0"|"0"|"0"|` {
		t.Errorf("what failed left %v", o.rows)
	}
	for _, x := range []struct{ sql, code string }{
		{"EXPLAIN (FOO) SELECT * FROM users", "42601"},
		{"EXPLAIN EXECUTE nothing", "26000"},
		{"EXPLAIN SELECT nothing FROM users", "42703"},
		{"EXPLAIN (ANALYZE", "42601"},
		{"EXPLAIN (FORMAT nothing) SELECT * FROM users", "22023"},
	} {
		if o := ask(t.Context(), pg, simpleMode, x.sql); o.code != x.code {
			t.Errorf("%s: %v, want %s", x.sql, o.err, x.code)
		}
	}
}

// unquoted joins the rows of one column that ask has quoted.
func unquoted(t *testing.T, rows []string) string {
	var out []string
	for _, r := range rows {
		var s string
		if _, err := fmt.Sscanf(strings.TrimSuffix(r, "|"), "%q", &s); err != nil {
			t.Fatalf("%s: %v", r, err)
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}
