package route

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

func route1(t *testing.T, r *Router, sql string, s *Session, b *Binding) *Decision {
	t.Helper()
	var d Decision
	if err := r.Route(&d, sql, s, b); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return &d
}

// TestFormats gives one key in all the ways in which it can arrive.
func TestFormats(t *testing.T) {
	r := testRouter(t)
	s := &Session{Hint: NoHint()}
	want := route1(t, r, "SELECT * FROM users WHERE id = 77", s, nil).Shards
	for name, b := range map[string]*Binding{
		"text":        {Values: [][]byte{[]byte("77")}},
		"int8 binary": {Values: [][]byte{{0, 0, 0, 0, 0, 0, 0, 77}}, Formats: []int16{1}, Types: []hash.OID{hash.Int8}},
		"int4 binary": {Values: [][]byte{{0, 0, 0, 77}}, Formats: []int16{1}, Types: []hash.OID{hash.Int4}},
		"int2 binary": {Values: [][]byte{{0, 77}}, Formats: []int16{1}, Types: []hash.OID{hash.Int2}},
		"undeclared":  {Values: [][]byte{{0, 0, 0, 0, 0, 0, 0, 77}}, Formats: []int16{1}},
	} {
		if got := route1(t, r, "SELECT * FROM users WHERE id = $1", s, b).Shards; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	array := []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 77}
	d := route1(t, r, "SELECT * FROM users WHERE id = ANY($1)", s, &Binding{Values: [][]byte{array}, Formats: []int16{1}, Types: []hash.OID{1016}})
	if d.Shards != want {
		t.Errorf("array: %v, want %v", d.Shards, want)
	}
	// What cannot be understood goes everywhere, and the server complains.
	if d := route1(t, r, "SELECT * FROM users WHERE id = $1", s, &Binding{Values: [][]byte{[]byte("x")}}); d.Shards.Len() != 3 {
		t.Errorf("a bad key: %v", d.Shards)
	}
	var e *wire.Error
	err := r.Route(d, "INSERT INTO users (id) VALUES ($1)", s, &Binding{Values: [][]byte{[]byte("x")}})
	if !errors.As(err, &e) || e.Code != wire.CodeInvalidTextRepresentation {
		t.Errorf("inserting a bad key: %v", err)
	}
}

// TestRoles checks reads and writes under both strategies.
func TestRoles(t *testing.T) {
	conservative := testRouter(t)
	aggressive := New(Config{Layout: testLayout(t), Schema: testSchema(), Aggressive: true})
	for _, tt := range []struct {
		sql        string
		s          Session
		role       Role
		aggressive Role
	}{
		{"SELECT 1", Session{}, Replica, Replica},
		{"SELECT 1", Session{InTransaction: true}, Primary, Replica},
		{"SELECT 1", Session{InTransaction: true, Started: true}, Primary, Primary},
		{"SELECT 1", Session{InTransaction: true, Started: true, OnReplica: true}, Primary, Replica},
		{"SELECT 1", Session{InTransaction: true, ReadOnly: true}, Replica, Replica},
		{"BEGIN READ ONLY", Session{}, Replica, Replica},
		{"START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", Session{}, Replica, Replica},
		{"BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", Session{}, Primary, Primary},
		{"SELECT nextval('s')", Session{}, Primary, Primary},
		{"SELECT random()", Session{}, Replica, Replica},
		{"/* pgdog_shard: 0 */ SELECT w(1)", Session{}, Primary, Primary},
		{"SELECT * FROM users WHERE id = 1 FOR SHARE", Session{}, Primary, Primary},
		{"WITH x AS (INSERT INTO users (id) VALUES (1) RETURNING id) SELECT 1", Session{}, Primary, Primary},
		{"/* pgdog_role: replica */ UPDATE users SET email = '' WHERE id = 1", Session{}, Replica, Replica},
		{"EXPLAIN DELETE FROM users WHERE id = 1", Session{}, Replica, Replica},
		{"EXPLAIN ANALYZE DELETE FROM users WHERE id = 1", Session{}, Primary, Primary},
	} {
		tt.s.Hint = NoHint()
		for i, r := range []*Router{conservative, aggressive} {
			var d Decision
			err := r.Route(&d, tt.sql, &tt.s, nil)
			if want := []Role{tt.role, tt.aggressive}[i]; (err == nil || strings.HasPrefix(tt.sql, "WITH")) && err == nil && d.Role != want {
				t.Errorf("%s %+v: %v, want %v", tt.sql, tt.s, d.Role, want)
			}
		}
	}
}

