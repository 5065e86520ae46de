package pool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

func start(t *testing.T, spec engines.Spec) engines.Server {
	t.Helper()
	spec.Fast = true
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	return srv
}

func backend(srv engines.Server) *pool.Backend {
	return &pool.Backend{
		ID: "test", Name: "test", Dial: srv.Dial,
		Login: pool.Credentials{User: srv.Info().User, Database: "postgres"},
	}
}

func open(t *testing.T, b *pool.Backend, cfg pool.Config) *pool.Pool {
	t.Helper()
	var loops *loop.Group
	if strings.Contains(t.Name(), "/epoll") {
		var err error
		if loops, err = loop.New(1); err != nil {
			t.Fatal(err)
		}
		cfg.Loops = loops
	}
	p := pool.New(b, cfg, nil)
	t.Cleanup(func() {
		if loops != nil {
			defer loops.Close()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		p.Close(ctx)
		if s := p.Stats(); s.Active+s.Idle+s.Waiting+s.Connecting != 0 {
			t.Errorf("the pool is closed and has %+v", s)
		}
	})
	return p
}

func get(t *testing.T, p *pool.Pool) *pool.Conn {
	t.Helper()
	c, err := p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func exec(t *testing.T, c *pool.Conn, sql string) string {
	t.Helper()
	d := c.Direct()
	defer d.Close()
	v, err := d.Exec(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !f(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come true", what)
		}
	}
}

func code(err error) wire.Code {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e.Code
	}
	return ""
}

// transports runs a test with connections that goroutines read from, and with such that a loop
// drives, where there is that.
func transports(t *testing.T, test func(t *testing.T)) {
	t.Run("goroutine", test)
	if g, err := loop.New(1); err == nil {
		g.Close()
		t.Run("epoll", test)
	}
}

func TestPool(t *testing.T) { transports(t, testPool) }

func testPool(t *testing.T) {
	srv := start(t, engines.Spec{})
	b := backend(srv)

	t.Run("reuse", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 2})
		c := get(t, p)
		if v := exec(t, c, "SELECT 40 + 2"); v != "42" {
			t.Errorf("got %s", v)
		}
		if v, _ := c.Reported.Get("server_encoding"); v != "UTF8" {
			t.Errorf("server_encoding is %q", v)
		}
		pid := c.PID()
		c.Release()
		c = get(t, p)
		if c.PID() != pid {
			t.Error("the idle connection was not used")
		}
		c.Release()
	})

	t.Run("first come, first served", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 1, CheckoutTimeout: -1})
		c := get(t, p)
		const n = 20
		var order []int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				c, err := p.Get(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				c.Release()
			})
			eventually(t, "the next one waits", func() bool { return p.Stats().Waiting == i+1 })
		}
		c.Release()
		wg.Wait()
		for i, v := range order {
			if i != v {
				t.Fatalf("served in the order %v", order)
			}
		}
	})

	t.Run("checkout timeout", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 1, CheckoutTimeout: 30 * time.Millisecond})
		eventually(t, "it is connected", func() bool {
			c, err := p.Get(t.Context())
			if err == nil {
				c.Release()
			}
			return err == nil
		})
		c := get(t, p)
		_, err := p.Get(t.Context())
		if code(err) != wire.CodeTooManyConnections || !strings.Contains(err.Error(), "30ms") {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("my cause"))
		if _, err := p.Get(ctx); err == nil || err.Error() != "my cause" {
			t.Errorf("got %v", err)
		}
		c.Release()
		get(t, p).Release()
	})

	t.Run("reserve", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 1, Reserve: 1, ReserveTimeout: 10 * time.Millisecond, CheckoutTimeout: -1})
		c, d := get(t, p), get(t, p)
		if c.PID() == d.PID() {
			t.Error("the same connection twice")
		}
		c.Release()
		d.Release()
	})

	t.Run("pause", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 2, CheckoutTimeout: -1})
		c := get(t, p)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := p.Pause(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Pause with a connection in use: %v", err)
		}
		got := make(chan *pool.Conn)
		go func() {
			c, err := p.Get(context.Background())
			if err != nil {
				t.Error(err)
			}
			got <- c
		}()
		eventually(t, "somebody waits", func() bool { return p.Stats().Waiting == 1 })
		c.Release()
		if err := p.Pause(t.Context()); err != nil {
			t.Error(err)
		}
		if s := p.Stats(); s.Waiting != 1 || !s.Paused {
			t.Errorf("paused, but %+v", s)
		}
		p.Resume()
		(<-got).Release()
	})

	t.Run("reconnect", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 2})
		c, d := get(t, p), get(t, p)
		first := map[uint32]bool{c.PID(): true, d.PID(): true}
		d.Release()
		p.Reconnect()
		if exec(t, c, "SELECT 1") != "1" {
			t.Error("a connection in use was harmed")
		}
		c.Release()
		c = get(t, p)
		if first[c.PID()] {
			t.Error("an old connection was used")
		}
		c.Release()
	})

	t.Run("lifetime and idleness", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 2, Lifetime: time.Millisecond})
		c := get(t, p)
		pid := c.PID()
		eventually(t, "it is too old", func() bool { return time.Since(c.Born()) > time.Millisecond })
		c.Release()
		c = get(t, p)
		if c.PID() == pid {
			t.Error("a connection outlived its lifetime")
		}
		c.Release()
		p = open(t, b, pool.Config{Size: 2, Min: 1, IdleTimeout: time.Millisecond})
		c, d := get(t, p), get(t, p)
		c.Release()
		d.Release()
		eventually(t, "idle connections above the minimum are closed", func() bool { return p.Stats().Idle == 1 })
	})

	t.Run("an idle connection dies", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 2})
		c, d := get(t, p), get(t, p)
		pid := d.PID()
		d.Release()
		exec(t, c, fmt.Sprintf("SELECT pg_terminate_backend(%d)", pid))
		eventually(t, "the pool knows", func() bool { s := p.Stats(); return s.Idle == 0 && s.Active == 1 })
		c.Release()
	})

	t.Run("abandoned", func(t *testing.T) {
		for name, test := range map[string]struct {
			send []wire.FrontendMessage
			pool.Abandoned
		}{
			"in a transaction": {[]wire.FrontendMessage{&wire.Query{SQL: "BEGIN"}}, pool.Abandoned{Readies: 1}},
			"before Sync":      {[]wire.FrontendMessage{&wire.Parse{SQL: "BEGIN"}, &wire.Bind{}, &wire.Execute{}}, pool.Abandoned{Sync: true}},
			"in COPY":          {[]wire.FrontendMessage{&wire.Query{SQL: "BEGIN; CREATE TEMP TABLE t (a int); COPY t FROM STDIN"}}, pool.Abandoned{Readies: 1, CopyIn: true}},
			"in a query":       {[]wire.FrontendMessage{&wire.Query{SQL: "SELECT pg_sleep(3600)"}}, pool.Abandoned{Readies: 1, Cancel: true}},
			"with state":       {[]wire.FrontendMessage{&wire.Query{SQL: "SET application_name = x"}}, pool.Abandoned{Readies: 1, Reset: true}},
		} {
			t.Run(name, func(t *testing.T) {
				p := open(t, b, pool.Config{Size: 1, CleanTimeout: 30 * time.Second, CheckoutTimeout: -1})
				c := get(t, p)
				pid := c.PID()
				var out []byte
				for _, m := range test.send {
					out, _ = wire.Append(out, m)
				}
				release := deafen(c)
				if _, err := c.Write(out); err != nil {
					t.Fatal(err)
				}
				left := c
				c.Recover(test.Abandoned)
				release()
				c = get(t, p)
				if c.PID() != pid {
					t.Errorf("the connection was not kept: %s", left.Why())
				}
				if c.Status != wire.TxIdle {
					t.Errorf("the transaction is %v", c.Status)
				}
				if v := exec(t, c, "SELECT current_setting('application_name')"); v != "" {
					t.Errorf("the state stayed: %s", v)
				}
				c.Release()
			})
		}
	})

	t.Run("abandoned for too long", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 1, CleanTimeout: 10 * time.Millisecond, CheckoutTimeout: -1})
		c := get(t, p)
		pid := c.PID()
		out, _ := wire.Append(nil, &wire.Query{SQL: "SELECT pg_sleep(3600)"})
		if _, err := c.Write(out); err != nil {
			t.Fatal(err)
		}
		// A server that has not begun yet does not hear of the end.
		other := get(t, open(t, b, pool.Config{Size: 1}))
		eventually(t, "the query runs", func() bool {
			return exec(t, other, fmt.Sprintf("SELECT state FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid = %d", pid)) == "active"
		})
		other.Release()
		c.Recover(pool.Abandoned{Readies: 1})
		c = get(t, p)
		if c.PID() == pid {
			t.Error("the connection was kept")
		}
		eventually(t, "the query is cancelled", func() bool {
			return exec(t, c, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()") == "0"
		})
		c.Release()
	})

	t.Run("cancel", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 2})
		c, other := get(t, p), get(t, p)
		out, _ := wire.Append(nil, &wire.Query{SQL: "SELECT pg_sleep(3600)"})
		if _, err := c.Write(out); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the query runs", func() bool {
			return exec(t, other, fmt.Sprintf("SELECT state FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid = %d", c.PID())) == "active"
		})
		other.Release()
		c.Hold()
		go func() {
			defer c.Release()
			if err := c.Cancel(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		d := c.Direct()
		for failed := false; ; {
			typ, body, err := d.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if typ == wire.TypeErrorResponse {
				var e wire.ErrorResponse
				if err := e.Decode(body); err != nil || e.Error.Code != wire.CodeQueryCanceled {
					t.Errorf("got %v, %v", &e.Error, err)
				}
				failed = true
			}
			if typ == wire.TypeReadyForQuery {
				if !failed {
					t.Error("it was not cancelled")
				}
				break
			}
		}
		d.Close()
		c.Release()
		get(t, p).Release()
	})

	t.Run("no server", func(t *testing.T) {
		bad := *b
		bad.Login.Database = "nowhere"
		p := open(t, &bad, pool.Config{Size: 2})
		if _, err := p.Get(t.Context()); code(err) != wire.CodeInvalidCatalogName {
			t.Errorf("got %v", err)
		}
		bad.Dial = func(context.Context) (net.Conn, error) { return nil, errors.New("no way") }
		p = open(t, &bad, pool.Config{Size: 2, ConnectAttempts: 2})
		if _, err := p.Get(t.Context()); code(err) != wire.CodeConnectionFailure || !strings.Contains(err.Error(), "no way") {
			t.Errorf("got %v", err)
		}
		p.Close(t.Context())
		if _, err := p.Get(t.Context()); !errors.Is(err, pool.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})

	t.Run("frozen server", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 1, ConnectTimeout: 50 * time.Millisecond, CheckoutTimeout: -1})
		pid := srv.Info().PID
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		_, err := p.Get(t.Context())
		if e := syscall.Kill(pid, syscall.SIGCONT); e != nil {
			t.Fatal(e)
		}
		if err == nil || !strings.Contains(err.Error(), "connect_timeout") {
			t.Errorf("got %v", err)
		}
		eventually(t, "the server is back", func() bool {
			c, err := p.Get(t.Context())
			if err == nil {
				c.Release()
			}
			return err == nil
		})
	})
}

