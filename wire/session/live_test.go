package session_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
	"github.com/pgx-dev/pgx-dev/wire/session"
)

// The tracker sits between pgx and PostgreSQL, and in the end must know the statements that
// PostgreSQL says there are.
func TestAgainstPostgreSQL(t *testing.T) {
	pg := testpg.New(t, 15, nil)
	var mu sync.Mutex
	tr := &session.Tracker{}
	cfg, err := pgx.ParseConfig(pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		return &tapped{Conn: nc, t: t, mu: &mu, tr: tr}, err
	}
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	ctx := t.Context()
	for _, sql := range []string{"create table t (a int, b text)", "insert into t select g, g from generate_series(1, 2000) g"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	for range 3 {
		if err := conn.QueryRow(ctx, "select count(*) from t where a > $1", 10).Scan(&n); err != nil || n != 1990 {
			t.Fatal(n, err)
		}
	}
	if _, err := conn.Prepare(ctx, "mine", "select b from t where a = $1"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "select 1/0"); err == nil {
		t.Fatal("no error")
	}
	if _, err := conn.Exec(ctx, "set application_name = 'tapped'"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"a", "b"}, pgx.CopyFromRows([][]any{{1, "x"}, {2, "y"}})); err != nil {
		t.Fatal(err)
	}
	batch := &pgx.Batch{}
	batch.Queue("select a from t limit $1", 3)
	batch.Queue("select 1/$1", 0)
	batch.Queue("select b from t limit $1", 3)
	if err := conn.SendBatch(ctx, batch).Close(); err == nil {
		t.Fatal("no error")
	}
	rows, err := conn.Query(ctx, "select name, statement from pg_prepared_statements", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	var name, sql string
	if _, err := pgx.ForEachRow(rows, []any{&name, &sql}, func() error {
		want[name] = sql
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	got := map[string]string{}
	for name, s := range tr.Statements {
		got[name] = s.SQL
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("statements: %s", d)
	}
	if !tr.Idle() || tr.Reported["application_name"] != "tapped" || tr.PID != conn.PgConn().PID() {
		t.Errorf("pending %d, tx %c, reported %v", tr.Pending(), tr.Tx, slices.Sorted(maps.Keys(tr.Reported)))
	}
	if s := tr.Statements["mine"]; !s.Described || len(s.Params) != 1 || len(s.Fields) != 1 || s.Fields[0].Name != "b" {
		t.Errorf("statement %+v", s)
	}
}

// tapped is a client's connection whose bytes go to the tracker, too.
type tapped struct {
	net.Conn
	t       *testing.T
	mu      *sync.Mutex
	tr      *session.Tracker
	started bool
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.feed(wire.Backend, p[:n])
	return n, err
}

func (c *tapped) Write(p []byte) (int, error) {
	if c.started { // the first write is the startup packet
		c.feed(wire.Frontend, p)
	}
	c.started = true
	return c.Conn.Write(p)
}

func (c *tapped) feed(from wire.Side, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.tr.Feed(from, b, func(session.Event) {}); err != nil && !errors.Is(err, io.EOF) {
		c.t.Errorf("%v: %v", from, err)
	}
}
