package reshard_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
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
	"github.com/pgx-dev/pgx-dev/proxy/reshard"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// patience is how long anything may take here.
const patience = 5 * time.Minute

// A house is a server whose databases play the shards.
type house struct {
	t   *testing.T
	srv engines.Server
}

func newHouse(t *testing.T) *house {
	t.Helper()
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Version: "15", Fast: true, Params: map[string]string{
		"wal_level": "logical", "max_replication_slots": "30", "max_wal_senders": "30", "max_connections": "200", "max_prepared_transactions": "10",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	return &house{t, srv}
}

func (h *house) config(database string) *pgconn.Config {
	h.t.Helper()
	cfg, err := pgconn.ParseConfig(h.srv.Info().URL(database))
	if err != nil {
		h.t.Fatal(err)
	}
	return cfg
}

func (h *house) connect(database string) *pgx.Conn {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.srv.Info().URL(database))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (h *house) exec(database string, sql ...string) {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.srv.Info().URL(database))
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, s := range sql {
		if _, err := conn.Exec(h.t.Context(), s); err != nil {
			h.t.Fatalf("%s: %v", s, err)
		}
	}
}

// rows are the rows of a query, as text.
func (h *house) rows(database, sql string) []string {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.srv.Info().URL(database))
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(h.t.Context(), sql)
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		h.t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func keys() []sharding.Table {
	return []sharding.Table{{Name: "users", Columns: []string{"id"}}, {Name: "payments", Columns: []string{"user_id"}}, {Name: "events", Columns: []string{"user_id"}}, {Name: "logs", Columns: []string{"user_id"}}}
}

// database makes databases for so many shards.
func (h *house) database(name string, shards int, tables []sharding.Table) reshard.Database {
	h.t.Helper()
	layout, err := sharding.Compile(sharding.Config{Shards: shards, Tables: tables})
	if err != nil {
		h.t.Fatal(err)
	}
	d := reshard.Database{Name: name, Layout: layout}
	for i := range shards {
		db := fmt.Sprintf("%s%d", name, i)
		h.exec("postgres", "CREATE DATABASE "+db)
		d.Shards = append(d.Shards, reshard.Server{Config: h.config(db)})
	}
	return d
}

// pgDump is the program beside the server, or on PATH.
func (h *house) pgDump() string {
	path := filepath.Join(h.srv.Info().Bindir, "pg_dump")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return "pg_dump"
}

// schema has what is awkward: a key that the identity lacks, no primary key, a column of large values that
// stay, partitions, an identity column, an integer key, a generated column, a trigger, a sequence.
const schema = `CREATE TABLE users (id serial PRIMARY KEY, email text UNIQUE, note text, upper_email text GENERATED ALWAYS AS (upper(email)) STORED);
ALTER TABLE users ALTER COLUMN note SET STORAGE EXTERNAL;
CREATE TABLE payments (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id integer NOT NULL REFERENCES users, amount numeric, memo text);
ALTER TABLE payments ALTER COLUMN memo SET STORAGE EXTERNAL;
CREATE INDEX payments_user ON payments (user_id);
CREATE TABLE events (user_id bigint, at timestamptz NOT NULL, what jsonb, PRIMARY KEY (user_id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2020-01-01') TO (MAXVALUE);
CREATE TABLE logs (user_id bigint, line text, x float8, b bytea);
ALTER TABLE logs REPLICA IDENTITY FULL;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE plans ("Name" text PRIMARY KEY, price numeric, m mood DEFAULT 'happy', tags text[]);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.price := NEW.price + 1; RETURN NEW; END $$;
CREATE TRIGGER plans_touch BEFORE INSERT OR UPDATE ON plans FOR EACH ROW EXECUTE FUNCTION touch();
CREATE VIEW rich AS SELECT u.id, sum(p.amount) FROM users u JOIN payments p ON p.user_id = u.id GROUP BY u.id;
CREATE PUBLICATION moved FOR ALL TABLES`

