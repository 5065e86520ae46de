package shards_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/claim"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// TestSharedLimits has two users of the same shards, whose connections are limited together, write
// to the shards in any order: no two sessions may wait for each other's connections, which would
// last until checkout_timeout.
func TestSharedLimits(t *testing.T) {
	for _, tt := range []struct {
		name         string
		whole, shard int // of all connections of a user, and of both users' to a shard
	}{
		{"max_db_connections", 0, 1},
		{"max_user_connections", houseShards, 0},
		{"both", houseShards, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, "CREATE TABLE users (id bigint PRIMARY KEY, n int)", nil)
			bank := claim.NewBank()
			var perShard []*pool.Limit
			for range houseShards {
				perShard = append(perShard, pool.NewLimit("max_db_connections", tt.shard))
			}
			databases := map[string]*proxy.Database{}
			for _, user := range []string{"a", "b"} {
				whole := pool.NewLimit("max_user_connections", tt.whole)
				var pools []*pool.Pool
				for i := range houseShards {
					name := fmt.Sprint("shard", i)
					p := pool.New(&pool.Backend{ID: user + name, Name: name, Shard: i, Dial: h.srv.Dial, Login: pool.Credentials{User: h.srv.Info().User, Database: name}},
						pool.Config{Size: 4, CheckoutTimeout: 20 * time.Second}, nil, perShard[i], whole)
					t.Cleanup(func() { p.Close(context.Background()) })
					pools = append(pools, p)
				}
				c, err := shards.Open(t.Context(), shards.Config{
					Name: "d", Layout: houseLayout(), Claims: bank,
					Pick: func(_ context.Context, shard int, _ route.Role) (*pool.Pool, error) { return pools[shard], nil },
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.Close() })
				databases[user] = c.Database
			}
			px, err := proxy.New(proxy.Config{Auth: pgserver.Trust(), Lookup: func(_ context.Context, c proxy.Client) (*proxy.Database, error) { return databases[c.User], nil }})
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			ln, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
			if err != nil {
				t.Fatal(err)
			}
			serve(t, px, ln)
			keys := make([]int, houseShards) // one of each shard
			for i := range keys {
				keys[i] = h.keyOn(i)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			for i := range 8 {
				user := []string{"a", "b"}[i%2]
				c, err := pgx.Connect(ctx, fmt.Sprintf("host=%s user=%s dbname=d sslmode=disable default_query_exec_mode=simple_protocol", dir, user))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.Close(context.Background()) })
				wg.Go(func() {
					for round := range 12 {
						first, second := (i+round)%houseShards, (i+round+1+round%2)%houseShards
						for _, sql := range []string{
							"BEGIN",
							fmt.Sprintf("SELECT n FROM users WHERE id = %d", keys[first]),
							fmt.Sprintf("SELECT n FROM users WHERE id = %d", keys[second]),
							"SELECT count(*) FROM users",
							"COMMIT",
						} {
							if _, err := c.Exec(ctx, sql); err != nil {
								t.Errorf("%s: %v", sql, err)
								return
							}
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// keyOn is a user's id whose rows are on a shard.
func (h *house) keyOn(shard int) int {
	key := h.layout.Find("public", "users", []string{"id", "n"}).Key
	for id := 1; ; id++ {
		at, err := key.Place([]sharding.Raw{{Type: hash.Int8, Bytes: strconv.AppendInt(nil, int64(id), 10)}}, nil)
		if err != nil {
			h.t.Fatal(err)
		}
		if at == shard {
			return id
		}
	}
}

// TestTooLowLimit says at once that a limit is below what a statement needs.
func TestTooLowLimit(t *testing.T) {
	whole := pool.NewLimit("max_user_connections", 2)
	h := newHouse(t, "CREATE TABLE users (id bigint PRIMARY KEY, n int)", nil)
	var pools []*pool.Pool
	for i := range houseShards {
		name := fmt.Sprint("shard", i)
		p := pool.New(&pool.Backend{ID: name, Name: name, Shard: i, Dial: h.srv.Dial, Login: pool.Credentials{User: h.srv.Info().User, Database: name}},
			pool.Config{Size: 4, CheckoutTimeout: time.Minute}, nil, whole)
		t.Cleanup(func() { p.Close(context.Background()) })
		pools = append(pools, p)
	}
	c, err := shards.Open(t.Context(), shards.Config{
		Name: "d", Layout: houseLayout(),
		Pick: func(_ context.Context, shard int, _ route.Role) (*pool.Pool, error) { return pools[shard], nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	h.cluster.Database = c.Database
	conn := h.connect()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := conn.Exec(ctx, "SELECT n FROM users WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "SELECT count(*) FROM users"); err == nil || !strings.Contains(err.Error(), "is allowed") || !strings.Contains(err.Error(), "53300") {
		t.Errorf("%v, want an error that says why", err)
	}
	if _, err := conn.Exec(ctx, "SELECT n FROM users WHERE id IN ($1, $2)", h.keyOn(0), h.keyOn(1)); err != nil {
		t.Error(err)
	}
}
