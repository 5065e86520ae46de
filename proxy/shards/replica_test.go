package shards_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
)

// TestReadYourWrites has replicas that never catch up: a session sees what it has written, and
// others may not.
func TestReadYourWrites(t *testing.T) { transports(t, testReadYourWrites) }

func testReadYourWrites(t *testing.T) {
	replicas := make([]*pool.Pool, houseShards)
	behind := func(d time.Duration) *house {
		h := newHouse(t, demoSchema, func(c *shards.Config) {
			primaries := c.Pick
			c.Behind = d
			c.Pick = func(ctx context.Context, shard int, role route.Role) (*pool.Pool, error) {
				if role == route.Replica && replicas[shard] != nil {
					return replicas[shard], nil
				}
				return primaries(ctx, shard, role)
			}
		})
		root, err := engines.Connect(t.Context(), h.srv, "")
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close(context.Background())
		for i := range replicas {
			name := fmt.Sprint("stale", i)
			mustExec(t, root, "CREATE DATABASE "+name)
			c, err := engines.Connect(t.Context(), h.srv, name)
			if err != nil {
				t.Fatal(err)
			}
			mustExec(t, c, demoSchema)
			_ = c.Close(context.Background())
			replicas[i] = pool.New(&pool.Backend{ID: 100 + i, Name: name, Shard: i, Dial: h.srv.Dial, Login: pool.Credentials{User: h.srv.Info().User, Database: name}}, pool.Config{Size: 5, Loops: newLoops(t)}, nil)
			t.Cleanup(func() { replicas[i].Close(context.Background()) })
		}
		return h
	}
	h := behind(0)
	a, b := h.connect(), h.connect()
	mustExec(t, a, "INSERT INTO users VALUES (1, 'a')")
	for _, tt := range []struct {
		who  string
		n    int
		want int
	}{
		{"the writer, by key", one[int](t, a, "SELECT count(*) FROM users WHERE id = 1"), 1},
		{"the writer, on all shards", one[int](t, a, "SELECT count(*) FROM users"), 1},
		{"the writer, who wants a replica", one[int](t, a, "/* pgdog_role: replica */ SELECT count(*) FROM users"), 0},
		{"another", one[int](t, b, "SELECT count(*) FROM users"), 0},
	} {
		if tt.n != tt.want {
			t.Errorf("%s sees %d rows, want %d", tt.who, tt.n, tt.want)
		}
	}
	mustExec(t, b, "BEGIN; INSERT INTO users VALUES (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e'); COMMIT")
	if n := one[int](t, b, "SELECT count(*) FROM users"); n != 5 {
		t.Errorf("after its transaction it sees %d rows", n)
	}
	mustExec(t, b, "DISCARD ALL")
	if n := one[int](t, b, "SELECT count(*) AS n FROM users"); n != 0 {
		t.Errorf("after DISCARD ALL it sees %d rows", n)
	}
	// Replicas that are known not to be far behind serve it again.
	clear(replicas)
	h = behind(time.Nanosecond)
	a = h.connect()
	mustExec(t, a, "INSERT INTO users VALUES (1, 'a')")
	if n := one[int](t, a, "SELECT count(*) FROM users"); n != 0 {
		t.Errorf("later it sees %d rows", n)
	}
}
