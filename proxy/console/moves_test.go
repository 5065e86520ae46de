package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/admin"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/console"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
)

// A town is a proxy in front of a database prod of one shard and an empty one next of three: four databases
// of one server.
type town struct {
	t      *testing.T
	srv    engines.Server
	dir    string // of the proxy's socket
	closes func() // ends the tasks
	said   struct {
		sync.Mutex
		strings.Builder
	}
	config atomic.Pointer[conf.Config]
}

func newTown(t *testing.T, change func(*conf.Config)) *town {
	t.Helper()
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Version: "15", Fast: true, Params: map[string]string{
		"wal_level": "logical", "max_replication_slots": "20", "max_wal_senders": "20", "max_connections": "200", "max_prepared_transactions": "50",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	h := &town{t: t, srv: srv, dir: t.TempDir()}
	cfg := conf.DefaultConfig()
	for i, db := range []string{"old", "new0", "new1", "new2"} {
		h.direct("postgres", "CREATE DATABASE "+db)
		d := conf.Database{Name: "next", Shard: i - 1, Host: srv.Info().Socket, Port: uint16(srv.Info().Port), DatabaseName: db}
		if i == 0 {
			d.Name, d.Shard = "prod", 0
		}
		cfg.Databases = append(cfg.Databases, d)
	}
	cfg.Users = []conf.User{{Name: srv.Info().User, Databases: []string{"prod", "next"}}}
	cfg.ShardedTables = []conf.ShardedTable{{Database: "next", Name: "users", Column: "id"}, {Database: "next", Name: "payments", Column: "user_id"}}
	cfg.General.AuthType = conf.AuthTrust
	cfg.General.ReshardingCopyRetryMinDelay, cfg.General.ReshardingReplicationRetryMinDelay = 10*time.Millisecond, 10*time.Millisecond
	cfg.General.TwoPhaseCommitWALDir = t.TempDir()
	cfg.PgBouncer.AdminUsers = []string{srv.Info().User}
	cfg.General.CutoverTimeout, cfg.General.CheckoutTimeout = 5*time.Minute, 5*time.Minute
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	h.config.Store(&cfg)
	source, err := fleet.FromConfig(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), h), &slog.HandlerOptions{Level: slog.LevelWarn}))
	f := fleet.New(source, log)
	var p *proxy.Proxy
	c := console.New(console.Config{
		Fleet: f, Config: h.config.Load, Log: log,
		Exchange: func(a, b string, check func() error) error {
			if err := check(); err != nil {
				return err
			}
			if err := h.config.Load().Exchangeable(a, b); err != nil {
				return err
			}
			next := h.config.Load().Exchanged(a, b)
			source, err := fleet.FromConfig(next)
			if err != nil {
				return err
			}
			h.config.Store(next)
			f.Exchange(source, func() {
				p.Kick(func(_ uint32, who proxy.Client) bool { return who.Database == a || who.Database == b })
			}, a, b)
			return nil
		},
	})
	p, err = proxy.New(proxy.Config{
		Lookup: c.Lookup, Console: admin.NewConsole(c, "test"), IsConsole: c.IsConsole, Auth: fleet.NewAuth(h.config.Load, true), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Attach(p)
	h.closes = c.Close
	l, err := net.Listen("unix", filepath.Join(h.dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c.Close()
		_ = p.Shutdown(ctx)
		f.Close(ctx)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return h
}

// Write takes what the proxy logs.
func (h *town) Write(p []byte) (int, error) {
	h.said.Lock()
	defer h.said.Unlock()
	return h.said.Builder.Write(p)
}

// direct runs SQL on the server itself.
func (h *town) direct(database string, sql ...string) (out []string) {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.srv.Info().URL(database))
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, s := range sql {
		rows, err := conn.Query(h.t.Context(), s, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			h.t.Fatalf("%s: %v", s, err)
		}
		if out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (string, error) { return fmt.Sprint(r.RawValues()), nil }); err != nil {
			h.t.Fatalf("%s: %v", s, err)
		}
	}
	return out
}

func (h *town) dial(ctx context.Context, database string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig("host=" + h.dir + " sslmode=disable")
	if err != nil {
		return nil, err
	}
	cfg.User, cfg.Database, cfg.DefaultQueryExecMode = h.srv.Info().User, database, pgx.QueryExecModeSimpleProtocol
	return pgx.ConnectConfig(ctx, cfg)
}

// admin runs a command, and returns the rows as text.
func (h *town) admin(sql string) (rows [][]string, err error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Minute)
	defer cancel()
	conn, err := h.dial(ctx, "admin")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	res, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, r := range res[0].Rows {
		var row []string
		for _, v := range r {
			row = append(row, string(v))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// until waits for a task's status and what it is doing.
func (h *town) until(id, status, inner string) {
	h.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; {
		rows, err := h.admin("SHOW TASKS id, status, inner_status, type")
		if err != nil {
			h.t.Fatal(err)
		}
		for _, r := range rows {
			if r[0] == id && strings.HasPrefix(r[1], status) && strings.HasPrefix(r[2], inner) {
				return
			}
			if r[0] == id && strings.HasPrefix(r[1], "failed") && status != "failed" {
				h.t.Fatalf("task %s: %s", id, r[1])
			}
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("task %s is not %s, %s: %v", id, status, inner, rows)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// shops are clients that write through the proxy, each its own rows, and know what they have been told is
// committed.
type shops struct {
	stop  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup
	mu    sync.Mutex
	paid  map[int]bool // payments that were committed; false: it is not known
	ended atomic.Int64 // connections that were
}

func (h *town) write(database string, clients int) *shops {
	s := &shops{stop: make(chan struct{}), paid: map[int]bool{}}
	for c := range clients {
		s.wg.Go(func() {
			var conn *pgx.Conn
			ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
			defer cancel()
			defer func() {
				if conn != nil {
					_ = conn.Close(context.Background())
				}
			}()
			for i := 0; ; i++ {
				select {
				case <-s.stop:
					return
				default:
				}
				if conn == nil {
					var err error
					if conn, err = h.dial(ctx, database); err != nil {
						var pe *pgconn.PgError
						if !errors.As(err, &pe) || pe.Code != "57P01" {
							h.t.Errorf("connect: %v", err)
							return
						}
						conn = nil
						continue
					}
				}
				id := (c+1)*1_000_000 + i
				user := 1 + (c*37+i)%200
				_, err := conn.Exec(ctx, fmt.Sprintf("INSERT INTO payments (id, user_id, amount) VALUES (%d, %d, %d)", id, user, i))
				if err == nil && i%3 == 0 {
					_, err = conn.Exec(ctx, fmt.Sprintf("UPDATE users SET n = n + 1 WHERE id = %d", user))
				}
				var pe *pgconn.PgError
				switch {
				case err == nil:
				case errors.As(err, &pe) && pe.Code == "57P01" || conn.IsClosed():
					s.ended.Add(1)
					_ = conn.Close(context.Background())
					conn = nil
				default:
					h.t.Errorf("client %d: %v", c, err)
					return
				}
				s.mu.Lock()
				s.paid[id] = err == nil
				s.mu.Unlock()
			}
		})
	}
	h.t.Cleanup(s.end)
	return s
}

func (s *shops) end() {
	s.once.Do(func() { close(s.stop) })
	s.wg.Wait()
}

// count is how many payments are known to be committed.
func (s *shops) count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.paid)
}

const townSchema = `CREATE TABLE users (id integer PRIMARY KEY, n bigint NOT NULL DEFAULT 0);
CREATE TABLE payments (id bigint PRIMARY KEY, user_id bigint NOT NULL, amount numeric);
CREATE TABLE plans (name text PRIMARY KEY);
CREATE SEQUENCE numbers;
CREATE MATERIALIZED VIEW prices AS SELECT name, 7 AS price FROM plans WITH NO DATA;
CREATE MATERIALIZED VIEW bounds AS SELECT max(price) FROM prices WITH NO DATA;
CREATE MATERIALIZED VIEW unread AS SELECT name FROM plans WITH NO DATA;
SELECT setval('numbers', 4711);
INSERT INTO users SELECT i FROM generate_series(1, 200) i;
INSERT INTO plans VALUES ('small'), ('large');
REFRESH MATERIALIZED VIEW prices;
REFRESH MATERIALIZED VIEW bounds;
CREATE PUBLICATION moved FOR ALL TABLES`

// rows are a table's of some databases, sorted.
func (h *town) rows(sql string, databases ...string) (out []string) {
	for _, db := range databases {
		out = append(out, h.direct(db, sql)...)
	}
	slices.Sort(out)
	return out
}

func newShards() []string { return []string{"new0", "new1", "new2"} }

// check compares what is on the new shards with what is on the old one, and with what clients were told.
func (h *town) check(s *shops) {
	h.t.Helper()
	for _, sql := range []string{"SELECT id, n FROM users", "SELECT id, user_id, amount FROM payments"} {
		a, b := h.rows(sql, "old"), h.rows(sql, newShards()...)
		if !slices.Equal(a, b) {
			tasks, _ := h.admin("SHOW TASKS")
			slots, _ := h.admin("SHOW REPLICATION_SLOTS")
			h.t.Errorf("%s: %d rows on the old server, %d on the new ones; %v; %v", sql, len(a), len(b), tasks, slots)
		}
	}
	for _, db := range newShards() {
		if n := len(h.rows("SELECT name FROM plans", db)); n != 2 {
			h.t.Errorf("%s has %d plans", db, n)
		}
	}
	have := map[string]bool{}
	for _, r := range h.rows("SELECT id::text FROM payments", newShards()...) {
		have[r] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, known := range s.paid {
		if known && !have[fmt.Sprint([][]byte{[]byte(fmt.Sprint(id))})] {
			h.t.Errorf("payment %d was committed, and is lost", id)
		}
	}
}

// TestReshard moves a database to three shards while clients write through the proxy, rolls that back, and
// does it again.
func TestReshard(t *testing.T) {
	t.Parallel()
	h := newTown(t, nil)
	h.direct("old", townSchema)
	s := h.write("prod", 4)
	rows, err := h.admin("RESHARD prod next moved my_slot")
	if err != nil || len(rows) != 1 || rows[0][1] != "my_slot" {
		t.Fatalf("%v, %v", rows, err)
	}
	h.until(rows[0][0], "finished", "")
	h.until("2", "running", "replicating") // the way back
	more := func() {
		n := s.count()
		if !settled(func() bool { return s.count() >= n+100 }) {
			t.Fatal("clients do not go on")
		}
	}
	more()
	if n := len(h.rows("SELECT id FROM payments", "new1")); n == 0 {
		t.Error("nothing is on the second shard")
	}
	for _, db := range newShards() {
		if got := h.direct(db, "SELECT last_value::text FROM numbers"); got[0] != fmt.Sprint([][]byte{[]byte("4711")}) {
			t.Errorf("the sequence of %s is at %v", db, got)
		}
		if got := h.direct(db, "SELECT (SELECT max FROM bounds) || ',' || string_agg(relname, ',') FROM pg_class WHERE relkind = 'm' AND NOT relispopulated"); got[0] != fmt.Sprint([][]byte{[]byte("7,unread")}) {
			t.Errorf("the materialized views of %s: %v", db, got)
		}
	}
	if _, err := h.admin("CUTOVER 2"); err != nil {
		t.Fatal(err)
	}
	h.until("2", "finished", "")
	more()
	if _, err := h.admin("CUTOVER"); err != nil {
		t.Fatal(err)
	}
	more()
	s.end()
	// What the clients wrote last flows back, too.
	h.until("4", "running", "replicating")
	_ = settled(func() bool { // else the check says what differs
		return slices.Equal(h.rows("SELECT id, user_id, amount FROM payments", "old"), h.rows("SELECT id, user_id, amount FROM payments", newShards()...)) &&
			slices.Equal(h.rows("SELECT id, n FROM users", "old"), h.rows("SELECT id, n FROM users", newShards()...))
	})
	h.check(s)
	for _, sql := range []string{"SHOW TABLE_COPIES", "SHOW SCHEMA_SYNC", "SHOW REPLICATION_SLOTS"} {
		if rows, err := h.admin(sql); err != nil || len(rows) == 0 {
			t.Errorf("%s: %d rows, %v", sql, len(rows), err)
		}
	}
	if _, err := h.admin("STOP_TASK 4"); err != nil {
		t.Error(err)
	}
	if left := h.rows("SELECT slot_name FROM pg_replication_slots", "postgres"); len(left) > 0 {
		t.Errorf("slots stay: %v", left)
	}
	for _, db := range append(newShards(), "old") {
		if left := h.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pgx_dev%' UNION ALL SELECT pubname FROM pg_publication WHERE pubname <> 'moved'", db); len(left) > 0 {
			t.Errorf("%v stay in %s", left, db)
		}
	}
	t.Logf("%d payments, %d connections ended", s.count(), s.ended.Load())
}

// settled waits until something is so.
func settled(ok func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); <-tick.C {
		if ok() {
			return true
		}
	}
	return false
}

// TestCutoverAborted has a client that keeps its transaction for longer than a cutover may take: clients
// keep the old server, and the next attempt succeeds.
func TestCutoverAborted(t *testing.T) {
	t.Parallel()
	h := newTown(t, func(c *conf.Config) { c.General.CutoverTimeout = 300 * time.Millisecond })
	h.direct("old", townSchema)
	if _, err := h.admin("COPY_DATA prod next moved"); err != nil {
		t.Fatal(err)
	}
	h.until("1", "running", "replicating")
	conn, err := h.dial(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, sql := range []string{"BEGIN", "INSERT INTO payments VALUES (1, 1, 1)"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.admin("CUTOVER 1"); err == nil || !strings.Contains(err.Error(), "still in use") || !strings.Contains(err.Error(), "57014") {
		t.Fatalf("the cutover: %v", err)
	}
	h.until("1", "running", "replicating")
	if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "INSERT INTO payments VALUES (2, 2, 2)"); err != nil {
		t.Errorf("after the cutover was given up: %v", err)
	}
	c := *h.config.Load()
	c.General.CutoverTimeout = 5 * time.Minute
	// The configuration that clients would get is another one than that by which rows were moved.
	moved, divided := c, c
	moved.Databases = slices.Clone(c.Databases)
	moved.Databases[1].DatabaseName, moved.Databases[2].DatabaseName = c.Databases[2].DatabaseName, c.Databases[1].DatabaseName
	divided.ShardedTables = slices.Clone(c.ShardedTables)
	divided.ShardedTables[1].Column = "id"
	for _, other := range []*conf.Config{&moved, &divided} {
		h.config.Store(other)
		if _, err := h.admin("CUTOVER"); err == nil || !strings.Contains(err.Error(), `other servers for the database "next", or divides it in another way`) {
			t.Fatalf("with another configuration: %v", err)
		}
	}
	h.config.Store(&c)
	if _, err := h.admin("CUTOVER"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil || !strings.Contains(err.Error(), "57P01") && !conn.IsClosed() {
		t.Errorf("a session of the old servers goes on: %v", err)
	}
	h.check(&shops{})
	if n := len(h.rows("SELECT id FROM payments", newShards()...)); n != 2 {
		t.Errorf("%d payments", n)
	}
	// The way back ends with the proxy, and what it leaves is said.
	h.until("2", "running", "replicating")
	h.closes()
	h.said.Lock()
	defer h.said.Unlock()
	left := len(h.rows("SELECT slot_name FROM pg_replication_slots", "postgres"))
	if said := strings.Count(h.said.String(), "pg_drop_replication_slot('"); left == 0 || said != left {
		t.Errorf("%d slots stay, and the log has %d: %s", left, said, h.said.String())
	}
}

// TestMoveRefused has commands that cannot be carried out, and says why.
func TestMoveRefused(t *testing.T) {
	t.Parallel()
	h := newTown(t, func(c *conf.Config) {
		c.Users = append(c.Users, conf.User{Name: "other", Database: "prod"})
		c.ShardedTables = append(c.ShardedTables, conf.ShardedTable{Database: "next", Name: "logs", Column: "user_id"})
	})
	h.direct("old", townSchema, "CREATE TABLE bare (x int)", "CREATE TABLE loose (id int PRIMARY KEY, user_id bigint)",
		"CREATE PUBLICATION few FOR TABLE loose (id)", "CREATE TABLE heard (id int PRIMARY KEY)", "CREATE PUBLICATION noisy FOR TABLE heard",
		"CREATE DOMAIN uid AS bigint", "CREATE TABLE logs (id int PRIMARY KEY, user_id uid)", "CREATE PUBLICATION domains FOR TABLE logs",
		"CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO loose VALUES (NEW.id, 1); RETURN NEW; END'",
		"CREATE TRIGGER hears AFTER INSERT ON heard FOR EACH ROW EXECUTE FUNCTION hear()", "ALTER TABLE heard ENABLE ALWAYS TRIGGER hears")
	for sql, want := range map[string]string{
		"RESHARD prod next moved":     `user "other" may use the database "prod", and not "next"`,
		"COPY_DATA prod next moved":   "table \"public\".\"bare\" has no replica identity",
		"COPY_DATA prod nosuch moved": `no database "nosuch"`,
		"COPY_DATA prod prod moved":   "the same database",
		"COPY_DATA prod next nosuch":  `no publication "nosuch"`,
		"COPY_DATA prod next few":     `leaves out the column "user_id" of table "public"."loose"`,
		"COPY_DATA prod next noisy":   `the trigger "hears" of table "public"."heard" is enabled always`,
		"COPY_DATA prod next domains": `is of the domain`,
		"SCHEMA_SYNC now prod next":   `no phase "now"`,
		"CUTOVER":                     "no such task",
		"STOP_TASK 7":                 "no such task",
		"CUTOVER x":                   "no number",
	} {
		if _, err := h.admin(sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	// A key without a shard ends the copy, and says which.
	c := *h.config.Load()
	c.ShardedTables = slices.Clone(c.ShardedTables)
	c.ShardedTables[1] = conf.ShardedTable{Database: "next", Name: "payments", Column: "user_id", Mapping: []conf.Mapping{{Values: []conf.Value{"1"}, Shard: 1}}}
	h.config.Store(&c)
	h.direct("old", "DROP TABLE bare, heard, logs", "INSERT INTO payments VALUES (1, 1, 1), (2, 7, 1)")
	// Of several that ask at the same time one has the databases, for as long as a lock keeps it from ending.
	lock, err := pgx.Connect(t.Context(), h.srv.Info().URL("old"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close(context.Background()) }()
	if _, err := lock.Exec(t.Context(), "BEGIN; LOCK TABLE payments"); err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got, err := h.admin("COPY_DATA prod next moved")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				rows = append(rows, got...)
			} else if !strings.Contains(err.Error(), "is at one of them") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(rows) != 1 {
		t.Fatalf("%d tasks move the same database", len(rows))
	}
	if _, err := lock.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	h.until(rows[0][0], "failed: copy table", "")
	tasks, err := h.admin("SHOW TASKS status")
	if err != nil || !strings.Contains(tasks[0][0], "no shard") {
		t.Errorf("%v, %v", tasks, err)
	}
	if n := len(h.rows("SELECT id FROM payments", newShards()...)); n != 0 {
		t.Errorf("%d rows are there", n)
	}
	if _, err := h.admin("STOP_TASK " + rows[0][0]); err != nil {
		t.Error(err)
	}
}