// TestHints checks the order of comment, SET and nothing.
func TestHints(t *testing.T) {
	r := testRouter(t)
	h := NoHint()
	if known, err := h.Set("pgdog.shard", "1"); !known || err != nil {
		t.Fatal(known, err)
	}
	s := &Session{Hint: h}
	if d := route1(t, r, "SELECT * FROM users", s, nil); d.Shards != sharding.One(1) {
		t.Errorf("SET: %v", d.Shards)
	}
	if d := route1(t, r, "/* pgdog_shard: 2 */ SELECT * FROM users", s, nil); d.Shards != sharding.One(2) {
		t.Errorf("comment: %v", d.Shards)
	}
	if d := route1(t, r, "SELECT * FROM users -- pgdog_role: primary", s, nil); d.Role != Primary || d.Shards != sharding.One(1) {
		t.Errorf("role by comment, shard by SET: %v %v", d.Role, d.Shards)
	}
	for _, bad := range [][2]string{{"pgdog.shard", "x"}, {"pgdog.shard", "-1"}, {"pgdog.role", "boss"}} {
		if known, err := h.Set(bad[0], bad[1]); !known || err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
	if known, _ := h.Set("work_mem", "1"); known {
		t.Error("work_mem is no hint")
	}
	if d := route1(t, r, "SELECT 'pgdog_shard: 2' FROM users WHERE id = 5", &Session{Hint: NoHint()}, nil); d.Shards.Len() != 1 || d.Why == "named by hand" {
		t.Errorf("a string is no comment: %v %s", d.Shards, d.Why)
	}
}

// TestPath checks that a plan of one search_path is not used under another.
func TestPath(t *testing.T) {
	r := testRouter(t)
	sql := "SELECT * FROM things"
	if d := route1(t, r, sql, &Session{Hint: NoHint(), Path: []string{"one"}}, nil); d.Shards != sharding.One(1) || d.Any {
		t.Errorf("one: %v", d.Shards)
	}
	if d := route1(t, r, sql, &Session{Hint: NoHint()}, nil); !d.Any {
		t.Errorf("public: %v", d.Shards)
	}
}

// TestPins checks that literals which are part of a plan are not taken from another.
func TestPins(t *testing.T) {
	r := testRouter(t)
	s := &Session{Hint: NoHint()}
	for i, sql := range []string{"SELECT id, email FROM users ORDER BY 1", "SELECT id, email FROM users ORDER BY 2"} {
		if d := route1(t, r, sql, s, nil); int(d.Merge.Order[0].Column) != i {
			t.Errorf("%s: column %d", sql, d.Merge.Order[0].Column)
		}
	}
	one := route1(t, r, "SELECT country + 1, count(*) FROM users GROUP BY country + 1", s, nil)
	if one.Merge.Local == nil {
		t.Error("equal expressions are not seen to be")
	}
	var d Decision
	if err := r.Route(&d, "SELECT country + 2, count(*) FROM users GROUP BY country + 1", s, nil); err == nil && d.Merge.Local != nil {
		t.Error("different expressions are taken for equal")
	}
}

// TestCacheBounds checks that the cache stays within its bounds, and that many can use it.
func TestCacheBounds(t *testing.T) {
	r := New(Config{Layout: testLayout(t), Schema: testSchema(), Plans: 20})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			var d Decision
			s := &Session{Hint: NoHint()}
			for i := range 300 {
				sql := fmt.Sprintf("SELECT id AS c%d FROM users WHERE id = %d", (i*7+g)%50, i)
				if i%3 == 0 {
					sql = fmt.Sprintf("SELECT count(*) AS c%d FROM users", (i+g)%40)
				}
				if err := r.Route(&d, sql, s, nil); err != nil {
					t.Error(err)
					return
				}
				if i == 150 && g == 0 {
					r.SetSchema(testSchema())
				}
			}
		})
	}
	wg.Wait()
	var d Decision
	for id := range 2 { // the goroutines may, by their order, have missed each time
		if err := r.Route(&d, fmt.Sprintf("SELECT id AS again FROM users WHERE id = %d", id), &Session{Hint: NoHint()}, nil); err != nil {
			t.Error(err)
		}
	}
	if st := r.Stats(); st.Plans > 20 || st.Evicted == 0 || st.Hits == 0 {
		t.Errorf("%+v", st)
	}
}

