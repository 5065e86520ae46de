package proxy_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// TestAbandonedStatements has clients leave before they hear whether their statements were
// prepared: the next one finds a connection of which it is known what it has.
func TestAbandonedStatements(t *testing.T) { transports(t, testAbandonedStatements) }

func testAbandonedStatements(t *testing.T) {
	b := newBench(t, startServer(t, engines.Spec{}), proxy.Transaction, pool.Config{Size: 1}, nil)
	for i := range 40 {
		sql := fmt.Sprintf("SELECT %d", i)
		left := b.connect("").PgConn()
		left.Frontend().SendParse(&pgproto3.Parse{Name: "s", Query: sql})
		left.Frontend().SendSync(&pgproto3.Sync{})
		if err := left.Frontend().Flush(); err != nil {
			t.Fatal(err)
		}
		if err := left.Conn().Close(); err != nil {
			t.Fatal(err)
		}
		conn := b.connect("")
		var got int
		if err := conn.QueryRow(t.Context(), sql, pgx.QueryExecModeCacheStatement).Scan(&got); err != nil || got != i {
			t.Fatalf("%s: %d, %v", sql, got, err)
		}
		_ = conn.Close(t.Context())
	}
}