// TestLogin logs in by every method the server has.
func TestLogin(t *testing.T) { transports(t, testLogin) }

func testLogin(t *testing.T) {
	srv := start(t, engines.Spec{TCP: "127.0.0.1:0"})
	hba := filepath.Join(srv.Info().Dir, "pg_hba.conf")
	old, err := os.ReadFile(hba)
	if err != nil {
		t.Fatal(err)
	}
	rules := "host all by_scram all scram-sha-256\nhost all by_md5 all md5\nhost all by_password all password\n" + string(old)
	if err := os.WriteFile(hba, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := open(t, backend(srv), pool.Config{})
	c := get(t, admin)
	exec(t, c, `SET password_encryption = 'scram-sha-256'; CREATE ROLE by_scram LOGIN PASSWORD 'geheim'; CREATE ROLE by_password LOGIN PASSWORD 'geheim';
		SET password_encryption = 'md5'; CREATE ROLE by_md5 LOGIN PASSWORD 'geheim'; RESET ALL; SELECT pg_reload_conf()`)
	c.Release()
	dial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", srv.Info().TCP)
	}
	for _, user := range []string{"by_scram", "by_md5", "by_password"} {
		t.Run(user, func(t *testing.T) {
			b := &pool.Backend{Name: user, Dial: dial, Login: pool.Credentials{User: user, Database: "postgres", Password: "geheim"}, TLS: pool.TLS{Mode: pool.TLSPrefer}}
			eventually(t, "the rules are loaded", func() bool {
				p := open(t, &pool.Backend{Name: user, Dial: dial, Login: pool.Credentials{User: user, Database: "postgres", Password: "falsch"}}, pool.Config{})
				_, err := p.Get(t.Context())
				return code(err) == wire.CodeInvalidPassword
			})
			p := open(t, b, pool.Config{})
			c := get(t, p)
			if v := exec(t, c, "SELECT current_user"); v != user {
				t.Errorf("logged in as %s", v)
			}
			c.Release()
			none := *b
			none.Login.Password = ""
			if _, err := open(t, &none, pool.Config{}).Get(t.Context()); code(err) != wire.CodeInvalidPassword {
				t.Errorf("without a password: %v", err)
			}
			demanding := *b
			demanding.TLS.Mode = pool.TLSRequire
			if _, err := open(t, &demanding, pool.Config{}).Get(t.Context()); err == nil || !strings.Contains(err.Error(), "TLS is demanded") {
				t.Errorf("without TLS: %v", err)
			}
			if s := fmt.Sprintf("%v %+v %#v", b.Login, b.Login, b.Login); strings.Contains(s, "geheim") {
				t.Errorf("the password is printed: %s", s)
			}
		})
	}
}