const filling = `INSERT INTO users (email, note) SELECT 'u' || i, CASE i % 3 WHEN 0 THEN repeat('x', 3000) || i END FROM generate_series(1, 300) i;
INSERT INTO payments (user_id, amount, memo) SELECT 1 + i % 300, i / 7.0, CASE i % 4 WHEN 0 THEN repeat('m', 3000) || i ELSE E'tab\t back\\ ' || i END FROM generate_series(1, 1000) i;
INSERT INTO events SELECT i, '2019-12-31'::timestamptz + i * interval '1 minute', jsonb_build_object('n', i) FROM generate_series(1, 2000) i;
INSERT INTO logs SELECT i % 50, 'line ' || i % 10, i / 3.0, decode('00ff', 'hex') FROM generate_series(1, 500) i;
INSERT INTO logs VALUES (NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL);
INSERT INTO plans SELECT 'plan ' || i, i, 'sad', ARRAY['a', NULL, 'b"c'] FROM generate_series(1, 20) i`

// contents are queries whose rows, of all shards together, must be the source's; the last one's are on
// every shard.
func contents() map[string]string {
	return map[string]string{
		"users":    `SELECT format('%s|%s|%s|%s', id, email, md5(note), upper_email) FROM users`,
		"payments": `SELECT format('%s|%s|%s|%s', id, user_id, amount, md5(memo)) FROM payments`,
		"events":   `SELECT format('%s|%s|%s|%s', tableoid::regclass, user_id, at AT TIME ZONE 'UTC', what) FROM events`,
		"logs":     `SELECT format('%s|%s|%s|%s', user_id, line, x, b) FROM logs`,
		"plans":    `SELECT format('%s|%s|%s|%s', "Name", price, m, tags) FROM plans`,
	}
}

// same compares two databases: every row once, and where its key says.
func (h *house) same(a, b reshard.Database) {
	h.t.Helper()
	all := func(d reshard.Database, table, sql string) []string {
		var out []string
		for i := range d.Shards {
			if table == "plans" && i > 0 {
				continue
			}
			out = append(out, h.rows(d.Shards[i].Config.Database, sql)...)
		}
		slices.Sort(out)
		return out
	}
	for table, sql := range contents() {
		want, got := all(a, table, sql), all(b, table, sql)
		if !slices.Equal(want, got) {
			h.t.Errorf("%s: %d rows on %s, %d on %s; %s", table, len(want), a.Name, len(got), b.Name, difference(want, got))
		}
	}
	for _, d := range []reshard.Database{a, b} {
		first := h.rows(d.Shards[0].Config.Database, contents()["plans"])
		for i := range d.Shards {
			db := d.Shards[i].Config.Database
			rows := h.rows(db, contents()["plans"])
			slices.Sort(first)
			slices.Sort(rows)
			if !slices.Equal(first, rows) {
				h.t.Errorf("plans differ on %s: %s", db, difference(first, rows))
			}
			for table, column := range map[string]string{"users": "id", "payments": "user_id", "events": "user_id", "logs": "user_id"} {
				key := d.Layout.Find("public", table, nil).Key
				if key == nil {
					continue
				}
				key, err := key.WithTypes([]hash.OID{hash.Int8})
				if err != nil {
					h.t.Fatal(err)
				}
				for _, v := range h.rows(db, fmt.Sprintf("SELECT DISTINCT coalesce(%s::text, 'NULL') FROM %s", column, table)) {
					raw := sharding.Raw{Type: hash.Int8, Bytes: []byte(v), Null: v == "NULL"}
					if shard, err := key.Place([]sharding.Raw{raw}, nil); err != nil || shard != i {
						h.t.Errorf("%s with key %s is on shard %d, and should be on %d (%v)", table, v, i, shard, err)
					}
				}
			}
		}
	}
}

func difference(a, b []string) string {
	var out []string
	count := map[string]int{}
	for _, x := range a {
		count[x]++
	}
	for _, x := range b {
		count[x]--
	}
	for x, n := range count {
		if n != 0 && len(out) < 5 {
			out = append(out, fmt.Sprintf("%+d × %.100s", -n, x))
		}
	}
	return strings.Join(out, "; ")
}

