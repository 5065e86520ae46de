package proxy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/pubsub"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A gate is a connection that listens and lets nothing come while it is shut. What is sent by it
// meanwhile it tells of.
type gate struct {
	pubsub.Conn
	sent chan struct{}

	mu   sync.Mutex
	shut chan struct{} // nil while it is open
}

func (g *gate) Send(b []byte) error {
	g.mu.Lock()
	if g.shut != nil {
		select {
		case g.sent <- struct{}{}:
		default:
		}
	}
	g.mu.Unlock()
	return g.Conn.Send(b)
}

func (g *gate) Receive() (wire.Type, []byte, error) {
	typ, body, err := g.Conn.Receive()
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil && err == nil {
		<-shut
	}
	return typ, body, err
}

// close shuts the gate until open is called.
func (g *gate) close() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	shut := make(chan struct{})
	g.shut = shut
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.shut = nil
		g.mu.Unlock()
		close(shut)
	})
}

func TestUnlisten(t *testing.T) { transports(t, testUnlisten) }

// testUnlisten has notifications under way when their channel is given up: the client is told of
// them first, as by a server that it listens on itself.
func testUnlisten(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	direct, err := engines.Connect(t.Context(), srv, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = direct.Close(context.Background()) }()

	var g *gate // the last one: the keeper's
	backend := &pool.Backend{ID: "l", Name: "l", Dial: srv.Dial, Login: pool.Credentials{User: srv.Info().User, Database: "postgres"}}
	hub := pubsub.New(pubsub.Config{Connect: func(ctx context.Context) (pubsub.Conn, error) {
		c, err := shards.Listener(ctx, backend)
		if err == nil {
			g = &gate{Conn: c, sent: make(chan struct{}, 1)}
			c = g
		}
		return c, err
	}})
	defer hub.Close()
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, func(_ *proxy.Config, db *proxy.Database) {
		db.Listener = func() *pubsub.Hub { return hub }
	})
	connect := func() (*pgx.Conn, *[]string) {
		cfg, err := pgx.ParseConfig(b.url(""))
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		cfg.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { told = append(told, n.Channel+" "+n.Payload) }
		c, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		return c, &told
	}
	keeper, _ := connect()
	run(t, keeper, "LISTEN kept") // so that the hub keeps its connection

	for _, sql := range []string{"UNLISTEN a", "UNLISTEN *", "DISCARD ALL", "SELECT 1; UNLISTEN a"} {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
			if mode == pgx.QueryExecModeExec && strings.Contains(sql, ";") {
				continue
			}
			t.Run(fmt.Sprint(sql, " ", mode), func(t *testing.T) {
				c, told := connect()
				run(t, c, "LISTEN a")
				open := g.close()
				defer open()
				run(t, direct, "NOTIFY a, 'under way'")
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				done := make(chan error, 1)
				go func() {
					_, err := c.Exec(ctx, sql, mode)
					done <- err
				}()
				select {
				case err := <-done:
					t.Fatalf("it was answered before what was under way had come: %v", err)
				case <-g.sent:
				}
				open()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				// Before UNLISTEN was answered.
				if !slices.Equal(*told, []string{"a under way"}) {
					t.Errorf("it was told %q", *told)
				}
				run(t, direct, "NOTIFY a, 'too late'")
				run(t, c, "LISTEN b")
				run(t, direct, "NOTIFY b, 'end'")
				for len(*told) < 2 {
					if err := c.PgConn().WaitForNotification(ctx); err != nil {
						t.Fatal(err)
					}
				}
				if (*told)[1] != "b end" {
					t.Errorf("then it was told %q", *told)
				}
			})
		}
	}

	t.Run("in a transaction", func(t *testing.T) {
		c, told := connect()
		run(t, c, "LISTEN a")
		run(t, direct, "NOTIFY a, 'before'")
		for _, sql := range []string{"BEGIN", "UNLISTEN a", "ROLLBACK", "BEGIN", "UNLISTEN a", "COMMIT"} {
			run(t, c, sql)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for len(*told) == 0 {
			if err := c.Ping(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(*told, []string{"a before"}) {
			t.Errorf("it was told %q", *told)
		}
	})

	t.Run("what the client sends itself, in a pipeline", func(t *testing.T) {
		for range 50 {
			c, told := connect()
			p := c.PgConn().StartPipeline(t.Context())
			for _, sql := range []string{"LISTEN a", "SELECT pg_notify('a', 'own')", "UNLISTEN a"} {
				p.SendQueryParams(sql, nil, nil, nil, nil)
				if err := p.Sync(); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(*told, []string{"a own"}) {
				t.Fatalf("it was told %q", *told)
			}
			_ = c.Close(t.Context())
		}
	})

	t.Run("the connection that listens does not answer", func(t *testing.T) {
		c, _ := connect()
		run(t, c, "LISTEN a")
		run(t, direct, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query = '' AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, err := c.Exec(ctx, "UNLISTEN a"); err != nil {
			t.Error(err)
		}
	})
}
