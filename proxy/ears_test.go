package proxy_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/pubsub"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
)

// newListening is a bench of one server connection, in front of which LISTEN is shared.
func newListening(t *testing.T, srv engines.Server) *bench {
	t.Helper()
	backend := &pool.Backend{ID: "l", Name: "l", Dial: srv.Dial, Login: pool.Credentials{User: srv.Info().User, Database: "postgres"}}
	backend.Params = map[string]string{"application_name": "ear"}
	hub := pubsub.New(pubsub.Config{Connect: func(ctx context.Context) (pubsub.Conn, error) { return shards.Listener(ctx, backend) }})
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, func(_ *proxy.Config, db *proxy.Database) {
		db.Listener = func() *pubsub.Hub { return hub }
		db.Notifications = 1000
	})
	t.Cleanup(hub.Close)
	return b
}

// next waits for a notification.
func next(t *testing.T, c *pgx.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	n, err := c.WaitForNotification(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return n.Channel + " " + n.Payload
}

func TestSharedListen(t *testing.T) { transports(t, testSharedListen) }

func testSharedListen(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	direct, err := engines.Connect(t.Context(), srv, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = direct.Close(context.Background()) }()
	const count = "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'ear'"

	t.Run("by every protocol, on one connection", func(t *testing.T) {
		b := newListening(t, srv)
		sender := b.connect("")
		var all []*pgx.Conn
		for i, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec} {
			for range 2 {
				c := b.connect("")
				tag, err := c.Exec(t.Context(), `LISTEN "A b"`, mode)
				if err != nil || tag.String() != "LISTEN" {
					t.Fatalf("%v: %s %v", mode, tag, err)
				}
				if tag, err := c.Exec(t.Context(), fmt.Sprintf("listen own%d", i), mode); err != nil || tag.String() != "LISTEN" {
					t.Fatalf("%v: %s %v", mode, tag, err)
				}
				all = append(all, c)
			}
		}
		b.rest() // nobody keeps the server connection
		run(t, sender, `SELECT pg_notify('A b', 'one')`)
		simple(t, sender, `NOTIFY "A b", 'two'`)
		for i, c := range all {
			if n := next(t, c) + ", " + next(t, c); n != "A b one, A b two" {
				t.Errorf("client %d was told %s", i, n)
			}
		}
		run(t, sender, "NOTIFY own2, 'x'")
		if n := next(t, all[4]) + next(t, all[5]); n != "own2 xown2 x" {
			t.Errorf("of a channel of its own: %s", n)
		}
		if n := value(t, direct, count); n != "1" {
			t.Errorf("%s connections listen", n)
		}
		for _, c := range all {
			_ = c.Close(t.Context())
		}
		eventually(t, "nobody listens any more", func() bool { return value(t, direct, count) == "0" })
	})

	t.Run("transactions", func(t *testing.T) {
		b := newListening(t, srv)
		c := b.connect("")
		run(t, c, "LISTEN kept")
		for _, sql := range []string{
			"BEGIN", "LISTEN rolled", "SAVEPOINT a", "LISTEN back", "ROLLBACK TO a", "COMMIT",
			"BEGIN", "LISTEN never", "ROLLBACK",
			"BEGIN", "UNLISTEN kept", "ROLLBACK",
			"LISTEN gone", "UNLISTEN gone",
		} {
			run(t, c, sql)
		}
		if _, err := c.Exec(t.Context(), "BEGIN; LISTEN failed; SELECT 1/0"); err == nil {
			t.Error("no error")
		}
		run(t, c, "ROLLBACK")
		run(t, c, "BEGIN")
		run(t, c, "SELECT 1")
		for _, channel := range []string{"back", "never", "gone", "failed", "kept", "rolled"} {
			run(t, direct, "NOTIFY "+channel)
		}
		// The client is in a transaction: it is told when that is over.
		early, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if n, err := c.WaitForNotification(early); err == nil {
			t.Errorf("in a transaction it was told %v", n)
		}
		cancel()
		if c.IsClosed() { // pgx gives up a connection whose read was cut short
			c = b.connect("")
			run(t, c, "LISTEN kept")
			run(t, c, "LISTEN rolled")
			run(t, direct, "NOTIFY kept")
			run(t, direct, "NOTIFY rolled")
		} else {
			run(t, c, "COMMIT")
		}
		if n := next(t, c) + next(t, c); n != "kept rolled " {
			t.Errorf("it was told %q", n)
		}
		simple(t, c, "UNLISTEN *")
		simple(t, c, "LISTEN later")
		run(t, direct, "NOTIFY kept")
		run(t, direct, "NOTIFY later")
		if n := next(t, c); n != "later " {
			t.Errorf("it was told %q", n)
		}
		simple(t, c, "DISCARD ALL")
		simple(t, c, "LISTEN last")
		run(t, direct, "NOTIFY later")
		run(t, direct, "NOTIFY last")
		if n := next(t, c); n != "last " {
			t.Errorf("it was told %q", n)
		}
		if _, err := c.Exec(t.Context(), "LISTEN a b"); code(err) != "42601" {
			t.Errorf("a mistake: %v", err)
		}
	})

	t.Run("the connection that listens is lost", func(t *testing.T) {
		b := newListening(t, srv)
		cfg, err := pgx.ParseConfig(b.url(""))
		if err != nil {
			t.Fatal(err)
		}
		var warned atomic.Int64
		cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
			if strings.Contains(n.Message, "notifications may be missing") {
				warned.Add(1)
			}
		}
		c, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(context.Background()) }()
		run(t, c, "LISTEN again")
		run(t, direct, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ear'")
		eventually(t, "the client is told that it was lost", func() bool { run(t, c, "SELECT 1"); return warned.Load() > 0 })
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-done:
					return
				case <-tick.C:
					_, _ = direct.Exec(context.Background(), "NOTIFY again")
				}
			}
		})
		if n := next(t, c); n != "again " {
			t.Errorf("it was told %q", n)
		}
		close(done)
		wg.Wait()
	})

	t.Run("many while they work", func(t *testing.T) {
		b := newListening(t, srv)
		const clients, each = 6, 20
		var wg sync.WaitGroup
		var ready sync.WaitGroup
		ready.Add(clients)
		for i := range clients {
			wg.Go(func() {
				var got atomic.Int64
				cfg, err := pgx.ParseConfig(b.url(""))
				if err == nil {
					cfg.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { got.Add(1) }
				}
				c, err := pgx.ConnectConfig(t.Context(), cfg)
				if err == nil {
					_, err = c.Exec(t.Context(), "LISTEN crowd")
				}
				ready.Done()
				if err != nil {
					t.Error(err)
					return
				}
				ready.Wait()
				for n := range each {
					if _, err := c.Exec(t.Context(), "SELECT pg_notify('crowd', $1)", fmt.Sprint(i, " ", n)); err != nil {
						t.Error(err)
						return
					}
				}
				for deadline := time.Now().Add(30 * time.Second); got.Load() < clients*each; {
					if _, err := c.Exec(t.Context(), "SELECT 1"); err != nil || time.Now().After(deadline) {
						t.Errorf("client %d was told %d times: %v", i, got.Load(), err)
						break
					}
				}
				_ = c.Close(t.Context())
			})
		}
		wg.Wait()
	})
}