// A load writes until it is stopped.
type load struct {
	stop chan struct{}
	once sync.Once
	wg   sync.WaitGroup
	n    atomic.Int64
}

// write runs clients against a source of one shard.
func (h *house) write(database string, clients int) *load {
	l := &load{stop: make(chan struct{})}
	for c := range clients {
		conn := h.connect(database)
		l.wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 7))
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				sql := change(r, c)
				_, err := conn.Exec(context.Background(), sql)
				if conn.PgConn().TxStatus() != 'I' {
					_, _ = conn.Exec(context.Background(), "ROLLBACK")
				}
				if err != nil && !strings.Contains(err.Error(), "40P01") && !strings.Contains(err.Error(), "violates") {
					h.t.Errorf("%s: %v", sql, err)
					return
				}
				l.n.Add(1)
			}
		})
	}
	h.t.Cleanup(func() { l.end() })
	return l
}

// change is a random change.
func change(r *rand.Rand, c int) string {
	id := 1 + r.IntN(300)
	switch r.IntN(16) {
	case 0:
		return fmt.Sprintf("INSERT INTO users (email, note) VALUES ('new %d %d', repeat('y', %d))", c, r.Int64(), r.IntN(4000))
	case 1:
		return fmt.Sprintf("UPDATE users SET email = 'e %d %d' WHERE id = %d", c, r.Int64(), id)
	case 2:
		return fmt.Sprintf("INSERT INTO payments (user_id, amount, memo) VALUES (%d, %d.50, repeat('z', %d))", id, r.IntN(1000), r.IntN(4000))
	case 3: // the key changes, and a large value stays
		return fmt.Sprintf("UPDATE payments SET user_id = %d WHERE id = %d", id, 1+r.IntN(1000))
	case 4:
		return fmt.Sprintf("UPDATE payments SET amount = amount + 1 WHERE id = %d", 1+r.IntN(1000))
	case 5:
		return fmt.Sprintf("DELETE FROM payments WHERE id = %d", 1+r.IntN(1000))
	case 6: // from one partition to the other
		return fmt.Sprintf("UPDATE events SET at = at + interval '1 day' WHERE user_id = %d", 1+r.IntN(2000))
	case 7:
		return fmt.Sprintf("DELETE FROM events WHERE user_id = %d", 1+r.IntN(2000))
	case 8: // one of many equal rows
		return fmt.Sprintf("DELETE FROM logs WHERE ctid = (SELECT ctid FROM logs WHERE user_id = %d LIMIT 1)", r.IntN(50))
	case 9:
		return fmt.Sprintf("UPDATE logs SET user_id = %d WHERE ctid = (SELECT ctid FROM logs WHERE user_id = %d LIMIT 1)", r.IntN(50), r.IntN(50))
	case 10:
		return fmt.Sprintf("INSERT INTO logs VALUES (%d, E'a\\\\b\\n%d', 0.1, '\\x0102')", r.IntN(50), r.IntN(5))
	case 11:
		return fmt.Sprintf("UPDATE plans SET price = %d, tags = NULL WHERE \"Name\" = 'plan %d'", r.IntN(100), 1+r.IntN(20))
	case 12:
		return fmt.Sprintf("UPDATE plans SET \"Name\" = 'plan %d' WHERE \"Name\" = 'plan %d'", 1+r.IntN(30), 1+r.IntN(30))
	case 13: // several rows, in one transaction
		return fmt.Sprintf("BEGIN; UPDATE users SET note = 'n%d' WHERE id BETWEEN %d AND %d + 20; UPDATE payments SET user_id = 1 + (user_id + 7) %% 300 WHERE user_id = %d; COMMIT", r.IntN(9), id, id, id)
	case 14:
		return fmt.Sprintf("INSERT INTO events VALUES (%d, now() + interval '%d us', '{\"a\": [1, null]}')", id, r.Int64N(1e12))
	}
	return fmt.Sprintf("BEGIN; DELETE FROM payments WHERE user_id = %d; ROLLBACK", id)
}

