package shards_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A house is a proxy over three databases of one server, in which the numbers of types and
// tables differ.
type house struct {
	t       *testing.T
	dir     string // of the socket
	srv     engines.Server
	cluster *shards.Cluster
	px      *proxy.Proxy
	pick    shards.Pick
	layout  *sharding.Layout
	directs [houseShards]*pgx.Conn

	mu      sync.Mutex
	notices []string
}

// told are the notices that clients have had since it was last asked.
func (h *house) told() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := strings.Join(h.notices, "\n")
	h.notices = nil
	return out
}

const houseShards = 3

func houseLayout() sharding.Config {
	return sharding.Config{Shards: houseShards, Tables: []sharding.Table{{Name: "users", Columns: []string{"id"}}, {Name: "payments", Columns: []string{"user_id"}}}}
}

func newHouse(t *testing.T, schema string, config func(*shards.Config)) *house {
	t.Helper()
	ctx := t.Context()
	h := &house{t: t, dir: t.TempDir()}
	var err error
	h.srv, err = native.New(native.DefaultConfig()).Start(ctx, engines.Spec{Fast: true, Params: map[string]string{"max_prepared_transactions": "20"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.srv.Close(context.Background()) })
	root, err := engines.Connect(ctx, h.srv, "")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close(ctx)
	loops := newLoops(t)
	var pools []*pool.Pool
	for i := range houseShards {
		name := fmt.Sprint("shard", i)
		mustExec(t, root, "CREATE DATABASE "+name)
		c := h.direct(i)
		for n := range 7 * i {
			mustExec(t, c, fmt.Sprintf("CREATE TYPE noise%d AS ENUM ('x'); DROP TYPE noise%d", n, n))
		}
		if schema != "" {
			mustExec(t, c, schema)
		}
		p := pool.New(&pool.Backend{ID: i, Name: name, Shard: i, Dial: h.srv.Dial, Login: pool.Credentials{User: h.srv.Info().User, Database: name}}, pool.Config{Size: 10, Loops: loops}, nil)
		t.Cleanup(func() { p.Close(context.Background()) })
		pools = append(pools, p)
	}
	h.pick = func(_ context.Context, shard int, _ route.Role) (*pool.Pool, error) { return pools[shard], nil }
	ids, err := scatter.NewUniqueIDs(scatter.StandardIDs(), 5, 0)
	if err != nil {
		t.Fatal(err)
	}
	cfg := shards.Config{
		Name: "d", IDs: ids, Pick: h.pick,
		Layout: houseLayout(),
	}
	if loops != nil {
		cfg.Ready = func(shard int, role route.Role) *pool.Pool {
			p, err := cfg.Pick(ctx, shard, role) // which config may have changed; it does not wait
			if err != nil {
				return nil
			}
			return p
		}
	}
	if config != nil {
		config(&cfg)
	}
	if h.layout, err = sharding.Compile(cfg.Layout); err != nil {
		t.Fatal(err)
	}
	if h.cluster, err = shards.Open(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.cluster.Close() })
	px, err := proxy.New(proxy.Config{Auth: pgserver.Trust(), Loops: loops, Lookup: func(context.Context, proxy.Client) (*proxy.Database, error) { return h.cluster.Database, nil }})
	if err != nil {
		t.Fatal(err)
	}
	h.px = px
	ln, err := net.Listen("unix", filepath.Join(h.dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, px, ln)
	return h
}

// serve serves clients until the test ends.
func serve(t *testing.T, px *proxy.Proxy, ln net.Listener) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- px.Serve(context.Background(), ln) }()
	t.Cleanup(func() {
		limited, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		_ = px.Shutdown(limited)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// connect is a client of the proxy, whose notices are kept.
func (h *house) connect() *pgx.Conn {
	h.t.Helper()
	cfg, err := pgx.ParseConfig(fmt.Sprintf("host=%s user=u dbname=d sslmode=disable", h.dir))
	if err != nil {
		h.t.Fatal(err)
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.notices = append(h.notices, n.Message)
	}
	c, err := pgx.ConnectConfig(h.t.Context(), cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// direct is a client of a shard, always the same one.
func (h *house) direct(shard int) *pgx.Conn {
	h.t.Helper()
	if c := h.directs[shard]; c != nil {
		return c
	}
	c, err := engines.Connect(h.t.Context(), h.srv, fmt.Sprint("shard", shard))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close(context.Background()) })
	h.directs[shard] = c
	return c
}

func mustExec(t testing.TB, c *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := c.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func one[T any](t testing.TB, c *pgx.Conn, sql string, args ...any) (v T) {
	t.Helper()
	if err := c.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func all[T any](t testing.TB, c *pgx.Conn, sql string, args ...any) []T {
	t.Helper()
	rows, err := c.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// refused runs a statement that must fail with a code, and a message that has words.
func refused(t testing.TB, c *pgx.Conn, code, words, sql string, args ...any) {
	t.Helper()
	_, err := c.Exec(t.Context(), sql, args...)
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || e.Code != code || !strings.Contains(e.Message+" "+e.Detail, words) {
		t.Errorf("%s: %v, want %s and %q", sql, err, code, words)
	}
}

const demoSchema = `CREATE TABLE users (id bigint PRIMARY KEY, email text);
CREATE TABLE payments (id bigint PRIMARY KEY, user_id bigint, amount numeric);
CREATE TABLE countries (id bigint PRIMARY KEY, name text, made timestamptz DEFAULT now())`

// TestPrimaryKeys puts unique ids into INSERTs without the primary key, in every form.
func TestPrimaryKeys(t *testing.T) { transports(t, testPrimaryKeys) }

func testPrimaryKeys(t *testing.T) {
	h := newHouse(t, demoSchema, func(c *shards.Config) { c.Route.PrimaryKey = route.PrimaryUnique })
	c := h.connect()
	mustExec(t, c, "INSERT INTO users (email) VALUES ('a'), ($1), (lower('C'))", "b")
	mustExec(t, c, "INSERT INTO users (email) VALUES ('d') RETURNING id", pgx.QueryExecModeSimpleProtocol)
	mustExec(t, c, "INSERT INTO payments (user_id, amount) VALUES (7, 1.5), (8, 2)")
	mustExec(t, c, "INSERT INTO payments (amount, user_id) VALUES ($2, $1)", 9, 3)
	mustExec(t, c, "INSERT INTO countries (name) VALUES ('x'), ('y')")
	mustExec(t, c, "INSERT INTO payments (user_id, amount) SELECT user_id, amount + 1 FROM payments")
	mustExec(t, c, "PREPARE p AS INSERT INTO users (email) VALUES ($1)")
	mustExec(t, c, "EXECUTE p('e')")
	if n := one[int](t, c, "SELECT count(DISTINCT id) FROM users"); n != 5 {
		t.Errorf("%d users", n)
	}
	if n := one[int](t, c, "SELECT count(DISTINCT id) FROM payments"); n != 6 {
		t.Errorf("%d payments", n)
	}
	for i := range houseShards {
		if got := all[int64](t, h.direct(i), "SELECT id FROM countries ORDER BY id"); len(got) != 2 || i > 0 && got[0] != all[int64](t, h.direct(0), "SELECT id FROM countries ORDER BY id")[0] {
			t.Errorf("shard %d: countries %v", i, got)
		}
		for _, id := range all[int64](t, h.direct(i), "SELECT id FROM users") {
			if email := one[string](t, c, "SELECT email FROM users WHERE id = $1", id); email == "" {
				t.Errorf("user %d of shard %d is not found", id, i)
			}
		}
	}
	var batch pgx.Batch
	for i := range 20 {
		batch.Queue("INSERT INTO users (email) VALUES ($1)", fmt.Sprint(i))
	}
	if err := c.SendBatch(t.Context(), &batch).Close(); err != nil {
		t.Fatal(err)
	}
	if n := one[int](t, c, "SELECT count(DISTINCT id) FROM users"); n != 25 {
		t.Errorf("%d users", n)
	}
	if id := one[string](t, c, "SHOW pgdog.unique_id"); len(id) < 10 {
		t.Errorf("SHOW pgdog.unique_id is %q", id)
	}
	refused(t, c, "0A000", "same number for all", "INSERT INTO payments SELECT pgdog.unique_id(), id, 1 FROM users")
}

// TestPrimaryKeyModes refuses, or leaves alone, what it is told to.
func TestPrimaryKeyModes(t *testing.T) { transports(t, testPrimaryKeyModes) }

func testPrimaryKeyModes(t *testing.T) {
	h := newHouse(t, demoSchema, func(c *shards.Config) { c.Route.PrimaryKey = route.PrimaryRefuse })
	c := h.connect()
	refused(t, c, "0A000", "primary key", "INSERT INTO payments (user_id, amount) VALUES (7, 1.5)")
	mustExec(t, c, "INSERT INTO payments (id, user_id, amount) VALUES (pgdog.unique_id(), 7, 1.5)")
}

// TestShardedSequences installs sequences whose numbers no two shards share, and which are
// where they hash to.
func TestShardedSequences(t *testing.T) { transports(t, testShardedSequences) }

func testShardedSequences(t *testing.T) {
	h := newHouse(t, `CREATE TABLE users (id bigserial PRIMARY KEY, email text);
CREATE TABLE payments (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id bigint, amount numeric); CREATE TABLE later (id bigint PRIMARY KEY, user_id bigint)`, func(c *shards.Config) {
		c.Layout.Tables = append(c.Layout.Tables, sharding.Table{Name: "later", Columns: []string{"user_id"}})
	})
	c := h.connect()
	mustExec(t, c, "INSERT INTO users VALUES (100, 'old')")
	for range 2 {
		list, err := shards.Sequences(t.Context(), h.layout, h.pick)
		if err != nil || len(list) != 3 || list[2].Table != "public.users" || list[2].Least < 100 {
			t.Fatalf("%v %v", list, err)
		}
	}
	if err := h.cluster.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		mustExec(t, c, "INSERT INTO users (email) VALUES ($1)", fmt.Sprint(i))
		mustExec(t, c, "INSERT INTO users VALUES (DEFAULT, 'x'), (DEFAULT, 'y')")
		mustExec(t, c, fmt.Sprintf("INSERT INTO payments (user_id) VALUES (%d), (%d), (%d)", i, i+1, i+2))
	}
	if n := one[int](t, c, "SELECT count(DISTINCT id) FROM users WHERE id >= 100"); n != 91 {
		t.Errorf("%d users", n)
	}
	if n := one[int](t, c, "SELECT count(DISTINCT id) FROM payments"); n != 90 {
		t.Errorf("%d payments", n)
	}
	for i := range houseShards {
		ids := all[int64](t, h.direct(i), "SELECT id FROM users")
		if len(ids) < 10 {
			t.Errorf("shard %d has %d users", i, len(ids))
		}
		for _, id := range ids {
			if n := one[int](t, c, "SELECT count(*) FROM users WHERE id = $1", id); n != 1 {
				t.Errorf("user %d of shard %d is found %d times", id, i, n)
			}
		}
	}
	// By SQL, within a transaction.
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var seq string
	if err := tx.QueryRow(t.Context(), "SELECT pgdog.install_sharded_sequence('public', 'later', 'id')").Scan(&seq); err != nil || seq == "" {
		t.Fatal(seq, err)
	}
	if _, err := tx.Exec(t.Context(), "INSERT INTO later (user_id) VALUES (1), (2), (3), (4), (5), (6)"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := one[int](t, c, "SELECT count(DISTINCT id) FROM later"); n != 6 {
		t.Errorf("%d rows", n)
	}
	refused(t, c, "42703", "does not exist", "SELECT pgdog.install_sharded_sequence('public', 'later', 'nothing')")
}

// TestSchemasThatDiffer tells whoever does DDL of it, and refuses statements on a table that
// is not the same everywhere.
func TestSchemasThatDiffer(t *testing.T) { transports(t, testSchemasThatDiffer) }

func testSchemasThatDiffer(t *testing.T) {
	h := newHouse(t, demoSchema+"; CREATE TABLE things (a int, b int)", nil)
	c := h.connect()
	mustExec(t, h.direct(1), "DROP TABLE things; CREATE TABLE things (b int, a int)")
	mustExec(t, h.direct(2), "DROP TABLE payments")
	mustExec(t, c, "CREATE TABLE more (n int)")
	told := h.told()
	for _, want := range []string{"shard 1: column 1 of table public.things is b integer, not a integer", "shard 2: there is no table public.payments"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not told of: %s", want, told)
		}
	}
	refused(t, c, "55000", "shard 1", "INSERT INTO things VALUES (1, 2)")
	refused(t, c, "55000", "shard 1", "SELECT * FROM things")
	refused(t, c, "55000", "shard 2", "SELECT count(*) FROM payments")
	refused(t, c, "55000", "shard 2", "COPY payments FROM STDIN")
	mustExec(t, c, "/* pgdog_shard: 1 */ DROP TABLE things")
	mustExec(t, c, "/* pgdog_shard: 1 */ CREATE TABLE things (a int, b int)")
	_ = h.told()
	mustExec(t, c, "CREATE TABLE IF NOT EXISTS payments (id bigint PRIMARY KEY, user_id bigint, amount numeric)")
	if told := h.told(); strings.Contains(told, "differ") {
		t.Errorf("told: %s", told)
	}
	mustExec(t, c, "INSERT INTO things VALUES (1, 2)")
	if n := one[int](t, c, "SELECT count(*) FROM payments"); n != 0 {
		t.Errorf("%d payments", n)
	}
}

// TestCatalogs reads catalogs as of one database, and statistics as of all.
func TestCatalogs(t *testing.T) { transports(t, testCatalogs) }

func testCatalogs(t *testing.T) {
	h := newHouse(t, demoSchema+"; CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE feelings (id bigint PRIMARY KEY, m mood)", nil)
	first := h.direct(0)
	want := one[uint32](t, first, "SELECT 'mood'::regtype::oid")
	if other := one[uint32](t, h.direct(1), "SELECT 'mood'::regtype::oid"); other == want {
		t.Fatal("the shards' types have the same numbers, which proves nothing")
	}
	for range 4 {
		c := h.connect()
		for _, sql := range []string{"SELECT 'mood'::regtype::oid", "SELECT oid FROM pg_type WHERE typname = 'mood'", "SELECT atttypid FROM pg_attribute WHERE attrelid = 'feelings'::regclass AND attname = 'm'"} {
			if got := one[uint32](t, c, sql); got != want {
				t.Errorf("%s: %d, want %d", sql, got, want)
			}
		}
		rows, err := c.Query(t.Context(), "SELECT m FROM feelings")
		if err != nil {
			t.Fatal(err)
		}
		if got := rows.FieldDescriptions()[0].DataTypeOID; got != want {
			t.Errorf("RowDescription says %d, want %d", got, want)
		}
		rows.Close()
	}
	c := h.connect()
	if got := all[string](t, c, "SELECT relname FROM pg_class WHERE relname IN ('users', 'payments') ORDER BY 1"); len(got) != 2 {
		t.Errorf("pg_class has %v", got)
	}
	mustExec(t, c, "INSERT INTO users SELECT g, 'x' FROM generate_series(1, 300) g")
	mustExec(t, c, "SELECT count(*) FROM users")
	for i := range houseShards {
		mustExec(t, h.direct(i), "ANALYZE users")
	}
	if got := all[string](t, c, "SELECT DISTINCT datname FROM pg_stat_activity WHERE datname LIKE 'shard%' AND pid = pg_backend_pid() ORDER BY 1"); len(got) != houseShards {
		t.Errorf("pg_stat_activity shows %v", got)
	}
	if got := one[int64](t, c, "SELECT count(*) FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid WHERE s.relname = 'users'"); got != houseShards {
		t.Errorf("pg_stat_user_tables has %d rows for users", got)
	}
	if got := all[string](t, c, "SELECT a.datname FROM pg_stat_activity a JOIN pg_stat_database d ON d.datid = a.datid WHERE a.pid = pg_backend_pid()"); len(got) != houseShards {
		t.Errorf("a join of statistics has %v", got)
	}
}

// TestOmnishardedReads spreads reads over the copies, or does not.
func TestOmnishardedReads(t *testing.T) { transports(t, testOmnishardedReads) }

func testOmnishardedReads(t *testing.T) {
	for _, sticky := range []bool{false, true} {
		h := newHouse(t, demoSchema, func(c *shards.Config) { c.OmniSticky = sticky })
		for i := range houseShards {
			mustExec(t, h.direct(i), "INSERT INTO countries VALUES (1, $1)", fmt.Sprint("shard", i))
		}
		c := h.connect()
		seen := map[string]int{}
		for range 3 * houseShards {
			seen[one[string](t, c, "SELECT name FROM countries")]++
		}
		if want := map[bool]int{false: houseShards, true: 1}[sticky]; len(seen) != want {
			t.Errorf("sticky %v: read from %v", sticky, seen)
		}
		tx, err := c.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		clear(seen)
		for range 5 {
			var name string
			if err := tx.QueryRow(t.Context(), "SELECT name FROM countries").Scan(&name); err != nil {
				t.Fatal(err)
			}
			seen[name]++
		}
		_ = tx.Rollback(t.Context())
		if len(seen) != 1 {
			t.Errorf("a transaction reads from %v", seen)
		}
	}
}

// TestWithoutSchema routes by what the configuration says alone.
func TestWithoutSchema(t *testing.T) { transports(t, testWithoutSchema) }

func testWithoutSchema(t *testing.T) {
	h := newHouse(t, demoSchema, func(c *shards.Config) { c.NoSchema = true })
	c := h.connect()
	mustExec(t, c, "INSERT INTO users (id, email) VALUES (1, 'a')")
	if n := one[int](t, c, "SELECT count(*) FROM users WHERE id = 1"); n != 1 {
		t.Errorf("%d users", n)
	}
	refused(t, c, "0A000", "not known", "INSERT INTO users VALUES (2, 'b')")
}
