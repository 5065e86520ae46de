package cluster

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
)

// watchIdle tells the loop when no client has been connected for the time that limits last
// said (0: never). It looks for itself rather than at the users, because a URL can be
// used without being one.
func (s *supervisor) watchIdle(ctx context.Context, limits <-chan time.Duration) {
	limit := time.Duration(0)
	var tick <-chan time.Time
	busy := time.Now()
	var conn *pgx.Conn
	hangUp := func() {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
			conn = nil
		}
	}
	defer hangUp()
	for {
		select {
		case <-ctx.Done():
			return
		case limit = <-limits:
			tick, busy = nil, time.Now()
			if limit > 0 {
				tick = time.Tick(max(limit/8, 50*time.Millisecond))
			}
			continue
		case <-tick:
		}
		n, err := 0, error(nil)
		if conn == nil {
			conn, err = engines.Connect(ctx, s.srv, "")
		}
		if err == nil {
			// The server's own processes have no client_port, in every version.
			err = conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE client_port IS NOT NULL AND pid <> pg_backend_pid()`).Scan(&n)
		}
		if err != nil {
			hangUp()
			busy = time.Now() // it refuses connections: perhaps because all are taken
			continue
		}
		if n > 0 {
			busy = time.Now()
		}
		if time.Since(busy) < limit {
			continue
		}
		s.mu.Lock()
		s.idle = true
		s.mu.Unlock()
		s.kick()
		busy = time.Now()
	}
}
