package shards_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/proxy/twophase"
)

// TestShardAway starts anew while a shard is away: what the log says of the other shards is
// carried out at once, they are served, and the one that comes back is before anybody sees it.
func TestShardAway(t *testing.T) { transports(t, testShardAway) }

func testShardAway(t *testing.T) {
	var away atomic.Bool
	away.Store(true)
	var pick shards.Pick
	gid := twophase.GID
	var decided, left string
	h := newHouse(t, demoSchema+"; CREATE TYPE mood AS ENUM ('sad', 'glad'); ALTER TABLE users ADD m mood", func(cfg *shards.Config) {
		pick = cfg.Pick
		cfg.Pick = func(ctx context.Context, shard int, role route.Role) (*pool.Pool, error) {
			if shard == 2 && away.Load() {
				return nil, errors.New("it is away")
			}
			return pick(ctx, shard, role)
		}
		cfg.TwoPhase = t.TempDir()
		// A proxy has decided one transaction, prepared another, and is gone.
		log, err := twophase.OpenLog(cfg.TwoPhase, twophase.LogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		decided, left = "pgx_"+log.Instance()+"_a_1_6", "pgx_"+log.Instance()+"_a_2_6"
		for _, shard := range []int{1, 2} {
			c, err := shards.Connector(pick)(t.Context(), shard)
			if err != nil {
				t.Fatal(err)
			}
			for _, sql := range []string{
				"BEGIN", "CREATE TABLE decided ()", "PREPARE TRANSACTION '" + gid(decided, shard) + "'",
				"BEGIN", "CREATE TABLE undone ()", "PREPARE TRANSACTION '" + gid(left, shard) + "'",
			} {
				if err := c.Query(t.Context(), sql, func([][]byte) error { return nil }); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
		}
		if err := log.Decide(decided, []int{1, 2}); err != nil {
			t.Fatal(err)
		}
	})
	prepared := func(shard int) int {
		return one[int](t, h.direct(shard), "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()")
	}
	tables := "SELECT coalesce(to_regclass('decided')::text, '') || ' ' || coalesce(to_regclass('undone')::text, '')"
	if n, s := prepared(1), one[string](t, h.direct(1), tables); n != 0 || s != "decided " {
		t.Errorf("shard 1, which is there, has %d prepared transactions and the tables %s", n, s)
	}
	if n := prepared(2); n != 2 {
		t.Fatalf("shard 2 has %d prepared transactions", n)
	}
	if list := h.cluster.Coordinator.Transactions(); len(list) != 1 || len(list[0].Pending) != 1 || list[0].Pending[0] != 2 {
		t.Errorf("in doubt are %+v", list)
	}
	c := h.connect()
	served, refusedIDs := 0, 0
	for id := range 30 {
		_, err := c.Exec(t.Context(), "INSERT INTO users VALUES ($1, 'x', 'glad')", id)
		if err == nil {
			served++
			continue
		}
		refusedIDs++
		refused(t, c, "08006", "shard 2: it is away", "INSERT INTO users VALUES ($1, 'x', 'glad')", id)
	}
	if served == 0 || refusedIDs == 0 {
		t.Errorf("%d rows are written, %d refused", served, refusedIDs)
	}
	refused(t, c, "08006", "shard 2: it is away", "SELECT count(*) FROM users")
	away.Store(false)
	for limit := time.Now().Add(time.Minute); ; { // it is not tried at each statement
		var n int
		err := c.QueryRow(t.Context(), "SELECT count(*) FROM users").Scan(&n)
		if err == nil && n == served {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("%d rows of %d, %v", n, served, err)
		}
	}
	if n, s := prepared(2), one[string](t, h.direct(2), tables); n != 0 || s != "decided " {
		t.Errorf("shard 2 has %d prepared transactions and the tables %s once it is back", n, s)
	}
	if list := h.cluster.Coordinator.Transactions(); len(list) != 0 {
		t.Errorf("in doubt are %+v", list)
	}
	// Its types have other numbers than the first shard's.
	for id := range 30 {
		_, _ = c.Exec(t.Context(), "INSERT INTO users VALUES ($1, 'x', 'glad')", id)
	}
	if n := one[int](t, c, "SELECT count(*) FROM users WHERE m = 'glad'"); n != 30 {
		t.Errorf("%d rows, want 30", n)
	}
}

// TestNobodyWaitsForEver has many more clients than connections, whose transactions go over the
// shards in any order.
func TestNobodyWaitsForEver(t *testing.T) { transports(t, testNobodyWaitsForEver) }

func testNobodyWaitsForEver(t *testing.T) {
	h := newHouse(t, demoSchema, func(cfg *shards.Config) {
		pick := cfg.Pick
		var pools []*pool.Pool
		for shard := range houseShards {
			p, err := pick(t.Context(), shard, route.Primary)
			if err != nil {
				t.Fatal(err)
			}
			// Who waits longer waits for ever.
			p = pool.New(p.Backend(), pool.Config{Size: 3, CheckoutTimeout: 2 * time.Minute}, nil)
			t.Cleanup(func() { p.Close(context.Background()) })
			pools = append(pools, p)
		}
		cfg.Pick = func(_ context.Context, shard int, _ route.Role) (*pool.Pool, error) { return pools[shard], nil }
	})
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for client := range 30 {
		c := h.connect()
		wg.Go(func() {
			for n := range 6 {
				tx, err := c.Begin(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				for _, i := range rand.Perm(8) {
					if _, err := tx.Exec(ctx, "INSERT INTO users VALUES ($1, 'x')", client*1000+n*10+i); err != nil {
						t.Error(err)
						return
					}
				}
				if err := tx.Commit(ctx); err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Exec(ctx, "SELECT email FROM users ORDER BY email LIMIT 3"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := one[int](t, h.connect(), "SELECT count(*) FROM users"); n != 30*6*8 {
		t.Errorf("%d rows", n)
	}
}
