package proxy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

func state(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Severity + " " + e.Code
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestOptions tries what a configuration may say about clients.
func TestOptions(t *testing.T) { transports(t, testOptions) }

func testOptions(t *testing.T) {
	srv := startServer(t, engines.Spec{})

	t.Run("a transaction that lasts too long", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, func(c *proxy.Config, _ *proxy.Database) {
			c.TransactionTimeout = 500 * time.Millisecond
		})
		conn := b.connect("")
		run(t, conn, "CREATE TABLE IF NOT EXISTS timed (a int)")
		run(t, conn, "BEGIN")
		run(t, conn, "INSERT INTO timed VALUES (1)")
		wait, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := conn.PgConn().WaitForNotification(wait); state(err) != "FATAL 25P04" {
			t.Errorf("it ended with %v", err)
		}
		next := b.connect("")
		if v := value(t, next, "SELECT count(*)::text FROM timed"); v != "0" {
			t.Errorf("%s rows of a transaction that was cut off", v)
		}
		if _, err := next.Exec(t.Context(), "SELECT pg_sleep(600)"); err == nil {
			t.Error("a statement of ten minutes ended well")
		}
	})

	t.Run("who waits is told", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, func(c *proxy.Config, _ *proxy.Database) {
			c.WaitNotify = time.Millisecond
		})
		holder := b.connect("")
		run(t, holder, "BEGIN")
		cfg, err := pgx.ParseConfig(b.url(""))
		if err != nil {
			t.Fatal(err)
		}
		notices := make(chan string, 100)
		cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices <- n.Message }
		waiter, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer waiter.Close(context.Background())
		answered := make(chan error, 1)
		go func() {
			_, err := waiter.Exec(t.Context(), "SELECT 1")
			answered <- err
		}()
		if n := <-notices; !strings.Contains(n, `all server connections of database "postgres" are in use`) {
			t.Errorf("notice %q", n)
		}
		run(t, holder, "COMMIT")
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})

	t.Run("who gets no connection", func(t *testing.T) {
		for drop, want := range map[bool]string{false: "ERROR 53300", true: "FATAL 53300"} {
			b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1, CheckoutTimeout: 300 * time.Millisecond}, func(c *proxy.Config, _ *proxy.Database) {
				c.DropClients = drop
			})
			// The first connection may take longer than that.
			eventually(t, "there is a connection", func() bool {
				c, err := b.pool.Get(t.Context())
				if err == nil {
					c.Release()
				}
				return err == nil
			})
			holder, other := b.connect(""), b.connect("")
			run(t, holder, "BEGIN")
			if _, err := other.Exec(t.Context(), "SELECT 1"); state(err) != want {
				t.Errorf("got %v, want %s", err, want)
			}
			if other.IsClosed() != drop {
				t.Errorf("closed: %v", other.IsClosed())
			}
			run(t, holder, "COMMIT")
		}
	})

	t.Run("startup parameters", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, func(c *proxy.Config, _ *proxy.Database) {
			c.IgnoreStartup = []string{"extra_float_digits", "No_Such_Thing"}
			c.NameHosts = true
		})
		conn := b.connect("no_such_thing=1&extra_float_digits=3&application_name=reports&options=-c%20no_such_thing%3D2")
		if v := value(t, conn, "SELECT current_setting('application_name')"); !strings.HasPrefix(v, "reports - 127.0.0.1:") {
			t.Errorf("application_name is %q", v)
		}
		if v := value(t, conn, "SHOW extra_float_digits"); v != "1" {
			t.Errorf("extra_float_digits is %s", v)
		}
		if v := value(t, b.connect(""), "SELECT current_setting('application_name')"); !strings.HasPrefix(v, "app - 127.0.0.1:") {
			t.Errorf("application_name is %q", v)
		}
	})

	t.Run("the reset query after each transaction", func(t *testing.T) {
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1, ResetAlways: true}, nil)
		conn := b.connect("")
		run(t, conn, "SET work_mem = '5MB'")
		for range 3 { // its own settings and statements follow it all the same
			if v := value(t, conn, "SELECT current_setting('work_mem') || $1::text", "!"); v != "5MB!" {
				t.Errorf("work_mem is %s", v)
			}
		}
		run(t, conn, "DO $$BEGIN CREATE TEMP TABLE hidden (a int); END$$") // which no text tells
		other := b.connect("")
		if v := value(t, other, "SELECT count(*)::text FROM pg_class WHERE relname = 'hidden'"); v != "0" {
			t.Errorf("another client sees %s temporary tables", v)
		}
	})
}
