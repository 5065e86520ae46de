package scatter_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

// lockFleet is three shards with a user on each of the first ids, and a proxy that does not wait
// long before it looks for deadlocks.
func lockFleet(t *testing.T, timeout time.Duration) (*fleet, [3]int) {
	t.Helper()
	f := newFleet(t, startServer(t), "dl", 3, func(_ *sharding.Config, c *scatter.Config) { c.DeadlockTimeout = timeout })
	c := f.connect()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text); INSERT INTO users SELECT g, 'e' FROM generate_series(1, 30) g")
	var ids [3]int
	for shard := range ids {
		ids[shard] = one[int](t, f.direct(shard), "SELECT min(id) FROM users")
	}
	return f, ids
}

// waiting waits until n server processes wait for locks.
func waiting(ctx context.Context, t *testing.T, c *pgx.Conn, n int) {
	t.Helper()
	for {
		var got int
		if err := c.QueryRow(ctx, "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted").Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got == n {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// TestDeadlock has two, and three, sessions wait for each other on different shards: one of them
// fails, and the others go on though it says nothing.
func TestDeadlock(t *testing.T) {
	f, ids := lockFleet(t, 50*time.Millisecond)
	watch := f.direct(0)
	for _, n := range []int{2, 3} {
		for _, m := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheDescribe} {
			t.Run(fmt.Sprintf("%d/%v", n, m), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				sessions := make([]*pgx.Conn, n)
				for i := range sessions {
					sessions[i] = f.connect()
					mustExec(t, sessions[i], "BEGIN")
					if _, err := sessions[i].Exec(ctx, "UPDATE users SET email = 'mine' WHERE id = $1", m, ids[i]); err != nil {
						t.Fatal(err)
					}
				}
				type result struct {
					i   int
					err error
				}
				results := make(chan result, n)
				for i, c := range sessions {
					go func() {
						_, err := c.Exec(ctx, "UPDATE users SET email = 'yours' WHERE id = $1", m, ids[(i+1)%n])
						results <- result{i, err}
					}()
				}
				// The one who waits for the victim goes on though that says nothing, and then the others.
				victim := -1
				for range n {
					r := <-results
					switch {
					case r.err == nil:
						mustExec(t, sessions[r.i], "COMMIT")
					case victim < 0 && codeOf(r.err) == "40P01" && strings.Contains(r.err.Error(), "deadlock"):
						victim = r.i
					default:
						t.Errorf("session %d: %v", r.i, r.err)
					}
				}
				if victim < 0 {
					t.Fatal("no session has failed")
				}
				if _, err := sessions[victim].Exec(ctx, "SELECT 1"); codeOf(err) != "25P02" {
					t.Errorf("in the transaction that has failed: %v", err)
				}
				mustExec(t, sessions[victim], "ROLLBACK")
				mustExec(t, sessions[victim], "UPDATE users SET email = 'e'")
				waiting(ctx, t, watch, 0)
			})
		}
	}
	if n := f.pool.lent(); n != 0 {
		t.Errorf("%d connections are lent at rest", n)
	}
}

// TestDeadlockSavepoint has the victim go back to a savepoint: what was before it stays.
func TestDeadlockSavepoint(t *testing.T) {
	f, ids := lockFleet(t, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// The later of the two is the victim.
	a, b := f.connect(), f.connect()
	mustExec(t, a, "BEGIN")
	mustExec(t, a, "UPDATE users SET email = 'a' WHERE id = $1", ids[0])
	mustExec(t, a, "UPDATE users SET email = 'a' WHERE id = $1", ids[2])
	mustExec(t, b, "BEGIN")
	mustExec(t, b, "UPDATE users SET email = 'b' WHERE id = $1", ids[1])
	mustExec(t, b, "SAVEPOINT s")
	done := make(chan error, 1)
	go func() {
		_, err := a.Exec(ctx, "UPDATE users SET email = 'a' WHERE id = $1", ids[1])
		done <- err
	}()
	waiting(ctx, t, f.direct(0), 1)
	if _, err := b.Exec(ctx, "UPDATE users SET email = 'b' WHERE id = $1", ids[0]); codeOf(err) != "40P01" {
		t.Fatalf("no deadlock: %v", err)
	}
	mustExec(t, b, "ROLLBACK TO s")
	mustExec(t, b, "COMMIT")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	mustExec(t, a, "COMMIT")
	if got := one[string](t, a, "SELECT string_agg(email, '' ORDER BY id) FROM users WHERE id = ANY ($1)", ids[:]); got != "aaa" {
		t.Errorf("the rows have %s", got)
	}
}

// TestNoDeadlock has a session wait for one that waits for nothing, for many looks.
func TestNoDeadlock(t *testing.T) {
	const timeout = 5 * time.Millisecond
	f, ids := lockFleet(t, timeout)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	a, b := f.connect(), f.connect()
	for _, c := range []*pgx.Conn{a, b} {
		mustExec(t, c, "BEGIN")
	}
	mustExec(t, a, "UPDATE users SET email = 'a' WHERE id = $1", ids[0])
	mustExec(t, a, "UPDATE users SET email = 'a' WHERE id = $1", ids[1])
	mustExec(t, b, "UPDATE users SET email = 'b' WHERE id = $1", ids[2])
	done := make(chan error, 1)
	go func() {
		_, err := b.Exec(ctx, "UPDATE users SET email = 'b'")
		done <- err
	}()
	waiting(ctx, t, f.direct(0), 2)
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(100 * timeout):
	}
	mustExec(t, a, "COMMIT")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	mustExec(t, b, "COMMIT")
	if got := one[int](t, a, "SELECT count(*) FROM users WHERE email = 'b'"); got != 30 {
		t.Errorf("%d rows are changed", got)
	}
}

// TestDeadlocksAmongMany has many sessions write rows of all shards in any order: nobody waits for
// ever, and nobody fails in another way.
func TestDeadlocksAmongMany(t *testing.T) {
	f, _ := lockFleet(t, 20*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	mustExec(t, f.connect(), "UPDATE users SET email = '0'")
	var mu sync.Mutex
	done, failed := 0, 0
	var wg sync.WaitGroup
	for range 4 {
		c := f.connect()
		wg.Go(func() {
			for range 8 {
				err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
					for range 3 {
						if _, err := tx.Exec(ctx, "UPDATE users SET email = (email::int + 1)::text WHERE id IN ($1, $2)", 1+rand.IntN(6), 7+rand.IntN(6)); err != nil {
							return err
						}
					}
					return nil
				})
				mu.Lock()
				switch codeOf(err) {
				case "":
					done++
				case "40P01":
					failed++
				default:
					t.Errorf("a transaction: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d transactions, %d deadlocks", done, failed)
	if got := one[int](t, f.connect(), "SELECT sum(email::int) FROM users"); got != 6*done {
		t.Errorf("%d changes of %d transactions", got, done)
	}
}

// TestDeadlockOver has a deadlock end by itself just before its victim is cancelled: what that sends
// next is not, and what a timeout cancels later is no deadlock.
func TestDeadlockOver(t *testing.T) {
	f, ids := lockFleet(t, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	a, b, watch := f.connect(), f.connect(), f.direct(1)
	var once sync.Once
	hook := func() {
		once.Do(func() {
			// The other one is cancelled instead.
			if _, err := watch.Exec(ctx, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"); err != nil {
				t.Error(err)
			}
			for range 100 { // the victim's session sends nothing until the request has gone
				var runs bool
				if err := watch.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active')").Scan(&runs); err != nil {
					t.Error(err)
				}
				if runs {
					return
				}
				select {
				case <-ctx.Done():
					return
				case <-time.After(10 * time.Millisecond):
				}
			}
		})
	}
	f.pool.cancelling.Store(&hook)
	mustExec(t, a, "BEGIN")
	mustExec(t, a, "UPDATE users SET email = 'a' WHERE id = $1", ids[0])
	mustExec(t, a, "UPDATE users SET email = 'a' WHERE id = $1", ids[2])
	mustExec(t, b, "BEGIN")
	mustExec(t, b, "UPDATE users SET email = 'b' WHERE id = $1", ids[1])
	done := make(chan error, 1)
	go func() {
		_, err := a.Exec(ctx, "UPDATE users SET email = 'a' WHERE id = $1", ids[1])
		if _, e := a.Exec(ctx, "ROLLBACK"); e != nil {
			err = e
		}
		done <- err
	}()
	waiting(ctx, t, f.direct(0), 1)
	if _, err := b.Exec(ctx, "UPDATE users SET email = 'b' WHERE id = $1", ids[0]); err != nil {
		t.Fatal(err)
	}
	if err := <-done; codeOf(err) != "57014" {
		t.Fatalf("the other one: %v", err)
	}
	if _, err := b.Exec(ctx, fmt.Sprintf("SELECT pg_sleep(2) FROM users WHERE id = %d", ids[0])); err != nil {
		t.Errorf("an innocent statement: %v", err)
	}
	mustExec(t, b, "SET LOCAL statement_timeout = '10ms'")
	if _, err := b.Exec(ctx, fmt.Sprintf("SELECT pg_sleep(60) FROM users WHERE id = %d", ids[0])); codeOf(err) != "57014" {
		t.Errorf("a timeout: %v", err)
	}
	mustExec(t, b, "ROLLBACK")
}

// TestDeadlockBesideFrozenShard has a shard that does not answer who waits: deadlocks over the others
// are ended.
func TestDeadlockBesideFrozenShard(t *testing.T) {
	f := newFleet(t, startServer(t), "dl", 3, func(_ *sharding.Config, c *scatter.Config) {
		c.DeadlockTimeout, c.LookTimeout = 50*time.Millisecond, 2*time.Second
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	a, b := f.connect(), f.connect()
	mustExec(t, a, "CREATE TABLE users (id bigint PRIMARY KEY, email text); INSERT INTO users SELECT g, 'e' FROM generate_series(1, 30) g")
	var ids [3]int
	for shard := range ids {
		ids[shard] = one[int](t, f.direct(shard), "SELECT min(id) FROM users")
	}
	frozen := func(ctx context.Context, shard int) error {
		if shard != 2 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	f.pool.asking.Store(&frozen)
	for _, c := range []*pgx.Conn{a, b} {
		mustExec(t, c, "BEGIN")
		mustExec(t, c, "SELECT FROM users WHERE id = $1", ids[2])
	}
	mustExec(t, a, "UPDATE users SET email = 'a' WHERE id = $1", ids[0])
	mustExec(t, b, "UPDATE users SET email = 'b' WHERE id = $1", ids[1])
	done := make(chan error, 1)
	go func() {
		_, err := a.Exec(ctx, "UPDATE users SET email = 'a' WHERE id = $1", ids[1])
		done <- err
	}()
	_, err := b.Exec(ctx, "UPDATE users SET email = 'b' WHERE id = $1", ids[0])
	other := <-done
	if (codeOf(err) == "40P01") == (codeOf(other) == "40P01") || err != nil && other != nil {
		t.Errorf("%v; %v", err, other)
	}
}