// TestNotifiedInOrder has a client told, by the answer to its next query at the latest, what another
// one knows that it has sent, and of its own before it can ask.
func TestNotifiedInOrder(t *testing.T) { transports(t, testNotifiedInOrder) }

func testNotifiedInOrder(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	direct, err := engines.Connect(t.Context(), srv, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = direct.Close(context.Background()) }()
	b := newListening(t, srv)
	sender := b.connect("")
	const clients = 4
	var told [clients]atomic.Int64
	var all []*pgx.Conn
	for i := range clients {
		cfg, err := pgx.ParseConfig(b.url(""))
		if err != nil {
			t.Fatal(err)
		}
		cfg.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { told[i].Add(1) }
		c, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(context.Background()) }()
		run(t, c, "LISTEN sequence1")
		all = append(all, c)
	}
	for n := range int64(30) {
		who := []*pgx.Conn{sender, direct, all[1]}[n%3]
		start := time.Now()
		// A machine that is slower than that has it come late, as the help says.
		slow := func(i int) bool {
			for time.Since(start) >= time.Second && time.Since(start) < time.Minute && told[i].Load() != n+1 {
				if _, err := all[i].Exec(t.Context(), "SELECT 1"); err != nil {
					return false
				}
			}
			return told[i].Load() == n+1
		}
		run(t, who, "NOTIFY sequence1")
		if got := told[1].Load(); who == all[1] && got != n+1 && !slow(1) {
			t.Fatalf("of %d notifications the one who sent the last was told %d", n+1, got)
		}
		var wg sync.WaitGroup
		for i, c := range all {
			wg.Go(func() {
				if i%2 == 0 {
					if _, err := c.Exec(t.Context(), "SELECT 1"); err != nil {
						t.Error(err)
					}
				} else if _, err := c.Exec(t.Context(), "SELECT $1::int", pgx.QueryExecModeExec, 1); err != nil {
					t.Error(err)
				}
				if got := told[i].Load(); got != n+1 && !slow(i) {
					t.Errorf("client %d was told %d of %d notifications", i, got, n+1)
				}
			})
		}
		if wg.Wait(); t.Failed() {
			return
		}
	}
	// In a transaction it is told when that is over.
	c := all[0]
	before := told[0].Load()
	run(t, c, "BEGIN")
	run(t, direct, "NOTIFY sequence1")
	run(t, c, "SELECT 1")
	if got := told[0].Load(); got != before {
		t.Errorf("it was told %d in a transaction", got-before)
	}
	run(t, c, "COMMIT")
	if got := told[0].Load(); got != before+1 {
		t.Errorf("it was told %d after it", got-before)
	}
	// A server that listens and does not answer delays nobody for long.
	pid := value(t, direct, "SELECT pid::text FROM pg_stat_activity WHERE application_name = 'ear'")
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(n, syscall.SIGCONT) }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range 100 { // each of them would take a second
		if _, err := c.Exec(ctx, "SELECT 1"); err != nil {
			t.Fatal(err)
		}
	}
	run(t, sender, "NOTIFY sequence1")
	if err := syscall.Kill(n, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was late comes", func() bool { run(t, c, "SELECT 1"); return told[0].Load() == before+2 })
}
