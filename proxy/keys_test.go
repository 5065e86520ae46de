package proxy_test

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// TestStatementTTL forgets prepared statements that nobody uses, on servers too.
func TestStatementTTL(t *testing.T) { transports(t, testStatementTTL) }

func testStatementTTL(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	cfg := pool.Config{Size: 1, StatementTTL: 700 * time.Millisecond, StatementJitter: 100 * time.Millisecond}
	b := newBench(t, srv, proxy.Transaction, cfg, func(c *proxy.Config, _ *proxy.Database) {
		c.StatementTTL, c.StatementJitter = cfg.StatementTTL, cfg.StatementJitter
	})
	const here = "SELECT string_agg(statement, ' ') FROM pg_prepared_statements WHERE name LIKE '\\_\\_pgx%'"
	a, other := b.connect(""), b.connect("")
	if _, err := a.Prepare(t.Context(), "x", "SELECT 'used'"); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Prepare(t.Context(), "y", "SELECT 'left'"); err != nil {
		t.Fatal(err)
	}
	if v := simple(t, a, here); !strings.Contains(v, "used") || !strings.Contains(v, "left") {
		t.Errorf("the server has %q", v)
	}
	eventually(t, "the server has none of them", func() bool { return simple(t, a, here) == "" })
	if n := b.pool.Counters.Evictions.Load(); n != 2 {
		t.Errorf("%d were counted", n)
	}
	// Their clients have them all the same.
	if v := value(t, a, "x") + value(t, other, "y"); v != "usedleft" {
		t.Errorf("they say %s", v)
	}
	_ = other.Close(t.Context())
	eventually(t, "the proxy has forgotten what nobody uses", func() bool {
		list := b.px.Statements()
		return len(list) == 1 && strings.Contains(list[0].SQL, "used")
	})
}

// TestExpandedExplain says where an EXPLAIN ran, in text only.
func TestExpandedExplain(t *testing.T) { transports(t, testExpandedExplain) }

func testExpandedExplain(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, func(_ *proxy.Config, db *proxy.Database) { db.Explain = true })
	c := b.connect("")
	lines := func(sql string, mode pgx.QueryExecMode) (out string) {
		t.Helper()
		rows, err := c.Query(t.Context(), sql, mode)
		if err != nil {
			t.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if rows.CommandTag().String() != "EXPLAIN" && rows.CommandTag().String() != "SELECT 1" {
			t.Errorf("the tag of %s is %s", sql, rows.CommandTag())
		}
		return strings.Join(all, "|")
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec} {
		for range 2 {
			if v := lines("EXPLAIN SELECT 1", mode); !strings.HasPrefix(v, "Result") || !strings.HasSuffix(v, "|Routing:|  Summary: shard=0 role=primary|  Server: a") {
				t.Errorf("%v: %s", mode, v)
			}
		}
		if v := lines("EXPLAIN (FORMAT YAML) SELECT 1", mode); strings.Contains(v, "Routing") || !strings.Contains(v, "Plan:") {
			t.Errorf("YAML: %s", v)
		}
		if v := lines("SELECT 'EXPLAIN'", mode); v != "EXPLAIN" {
			t.Errorf("a query: %s", v)
		}
	}
	results, err := c.PgConn().Exec(t.Context(), "SELECT 1; EXPLAIN SELECT 2").ReadAll()
	if err != nil || len(results) != 2 || len(results[0].Rows) != 1 {
		t.Errorf("two statements: %v %v", results, err)
	}
}

// TestLongQuery logs queries that are too long, with as much of them as may be shown.
func TestLongQuery(t *testing.T) { transports(t, testLongQuery) }

func testLongQuery(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	var mu sync.Mutex
	var log strings.Builder
	w := writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	})
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, func(c *proxy.Config, _ *proxy.Database) {
		c.Log, c.LongQuery, c.SampleLength = slog.New(slog.NewTextHandler(w, nil)), 100, 12
	})
	c := b.connect("")
	long := "SELECT '" + strings.Repeat("x", 20_000) + "'"
	run(t, c, "SELECT 'short'")
	if v := simple(t, c, long); len(v) != 20_000 {
		t.Errorf("%d bytes came", len(v))
	}
	if _, err := c.Prepare(t.Context(), "p", long); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if s := log.String(); strings.Count(s, "longer than query_size_limit") != 2 || strings.Count(s, `query="SELECT 'xxxx"`) != 2 || strings.Contains(s, "xxxxx") {
		t.Errorf("the log: %s", s)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// TestPinnedByHand has a client keep its server connection for as long as it wants.
func TestPinnedByHand(t *testing.T) { transports(t, testPinnedByHand) }

func testPinnedByHand(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 2}, nil)
	c := b.connect("")
	for _, end := range []string{"SET pgdog.pin TO off", "RESET pgdog.pin"} {
		run(t, c, "SET pgdog.pin = true")
		for range 3 {
			run(t, c, "SELECT pg_advisory_lock(1), pg_advisory_unlock(1)") // after which the server is asked
		}
		if n := b.pool.Stats().Active; n != 1 {
			t.Errorf("%d connections are held", n)
		}
		if h := b.px.Holdings()[b.pool]; h.Pinned != 1 {
			t.Errorf("the holdings are %+v", h)
		}
		run(t, c, end)
		b.rest()
	}
	reads, writes := b.pool.Counters.Reads.Load(), b.pool.Counters.Writes.Load()
	run(t, c, "CREATE TABLE counted (a int)")
	run(t, c, "INSERT INTO counted SELECT generate_series(1, 7)")
	run(t, c, "UPDATE counted SET a = 0 WHERE a > 2")
	run(t, c, "DELETE FROM counted WHERE a = 1")
	run(t, c, "SELECT * FROM counted")
	n := &b.pool.Counters
	if n.Reads.Load()-reads != 1 || n.Writes.Load()-writes != 3 || n.RowsInserted.Load() != 7 || n.RowsUpdated.Load() != 5 || n.RowsDeleted.Load() != 1 {
		t.Errorf("counted: %d %d %d %d %d", n.Reads.Load()-reads, n.Writes.Load()-writes, n.RowsInserted.Load(), n.RowsUpdated.Load(), n.RowsDeleted.Load())
	}
}