// TestTLSRefused has a server answer the request for TLS by an error, as PostgreSQL does that
// cannot start a process: that is no breach of the protocol.
func TestTLSRefused(t *testing.T) {
	p := pool.New(&pool.Backend{Name: "fake", TLS: pool.TLS{Mode: pool.TLSPrefer}, Dial: func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			_ = theirs.SetDeadline(time.Now().Add(time.Minute))
			if _, err := io.ReadFull(theirs, make([]byte, 8)); err == nil {
				_, _ = theirs.Write([]byte("Ewords that may be anybody's\x00"))
			}
		}()
		return &remote{ours}, nil
	}}, pool.Config{Size: 1}, nil)
	defer p.Close(t.Context())
	if _, err := p.Get(t.Context()); wire.AsError(err).Code != wire.CodeConnectionFailure || strings.Contains(err.Error(), "words") {
		t.Errorf("got %v", err)
	}
}

// A remote is a connection that seems to be to another machine.
type remote struct{ net.Conn }

func (remote) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1} }

// deafen keeps what the server says from everybody until somebody else is attached and release
// is called: a connection that has been asked for something always has a sink.
func deafen(c *pool.Conn) (release func()) {
	if c.Evented() {
		c.Pause()
		return func() {}
	}
	s := deaf{make(chan struct{})}
	c.Attach(s)
	return func() { close(s.free) }
}

// A deaf sink lets bytes wait for the next one.
type deaf struct{ free chan struct{} }

func (s deaf) Data(*pool.Conn, []byte) (int, error) {
	<-s.free
	return 0, pool.ErrDetached
}

func (deaf) Lost(*pool.Conn, error) {}
