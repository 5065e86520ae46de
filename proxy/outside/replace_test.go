package outside_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestReplace replaces the proxy ten times while clients connect again and again, each for a
// transaction of two statements: none may notice, neither on TCP nor on a Unix socket.
func TestReplace(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"tcp", "unix"} {
		t.Run(listen, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			p := configure(t, s, "default_pool_size = 3\nlog_connections = false\nlog_disconnections = false\nshutdown_timeout = 60000", "")
			flag := "--listen=tcp"
			if listen == "unix" {
				flag = "--listen=unix:" + filepath.Join(p.dir, "s")
			}
			x := p.proxy(flag)
			url := x.url
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var done atomic.Int64
			var wg sync.WaitGroup
			defer wg.Wait()
			defer stop()
			for i := range 4 {
				wg.Go(func() {
					for ctx.Err() == nil {
						if err := transact(context.WithoutCancel(ctx), url, i); err != nil {
							t.Errorf("client %d: %v", i, err)
							return
						}
						done.Add(1)
					}
				})
			}
			for range 10 {
				before := done.Load()
				eventually(t, "transactions go on", func() bool { return done.Load() > before+20 || t.Failed() })
				next := p.proxy(flag, "--replace")
				if next.url != url {
					t.Fatalf("the proxy was at %s and now is at %s", url, next.url)
				}
				next.says("has handed its sockets over")
				x.wait() // its clients all go by themselves
				x = next
			}
			before := done.Load()
			eventually(t, "transactions go on", func() bool { return done.Load() > before+20 || t.Failed() })
			stop()
			wg.Wait()
			x.end()
			if listen == "unix" {
				if _, err := os.Stat(filepath.Join(p.dir, "s")); !os.IsNotExist(err) {
					t.Errorf("the last one leaves the socket's directory: %v", err)
				}
			}
			t.Logf("%d transactions, none failed", done.Load())
		})
	}
}

// transact is a client that comes for one transaction.
func transact(ctx context.Context, url string, i int) error {
	c, err := connect(ctx, url, "postgres", "secret", "app")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		var a, b int
		if err := tx.QueryRow(ctx, "SELECT $1::int", i).Scan(&a); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT $1::int + 1", a).Scan(&b); err != nil {
			return err
		}
		if b != i+1 {
			return fmt.Errorf("got %d for %d", b, i)
		}
		return nil
	})
}

// TestReplaceWithClients replaces a proxy whose clients stay: their transactions end, their
// cancel requests find them, and they are told to go when the time is over.
func TestReplaceWithClients(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := configure(t, s, "shutdown_timeout = 600000", "")
	first := p.proxy("--listen=tcp")
	c := first.app()
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := p.proxy("--listen=tcp", "--replace")
	third := p.proxy("--listen=tcp", "--replace")
	// A cancel request comes by the third one, and is for a client of the first.
	failed := make(chan error, 1)
	go func() {
		_, err := tx.Exec(t.Context(), "SELECT pg_sleep(600)")
		failed <- err
	}()
	watcher := third.app()
	eventually(t, "the query runs", func() bool {
		var n int
		err := watcher.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'").Scan(&n)
		return err == nil && n == 1
	})
	if err := c.PgConn().CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "57014") {
		t.Fatalf("the query ended with %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// SIGTERM cuts the wait for clients short; the idle one is told.
	first.end()
	if _, err := c.Exec(t.Context(), "SELECT 1"); err == nil || !strings.Contains(err.Error(), "57P01") {
		t.Errorf("an idle client of a proxy that ended: %v", err)
	}
	second.wait() // it had no clients, and stayed for those of the first
	third.end()
}

// TestReplaceRefused tries what must change nothing.
func TestReplaceRefused(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := configure(t, s, "", "")
	x := p.proxy("--listen=tcp")
	// One whose configuration is wrong.
	p.write("bad.toml", "[general]\nport = 0\n[[databases]]\nname = \"app\"\n")
	bad := p.command("proxy", "--pgdog", "bad.toml", "--users", "users.toml", "--listen=tcp", "--replace")
	if out, err := bad.CombinedOutput(); err == nil {
		t.Errorf("a proxy with a mistake in its configuration: %s", out)
	}
	// One that is frozen, and then killed, in the middle.
	frozen := p.command("-v", "proxy", "--pgdog", "pgdog.toml", "--listen=tcp", "--replace")
	frozen.Stderr = os.Stderr
	if err := frozen.Start(); err != nil {
		t.Fatal(err)
	}
	_ = frozen.Process.Signal(syscall.SIGSTOP)
	if _, err := x.app().Exec(t.Context(), "SELECT 1"); err != nil {
		t.Error(err)
	}
	_ = frozen.Process.Kill()
	_ = frozen.Wait()
	for _, args := range [][]string{{"--replace", "--", "true"}} {
		cmd := p.command(append([]string{"proxy", "--pgdog", "pgdog.toml"}, args...)...)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "choose one") {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
	if _, err := x.app().Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("the proxy that should have stayed: %v", err)
	}
	x.end()
	// And with nobody there, it starts as ever.
	alone := p.proxy("--listen=tcp", "--replace")
	alone.says("there is no proxy to replace")
	alone.end()
}

// TestShutdownWaits ends the proxy once its last client has gone, whatever the configuration
// says of time.
func TestShutdownWaits(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := configure(t, s, "shutdown_timeout = 1", "")
	x := p.proxy("--listen=tcp")
	c := x.app()
	x.admin("SHUTDOWN WAIT_FOR_CLIENTS")
	eventually(t, "no more clients are let in", func() bool {
		other, err := connect(t.Context(), x.url, "postgres", "secret", "app")
		if err == nil {
			_ = other.Close(t.Context())
		}
		return err != nil
	})
	for range 3 {
		if _, err := c.Exec(t.Context(), "SELECT 1"); err != nil {
			t.Fatalf("a client that is waited for: %v", err)
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	x.wait()
}
