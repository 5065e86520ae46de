package scatter_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// writesTwice writes one table twice, in one statement.
const writesTwice = `WITH a AS (UPDATE users SET score = score - $3 WHERE id = $1 RETURNING score)
	UPDATE users SET score = score + $3 WHERE id = $2 RETURNING (SELECT score FROM a), score`

// TestTransfers lets sessions move amounts between rows in both directions at once, by statements that
// write one table twice: none may be lost, and the same row must not be written twice.
func TestTransfers(t *testing.T) {
	f := newFleet(t, startServer(t), "tr", 3, nil)
	c := f.connect()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, score int)")
	mustExec(t, c, "INSERT INTO users SELECT g, 100 FROM generate_series(1, 8) g")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var from, to int
	if err := c.QueryRow(ctx, writesTwice, 1, 2, 30).Scan(&from, &to); err != nil || from != 70 || to != 130 {
		t.Fatalf("%d, %d, %v", from, to, err)
	}
	// Where one shard has both, it does what PostgreSQL does; on several it is not known.
	if _, err := c.Exec(ctx, `WITH a AS (UPDATE users SET score = 0 WHERE score = $1) UPDATE users SET score = 1 WHERE score = $2`, 5, 5); codeOf(err) != "0A000" {
		t.Errorf("the same rows twice: %v", err)
	}
	if _, err := c.Exec(ctx, `WITH a AS (DELETE FROM users WHERE score = $1) DELETE FROM users WHERE score = $2`, 70, 130); err != nil {
		t.Errorf("different rows: %v", err)
	}
	if n := one[int](t, c, "SELECT count(*) FROM users"); n != 6 {
		t.Errorf("%d rows", n)
	}
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for session := range 4 {
		conn := f.connect()
		mustExec(t, conn, fmt.Sprintf("SET lock_timeout = '%dms'", 300+200*session)) // two shards' locks make circles, too
		wg.Go(func() {
			for i := range 12 {
				a, b := 3+(i+session)%6, 3+(i*5+session*2+1)%6
				if a == b {
					continue
				}
				for {
					_, err := conn.Exec(ctx, writesTwice, a, b, i+session)
					if code := codeOf(err); code == "40P01" || code == "55P03" {
						continue
					}
					if err != nil {
						errs <- fmt.Errorf("session %d: %w", session, err)
						return
					}
					break
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if n := one[int](t, c, "SELECT sum(score) FROM users"); n != 600 {
		t.Errorf("the sum is %d", n)
	}
}
