package pool_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

// limited makes pools that share limits, and closes them.
func limited(t *testing.T, srv engines.Server, cfg pool.Config, n int, limits ...*pool.Limit) []*pool.Pool {
	t.Helper()
	out := make([]*pool.Pool, n)
	for i := range out {
		out[i] = pool.New(backend(srv), cfg, nil, limits...)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		for _, p := range out {
			p.Close(ctx)
		}
	})
	return out
}

// limit makes one that is checked for what is left when all pools are closed.
func limit(t *testing.T, name string, max int) *pool.Limit {
	l := pool.NewLimit(name, max)
	t.Cleanup(func() {
		if n := l.Used(); n != 0 {
			t.Errorf("%s counts %d connections of closed pools", name, n)
		}
	})
	return l
}

func TestLimit(t *testing.T) {
	srv := start(t, engines.Spec{})

	t.Run("idle connections make room", func(t *testing.T) {
		l := limit(t, "max_db_connections", 2)
		p := limited(t, srv, pool.Config{Size: 5, CheckoutTimeout: 30 * time.Second}, 3, l)
		for range 3 {
			for _, p := range p {
				get(t, p).Release()
			}
		}
		if n := l.Used(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})

	t.Run("who waits gets the next one that comes back", func(t *testing.T) {
		l := limit(t, "max_db_connections", 1)
		p := limited(t, srv, pool.Config{Size: 5, CheckoutTimeout: 30 * time.Second}, 2, l)
		held := get(t, p[0])
		got := make(chan error, 1)
		go func() {
			c, err := p[1].Get(context.Background())
			if err == nil {
				c.Release()
			}
			got <- err
		}()
		eventually(t, "the other pool waits", func() bool { return p[1].Stats().Waiting == 1 })
		held.Release()
		if err := <-got; err != nil {
			t.Error(err)
		}
	})

	t.Run("it can be reached", func(t *testing.T) {
		l := limit(t, "max_user_connections", 1)
		p := limited(t, srv, pool.Config{Size: 5, CheckoutTimeout: 50 * time.Millisecond}, 2, l)
		held := get(t, p[0])
		_, err := p[1].Get(t.Context())
		e, ok := errors.AsType[*wire.Error](err)
		if !ok || e.Code != wire.CodeTooManyConnections || e.Hint != "The limit max_user_connections (1) is reached; raise it, or make transactions shorter." {
			t.Errorf("%v", err)
		}
		l.SetMax(2)
		other, err := p[1].Get(t.Context())
		for tries := 0; err != nil && tries < 100; tries++ { // a busy machine may take longer than the timeout
			other, err = p[1].Get(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		other.Release()
		held.Release()
	})

	t.Run("a failing server gives its room back", func(t *testing.T) {
		l := limit(t, "max_db_connections", 1)
		b := backend(srv)
		b.Login.Database = "missing"
		p := pool.New(b, pool.Config{CheckoutTimeout: 30 * time.Second}, nil, l)
		defer p.Close(context.Background())
		for range 3 {
			if _, err := p.Get(t.Context()); err == nil {
				t.Fatal("a connection to a database that is not there")
			}
		}
		if n := l.Used(); n != 0 {
			t.Errorf("%d connections are counted", n)
		}
	})

	// Everybody is served, and there are never more connections than the limits allow.
	t.Run("many", func(t *testing.T) {
		db, user := limit(t, "max_db_connections", 3), limit(t, "max_user_connections", 2)
		a := limited(t, srv, pool.Config{Size: 3, CheckoutTimeout: time.Minute}, 3, db)
		a = append(a, limited(t, srv, pool.Config{Size: 3, CheckoutTimeout: time.Minute}, 2, db, user)...)
		var wg sync.WaitGroup
		var failures atomic.Int64
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		for i := range 20 {
			wg.Go(func() {
				for range 10 {
					c, err := a[i%len(a)].Get(ctx)
					if err != nil {
						failures.Add(1)
						t.Error(err)
						return
					}
					if d, u := db.Used(), user.Used(); d > 3 || u > 2 {
						failures.Add(1)
						t.Errorf("%d and %d connections", d, u)
					}
					c.Release()
				}
			})
		}
		wg.Wait()
	})
}
