package scatter_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

var jobs = sharding.Table{Name: "jobs", Columns: []string{"owner"}}

// jobRows makes jobs whose order by id goes through all shards.
func jobRows() []string {
	var rows []string
	for i := range 120 {
		rows = append(rows, fmt.Sprintf("(%d, %d, '%s', %d)", i, i%17, []string{"new", "new", "new", "done"}[i%4], (i*7)%13))
	}
	return []string{
		"CREATE TABLE jobs (id bigint, owner bigint, state text, rank int, PRIMARY KEY (id, owner))",
		"INSERT INTO jobs VALUES " + strings.Join(rows, ", "),
	}
}

// TestLockFirst compares which rows a SELECT … FOR UPDATE with a LIMIT returns, and which it leaves
// locked, with what one server does.
func TestLockFirst(t *testing.T) {
	srv := startServer(t)
	queries := []string{
		"SELECT id, state FROM jobs WHERE state = 'new' ORDER BY id LIMIT 10 FOR UPDATE SKIP LOCKED",
		"SELECT id, state FROM jobs WHERE state = 'new' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 10",
		"SELECT * FROM jobs j WHERE rank > 3 OR rank < 1 ORDER BY rank DESC, id LIMIT 7 OFFSET 3 FOR NO KEY UPDATE OF j SKIP LOCKED",
		"SELECT j.rank + 1 AS r, owner FROM jobs AS j ORDER BY j.rank NULLS FIRST, j.id DESC OFFSET 100 FOR SHARE SKIP LOCKED",
		"SELECT state AS s, id FROM jobs ORDER BY length(state), id LIMIT 5 FOR UPDATE",
		"SELECT id FROM jobs ORDER BY id LIMIT 5 FOR UPDATE NOWAIT",
		"SELECT id FROM jobs ORDER BY id DESC LIMIT 5 FOR UPDATE NOWAIT",
		"SELECT id FROM jobs WHERE owner IN (1, 2, 3) ORDER BY id LIMIT 4 FOR UPDATE SKIP LOCKED",
		"SELECT id FROM jobs WHERE owner = 3 ORDER BY id LIMIT 4 FOR UPDATE SKIP LOCKED",
		"SELECT id FROM jobs ORDER BY id LIMIT 0 FOR UPDATE",
		"SELECT id FROM jobs WHERE state = 'none' ORDER BY id LIMIT 3 FOR UPDATE",
		"SELECT id FROM jobs ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED",
		"SELECT id FROM jobs ORDER BY id LIMIT -1 FOR UPDATE SKIP LOCKED",
	}
	for _, n := range []int{1, 2, 3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := newPair(t, srv, fmt.Sprintf("lf%d_", n), n, jobs)
			p.both(t, jobRows()...)
			other := p.another(t)
			for i, sql := range queries {
				m := mode(i % 3)
				p.both(t, "BEGIN")
				other.both(t, "BEGIN")
				// Another session has locked some of the first ones, unless that would make us wait.
				if strings.Contains(sql, "SKIP") || strings.Contains(sql, "NOWAIT") {
					other.both(t, "SELECT id FROM jobs WHERE id IN (0, 1, 4, 9, 50, 51) FOR UPDATE")
				}
				want, got := ask(t.Context(), p.whole, m, sql), ask(t.Context(), p.shards, m, sql)
				if why := differ(want, got, true); why != "" {
					t.Errorf("%s (%v): %s", sql, m, why)
				}
				const free = "SELECT id FROM jobs FOR UPDATE SKIP LOCKED"
				if why := differ(ask(t.Context(), other.whole, m, free), ask(t.Context(), other.shards, m, free), false); why != "" {
					t.Errorf("after %s (%v): what others can lock: %s", sql, m, why)
				}
				p.both(t, "ROLLBACK")
				other.both(t, "ROLLBACK")
			}
		})
	}
}

// another is a second session with the same servers.
func (p *pair) another(t *testing.T) *pair {
	t.Helper()
	w, err := engines.Connect(t.Context(), p.f.srv, one[string](t, p.f.direct(0), "SELECT left(current_database(), -1) || 'w'"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(context.Background()) })
	return &pair{w.PgConn(), p.f.connect().PgConn(), p.f}
}

// TestLockFirstRechecks changes a row while it is waited for: it is looked at anew, and others come in
// its place.
func TestLockFirstRechecks(t *testing.T) {
	srv := startServer(t)
	p := newPair(t, srv, "lr", 3, jobs)
	p.both(t, jobRows()...)
	other := p.another(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	other.both(t, "BEGIN", "UPDATE jobs SET state = 'taken' WHERE id IN (0, 2)", "UPDATE jobs SET rank = 99 WHERE id = 1")
	outcomes := make([]outcome, 2)
	var wait sync.WaitGroup
	watch := p.f.direct(0)
	for i, c := range []*pgconn.PgConn{p.whole, p.shards} {
		wait.Go(func() {
			outcomes[i] = ask(ctx, c, simpleMode, "SELECT id, rank FROM jobs WHERE state = 'new' ORDER BY id LIMIT 4 FOR UPDATE")
		})
	}
	for waiting := 0; waiting < 2; {
		if err := watch.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	other.both(t, "COMMIT")
	wait.Wait()
	if why := differ(outcomes[0], outcomes[1], true); why != "" || len(outcomes[0].rows) != 4 {
		t.Errorf("%s (%d rows)", why, len(outcomes[0].rows))
	}
}

// TestQueue has workers take jobs until there are none: each is done once.
func TestQueue(t *testing.T) {
	f := newFleet(t, startServer(t), "wq", 3, func(sc *sharding.Config, _ *scatter.Config) { sc.Tables = append(sc.Tables, jobs) })
	c := f.connect()
	for _, sql := range jobRows() {
		mustExec(t, c, sql)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var mu sync.Mutex
	var all []int64
	work := func(c *pgx.Conn) error {
		for {
			tx, err := c.Begin(ctx)
			if err != nil {
				return err
			}
			rows, err := tx.Query(ctx, "SELECT id FROM jobs WHERE state = $1 ORDER BY rank, id LIMIT $2 FOR UPDATE SKIP LOCKED", "new", 7)
			if err != nil {
				return err
			}
			ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				return tx.Commit(ctx)
			}
			if tag, err := tx.Exec(ctx, "UPDATE jobs SET state = 'done' WHERE id = ANY ($1)", ids); err != nil || tag.RowsAffected() != int64(len(ids)) {
				return fmt.Errorf("%v, %w", tag, err)
			}
			if err := tx.Commit(ctx); err != nil {
				return err
			}
			mu.Lock()
			all = append(all, ids...)
			mu.Unlock()
		}
	}
	var wait sync.WaitGroup
	for range 5 {
		c := f.connect()
		wait.Go(func() {
			if err := work(c); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	slices.Sort(all)
	if n := len(all); n != 90 || len(slices.Compact(all)) != n {
		t.Errorf("%d jobs were done, of 90: %v", n, all)
	}
}