// TestUnknownSchema checks that less knowledge means more refusals, not other answers.
func TestUnknownSchema(t *testing.T) {
	r := New(Config{Layout: testLayout(t)})
	s := &Session{Hint: NoHint()}
	want := route1(t, testRouter(t), "SELECT * FROM users WHERE id = 5", s, nil).Shards
	if d := route1(t, r, "SELECT * FROM users WHERE id = 5", s, nil); d.Shards != want {
		t.Errorf("%v, want %v", d.Shards, want)
	}
	var d Decision
	for _, sql := range []string{"INSERT INTO users VALUES (1)", "SELECT a.x FROM users a JOIN payments b ON a.x = b.y", "SELECT email FROM users ORDER BY email"} {
		var e *wire.Error
		if err := r.Route(&d, sql, s, nil); !errors.As(err, &e) || e.Code != wire.CodeFeatureNotSupported || e.Hint == "" {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestSplit(t *testing.T) {
	sql := "/* a */ SELECT 1; ; SELECT ';' -- x\n ; COMMIT"
	parts, err := Split(sql)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range parts {
		got = append(got, strings.TrimSpace(sql[p.From:p.To]))
	}
	if want := "/* a */ SELECT 1|; SELECT ';' -- x|COMMIT"; strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
}

func TestArguments(t *testing.T) {
	p, err := testRouter(t).Prepare("EXECUTE p (5, -6, 'a''b', NULL)", &Session{Hint: NoHint()})
	if err != nil {
		t.Fatal(err)
	}
	values, ok := p.Arguments("EXECUTE p (7, -8, 'c''d', NULL)")
	if !ok || len(values) != 4 || string(values[0]) != "7" || string(values[1]) != "-8" || string(values[2]) != "c'd" || values[3] != nil {
		t.Errorf("%q %v", values, ok)
	}
	if _, ok := p.Arguments("EXECUTE p (1 + 1)"); ok {
		t.Error("an expression is no literal")
	}
}

// TestLookup checks that a lookup table's query is asked for, and its result used.
func TestLookup(t *testing.T) {
	l, err := sharding.Compile(sharding.Config{Shards: 3, Tables: []sharding.Table{
		{Name: "docs", Columns: []string{"tenant"}, Types: []hash.OID{hash.Text}, LookupQuery: "SELECT shard FROM tenants WHERE name = $1"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := New(Config{Layout: l, Schema: schema.New(nil, nil)})
	var d Decision
	var need *sharding.NeedLookup
	err = r.Route(&d, "SELECT * FROM docs WHERE tenant = 'a'", &Session{Hint: NoHint()}, nil)
	if !errors.As(err, &need) || string(need.Value) != "a" {
		t.Fatalf("%v", err)
	}
	b := &Binding{Lookups: lookups{"a": "2"}}
	if d := route1(t, r, "SELECT * FROM docs WHERE tenant = 'a'", &Session{Hint: NoHint()}, b); d.Shards != sharding.One(2) {
		t.Errorf("%v", d.Shards)
	}
}

type lookups map[string]string

func (l lookups) Lookup(_ string, value []byte) ([]byte, bool) {
	v, ok := l[string(value)]
	return []byte(v), ok
}

// TestMove checks an UPDATE of the sharding key.
func TestMove(t *testing.T) {
	r := testRouter(t)
	d := route1(t, r, "UPDATE users AS u SET id = id + 1, email = 'x' WHERE u.id = 5", &Session{Hint: NoHint()}, nil)
	want := `DELETE FROM users AS u WHERE u.id = 5 RETURNING ( id + 1 ), ( 'x' ), u."country", u."code"`
	if d.Plan.Move == nil || strings.Join(strings.Fields(d.SQL), " ") != want {
		t.Errorf("%s", d.SQL)
	}
	if at := d.Plan.Move.KeyAt; len(at) != 1 || at[0] != 0 {
		t.Errorf("%v", at)
	}
}
