package leasetest

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Pool returns a pool of connections to a database that is the test's own until it ends.
// The pool is closed before.
func Pool(t TB, opts ...Option) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), URL(t, opts...))
	if err != nil {
		t.Fatalf("open a pool on the leased database: %v", err)
		return nil
	}
	t.Cleanup(pool.Close)
	return pool
}
