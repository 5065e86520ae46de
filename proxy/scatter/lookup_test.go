package scatter_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

// lookupFleet has tenants whose shard is in a directory that every shard has.
func lookupFleet(t *testing.T, query string, config func(*scatter.Config)) *fleet {
	f := newFleet(t, startServer(t), "s", 3, func(sc *sharding.Config, xc *scatter.Config) {
		sc.Tables = []sharding.Table{{Name: "tenants", Columns: []string{"tenant"}, Types: []hash.OID{hash.Text}, LookupQuery: query}}
		if config != nil {
			config(xc)
		}
	})
	c := f.connect()
	mustExec(t, c, "CREATE TABLE directory (tenant text PRIMARY KEY, shard int); CREATE TABLE tenants (tenant text, v int)")
	mustExec(t, c, "INSERT INTO directory SELECT 't' || g, g % 3 FROM generate_series(0, 99) g")
	return f
}

// asked is how often the directory has been asked, on all shards.
func asked(t *testing.T, f *fleet) (n int64) {
	for i := range 3 {
		n += one[int64](t, f.direct(i), "SELECT coalesce(pg_stat_get_numscans(c.oid) + coalesce((SELECT sum(pg_stat_get_numscans(indexrelid)) FROM pg_index WHERE indrelid = c.oid), 0), 0)::bigint FROM pg_class c WHERE relname = 'directory'")
	}
	return n
}

// TestLookupCache keeps as many results as it is told, and none that a write has made stale.
func TestLookupCache(t *testing.T) {
	for _, size := range []int{-1, 1, 1000} {
		f := lookupFleet(t, "SELECT shard FROM directory WHERE tenant = $1", func(xc *scatter.Config) { xc.Lookups = size })
		c := f.connect()
		// More keys in one statement than are kept.
		var rows []string
		for i := range 100 {
			rows = append(rows, fmt.Sprintf("('t%d', %d)", i, i))
		}
		mustExec(t, c, "INSERT INTO tenants VALUES "+strings.Join(rows, ", "))
		for i := range 3 {
			if n := one[int](t, f.direct(i), "SELECT count(*) FROM tenants WHERE substr(tenant, 2)::int % 3 = $1", i); n < 33 {
				t.Errorf("size %d: shard %d has %d rows of its own", size, i, n)
			}
		}
		if n := one[int](t, c, "SELECT sum(v) FROM tenants WHERE tenant IN ('t1', 't2', 't50')"); n != 53 {
			t.Errorf("size %d: sum %d", size, n)
		}
		// The tenant moves: by another session, in a transaction that others do not see, and by
		// one that comes to nothing.
		other := f.connect()
		mustExec(t, other, "BEGIN")
		mustExec(t, other, "UPDATE directory SET shard = 2 WHERE tenant = 't1'")
		mustExec(t, other, "INSERT INTO tenants VALUES ('t1', 1000)")
		if n := one[int](t, c, "SELECT sum(v) FROM tenants WHERE tenant = 't1'"); n != 1 {
			t.Errorf("size %d: before COMMIT %d", size, n)
		}
		mustExec(t, other, "ROLLBACK")
		if n := one[int](t, other, "SELECT sum(v) FROM tenants WHERE tenant = 't1'"); n != 1 {
			t.Errorf("size %d: after ROLLBACK %d", size, n)
		}
		mustExec(t, other, "UPDATE directory SET shard = 2 WHERE tenant = 't1'")
		mustExec(t, c, "INSERT INTO tenants VALUES ('t1', 2000)")
		if n := one[int](t, f.direct(2), "SELECT v FROM tenants WHERE tenant = 't1'"); n != 2000 {
			t.Errorf("size %d: after the move shard 2 has %d", size, n)
		}
		// A pipeline is one transaction, though lookups come between.
		var batch pgx.Batch
		batch.Queue("INSERT INTO tenants VALUES ('t10', -1)")
		batch.Queue("INSERT INTO tenants VALUES ('t11', -1)")
		batch.Queue("INSERT INTO tenants VALUES ('nobody', -1)")
		if err := c.SendBatch(t.Context(), &batch).Close(); codeOf(err) != "23514" {
			t.Errorf("size %d: %v", size, err)
		}
		if n := one[int](t, c, "SELECT count(*) FROM tenants WHERE v = -1"); n != 0 {
			t.Errorf("size %d: %d rows of a pipeline that failed", size, n)
		}
		// COPY looks up as it goes.
		data := strings.NewReader("t20\t1\nt21\t1\nt22\t1\n")
		if _, err := c.PgConn().CopyFrom(t.Context(), data, "COPY tenants FROM STDIN"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader("t23\t1\nnobody\t1\n"), "COPY tenants FROM STDIN"); codeOf(err) != "23514" {
			t.Errorf("size %d: %v", size, err)
		}
		if n := one[int](t, c, "SELECT count(*) FROM tenants WHERE v = 1 AND tenant LIKE 't2_'"); n != 3 {
			t.Errorf("size %d: %d rows after COPY", size, n)
		}
		if n := f.pool.lent(); n > 0 {
			t.Errorf("size %d: %d connections are lent at rest", size, n)
		}
	}
}

// TestLookupsAreKept asks the directory once for a key, and each time if nothing is kept.
func TestLookupsAreKept(t *testing.T) {
	for _, size := range []int{-1, 10} {
		f := lookupFleet(t, "SELECT shard FROM directory WHERE tenant = $1", func(xc *scatter.Config) { xc.Lookups = size })
		c := f.connect()
		for range 20 {
			mustExec(t, c, "SELECT * FROM tenants WHERE tenant = 't5'")
		}
		// Statistics come late: what is counted are those of the shards' connections, which end.
		f.pool.close()
		f.pool.idle = make([][]*conn, 3)
		deadline := time.Now().Add(30 * time.Second)
		want := map[int]int64{-1: 20, 10: 1}[size]
		for n := asked(t, f); n < want; n = asked(t, f) {
			if time.Now().After(deadline) {
				t.Fatalf("size %d: asked %d times, want %d", size, n, want)
			}
			time.Sleep(time.Millisecond) //nolint:forbidigo // what is waited for is in another process
		}
		if n := asked(t, f); size > 0 && n >= 20 {
			t.Errorf("size %d: asked %d times", size, n)
		}
	}
}

// TestLookupTimeout ends a lookup that takes too long; the session goes on.
func TestLookupTimeout(t *testing.T) {
	f := lookupFleet(t, "SELECT shard FROM directory WHERE tenant = $1 AND (tenant <> 't3' OR pg_sleep(600) IS NOT NULL)", func(xc *scatter.Config) {
		xc.LookupTimeout = 200 * time.Millisecond
	})
	c := f.connect()
	for range 3 {
		_, err := c.Exec(t.Context(), "INSERT INTO tenants VALUES ('t3', 1)")
		if codeOf(err) != "57014" || !strings.Contains(err.Error(), "took longer than 200ms") {
			t.Errorf("%v", err)
		}
		mustExec(t, c, "INSERT INTO tenants VALUES ('t4', 1)")
	}
	if n := one[int](t, c, "SELECT count(*) FROM tenants"); n != 3 {
		t.Errorf("%d rows", n)
	}
}
