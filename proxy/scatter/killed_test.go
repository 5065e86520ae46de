package scatter_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
)

// TestShardKilledWorking kills a shard's server in the middle of its rows, so that its
// connection ends without a word: that is an error, and no end of rows.
func TestShardKilledWorking(t *testing.T) {
	c := newCluster(t, 2)
	f, _, log := newBank(t, c.dials(), c.server(0).Info().User, t.TempDir(), nil)
	defer log.Close()
	conn := f.connect()
	mustExec(t, conn, bankSchema)
	const rows = 16_000 // more than sockets hold
	mustExec(t, conn, "INSERT INTO ledger SELECT g % 2, repeat('x', 900) || g FROM generate_series(1, 16000) g")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, sql := range []string{
		"SELECT * FROM ledger", "SELECT * FROM ledger ORDER BY transfer", `SELECT * FROM ledger ORDER BY transfer COLLATE "und-x-icu"`,
		"SELECT DISTINCT transfer FROM ledger", "COPY ledger TO STDOUT",
	} {
		conn := f.connect()
		n := 0
		next := func() {
			if n++; n == 10 {
				c.killAll(1)
			}
		}
		var err error
		if sql[0] == 'C' {
			_, err = conn.PgConn().CopyTo(ctx, counter(next), sql)
		} else {
			r := conn.PgConn().ExecParams(ctx, sql, nil, nil, nil, nil)
			for r.NextRow() {
				next()
			}
			_, err = r.Close()
		}
		if code := codeOf(err); n >= rows || code != "08006" && code != "57P01" && code != "57P02" {
			t.Errorf("%s: %d rows of %d, and %v", sql, n, rows, err)
		}
		c.restart(1)
		f.pool.forget(1)
	}
}

// killAll is kill, of the processes that serve clients, too: they notice their postmaster's death only
// when they wait, which those whose client is fast do not.
func (c *cluster) killAll(shard int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), time.Minute)
	defer cancel()
	conn, err := engines.Connect(ctx, c.server(shard), "")
	if err != nil {
		c.t.Error(err)
		return
	}
	defer conn.Close(ctx)
	rows, _ := conn.Query(ctx, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil || len(pids) == 0 {
		c.t.Errorf("%d server processes, and %v", len(pids), err)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			c.t.Error(err)
		}
	}
	c.kill(shard)
}

// counter is a writer that counts what it is given.
type counter func()

func (c counter) Write(b []byte) (int, error) {
	c()
	return len(b), nil
}