// end stops the writers.
func (l *load) end() int64 {
	l.once.Do(func() { close(l.stop) })
	l.wg.Wait()
	return l.n.Load()
}

// A stream is a move's stream that runs.
type stream struct {
	t      *testing.T
	m      *reshard.Move
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done
}

func streaming(t *testing.T, m *reshard.Move) *stream {
	ctx, cancel := context.WithCancel(t.Context())
	s := &stream{t: t, m: m, cancel: cancel, done: make(chan struct{})}
	go func() {
		s.err = m.Stream(ctx)
		close(s.done)
	}()
	t.Cleanup(func() { cancel(); <-s.done })
	return s
}

// caught waits until the destination has all that the source has written.
func (s *stream) caught(ctx context.Context) {
	s.t.Helper()
	ends, err := s.m.Ends(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	for s.m.Passed(ends) > 0 {
		select {
		case <-s.done:
			s.t.Fatalf("the stream has ended: %v", s.err)
		case <-ctx.Done():
			s.t.Fatalf("%d bytes are lacking", s.m.Passed(ends))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *stream) stop() {
	s.t.Helper()
	s.cancel()
	<-s.done
	if s.err != nil {
		s.t.Errorf("stream: %v", s.err)
	}
}

func options() reshard.Options {
	o := reshard.DefaultOptions()
	o.CopyDelay, o.StreamDelay, o.Parallel, o.StreamAttempts = 10*time.Millisecond, 10*time.Millisecond, 2, 50
	return o
}

// TestMove moves a database of one shard to three, and on to five, while clients write.
func TestMove(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	src := h.database("src", 1, nil)
	dst := h.database("dst", 3, keys())
	h.exec("src0", schema, filling)
	l := h.write("src0", 3)
	sync1 := &reshard.SchemaSync{Source: src, Destination: dst, PgDump: reshard.Program{Path: h.pgDump()}}
	if err := sync1.Run(ctx, reshard.Pre); err != nil {
		t.Fatal(err)
	}
	if err := sync1.Run(ctx, reshard.Pre); err != nil {
		t.Fatalf("again: %v", err)
	}
	m := &reshard.Move{Source: src, Destination: dst, Publication: "moved", Slot: "one", Options: options(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if err := m.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	if err := m.Copy(ctx); err != nil {
		t.Fatal(err)
	}
	if err := sync1.Run(ctx, reshard.Post); err != nil {
		t.Fatal(err)
	}
	if err := sync1.Run(ctx, reshard.Post); err != nil {
		t.Fatalf("again: %v", err)
	}
	st := streaming(t, m)
	n := l.end()
	st.caught(ctx)
	h.exec("src0", "TRUNCATE plans; INSERT INTO plans SELECT 'after ' || i, i FROM generate_series(1, 5) i")
	st.caught(ctx)
	if err := errors.Join(sync1.Validate(ctx), sync1.Run(ctx, reshard.Cutover)); err != nil {
		t.Fatal(err)
	}
	st.stop()
	t.Logf("%d changes meanwhile", n)
	h.same(src, dst)
	if got := h.rows("dst1", "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid IN ('users'::regclass, 'payments'::regclass) AND attname IN ('id', 'user_id') ORDER BY 1"); !slices.Equal(got, []string{"bigint", "bigint", "bigint"}) {
		t.Errorf("keys are %v", got)
	}
	if a, b := h.rows("src0", "SELECT last_value::text FROM users_id_seq"), h.rows("dst2", "SELECT last_value::text FROM users_id_seq"); !slices.Equal(a, b) {
		t.Errorf("the sequence is at %v, and not at %v", b, a)
	}
	if err := m.Done(ctx, true); err != nil {
		t.Error(err)
	}
	if left := h.rows("postgres", "SELECT slot_name::text FROM pg_replication_slots"); len(left) > 0 {
		t.Errorf("slots stay: %v", left)
	}
	if left := h.rows("dst0", "SELECT nspname::text FROM pg_namespace WHERE nspname = '"+reshard.Schema+"'"); len(left) > 0 {
		t.Error("the schema of ours stays")
	}
}
