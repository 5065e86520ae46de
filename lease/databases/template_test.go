package databases

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/lease/recipe"
)

// TestTemplate builds once for everybody, and again when a file changes.
func TestTemplate(t *testing.T) {
	srv := server(t)
	dir := migrations(t, map[string]string{
		"1.sql": "CREATE TABLE one (v int)",
		"2.sql": "CREATE TABLE two (v int); COPY two FROM stdin;\n7\n\\.\n",
		"x.log": "",
	})
	log := filepath.Join(dir, "x.log")
	cfg := config(t, dir, func(p *lease.PoolConfig) {
		p.Migrations = []string{"[0-9]*.sql"}
		p.Command = []string{"sh", "-c", `echo "$PGDATABASE" >> x.log; echo "INSERT INTO one VALUES ($$)" | psql -q -v ON_ERROR_STOP=1`}
		p.KeyFiles = []string{"key"}
	})
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	builds := func() int {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(b), "\n")
	}
	sources := make([]*Source, 4)
	items := make([]*lease.Item, 4)
	var wg sync.WaitGroup
	for i := range sources {
		sources[i] = newSource(t, cfg, opener(srv))
		wg.Go(func() {
			var err error
			if items[i], err = sources[i].Create(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if n := builds(); n != 1 {
		t.Errorf("four sources built %d times", n)
	}
	c := open(t, items[2])
	if n := query[int](t, c, "SELECT (SELECT count(*) FROM one) * 10 + (SELECT v FROM two)"); n != 17 {
		t.Errorf("the copy has %d", n)
	}
	c.Close(t.Context())

	for i, change := range []func() error{
		func() error {
			return os.WriteFile(filepath.Join(dir, "3.sql"), []byte("CREATE TABLE three (v int)"), 0o600)
		},
		func() error { return os.WriteFile(filepath.Join(dir, "key"), []byte("22"), 0o600) },
	} {
		before := sources[0].Version()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		awaitTrue(t, "the version changes", func() bool { return sources[0].Version() != before })
		it := create(t, sources[0])
		if n := builds(); n != 2+i {
			t.Errorf("after change %d there were %d builds", i, n)
		}
		if n := query[int](t, open(t, it), "SELECT count(*) FROM three"); n != 0 {
			t.Errorf("three has %d rows", n)
		}
	}
	// What was lent before the change is not lent again.
	if again, err := sources[0].Recycle(t.Context(), items[0], lease.Use{Clean: true}); again != nil || err != nil {
		t.Errorf("an item of the old template: %v, %v", again, err)
	}
	// A template that somebody drops is built again.
	for _, s := range sources {
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if left := databases(t, srv, "pgxdev_build%"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if left := databases(t, srv, cfg.Pool.Prefix+"lx%"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func awaitTrue(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after 20 s", what)
		}
		<-time.After(5 * time.Millisecond) // a file's time or another process: nothing to wait on
	}
}

// TestBrokenTemplate fails half-way: nothing is left, the error says where, and a repaired
// file is enough.
func TestBrokenTemplate(t *testing.T) {
	srv := server(t)
	dir := migrations(t, map[string]string{"1.sql": "CREATE TABLE one (v int);", "2.sql": "-- no-transaction\nCREATE TABLE two (v int);\nSELEC 1;\n"})
	for _, tt := range []struct {
		name   string
		change func(*lease.PoolConfig)
		want   string
	}{
		{"sql", func(p *lease.PoolConfig) { p.Migrations = []string{"."} }, "2.sql:3: ERROR: syntax error"},
		{"command", func(p *lease.PoolConfig) { p.Command = []string{"sh", "-c", "echo oh no; exit 3"} }, "exit status 3\noh no"},
		{"no such program", func(p *lease.PoolConfig) { p.Command = []string{"no-such-program"} }, "no-such-program"},
		{"no such file", func(p *lease.PoolConfig) { p.Migrations = []string{"nope/*.sql"} }, "no file is called nope/*.sql"},
		{"no such base", func(p *lease.PoolConfig) { p.Base = "nope" }, `template database "nope" does not exist`},
		{"bad dump", func(p *lease.PoolConfig) { p.Dump = "2.sql" }, "2.sql"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSource(t, config(t, dir, tt.change), opener(srv))
			_, err := s.Create(t.Context())
			if !errors.Is(err, lease.ErrHopeless) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want one with %q", err, tt.want)
			}
			if left := databases(t, srv, "pgxdev_build%"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}

	// Through a pool: who waits is told, and the file's repair heals it.
	cfg := config(t, dir, func(p *lease.PoolConfig) { p.Migrations = []string{"*.sql"} })
	p := lease.NewPool(cfg.Pool, New(cfg, opener(srv)), nil)
	p.Start()
	defer func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	var refused *lease.RefusedError
	if _, err := p.Acquire(t.Context(), lease.Holder{}); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "2.sql:3") {
		t.Fatalf("acquire: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "2.sql"), []byte("CREATE TABLE two (v int);"), 0o600); err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, "healed", func() bool {
		l, err := p.Acquire(t.Context(), lease.Holder{})
		if err == nil {
			l.Release()
		}
		return err == nil
	})
}

// TestVerify finds a migration that only works where it has run before.
func TestVerify(t *testing.T) {
	srv := server(t)
	dir := migrations(t, map[string]string{"1.sql": "CREATE TABLE one (v int);"})
	cfg := config(t, dir, func(p *lease.PoolConfig) {
		p.Migrations = []string{"1.sql"}
		p.Command = []string{"sh", "-c", `test ! -e changed || psql -qc 'CREATE TABLE other (v int)'`}
	})
	s := newSource(t, cfg, opener(srv))
	create(t, s)
	cfg.Verify = true
	create(t, newSource(t, cfg, opener(srv)))
	if err := os.WriteFile(filepath.Join(dir, "changed"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := newSource(t, cfg, opener(srv)).Create(t.Context())
	var build *recipe.StepError
	if !errors.As(err, &build) || !strings.Contains(err.Error(), "+ r public.other") {
		t.Errorf("verify: %v", err)
	}
}

// TestServerComesBack kills the server under a pool with leases and waiters.
func TestServerComesBack(t *testing.T) {
	dir := t.TempDir()
	engine := native.New(native.DefaultConfig())
	var mu sync.Mutex
	var servers []engines.Server
	down := false
	open := func(ctx context.Context) (Host, error) {
		mu.Lock()
		defer mu.Unlock()
		if down {
			return nil, errors.New("down for now")
		}
		srv, err := engine.Start(ctx, engines.Spec{Dir: filepath.Join(dir, "data"), Fast: true, Params: map[string]string{"shared_buffers": "16MB"}})
		if err != nil {
			return nil, err
		}
		servers = append(servers, srv)
		return OnServer(srv, "test"), nil
	}
	cfg := config(t, migrations(t, map[string]string{"1.sql": schema}), func(p *lease.PoolConfig) {
		p.Migrations, p.Warm = []string{"1.sql"}, new(2)
	})
	p := lease.NewPool(cfg.Pool, New(cfg, open), nil)
	p.Start()
	defer func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	first, err := p.Acquire(t.Context(), lease.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	down = true
	srv := servers[0]
	mu.Unlock()
	kill(t, srv.Info().PID)
	<-srv.Done()
	awaitTrue(t, "the pool knows", func() bool { return p.Status().Ready == 0 && p.Status().Error != "" })
	waiter := p.Request(lease.Holder{})
	first.Release()
	mu.Lock()
	down = false
	mu.Unlock()
	<-waiter.Done()
	l, err := waiter.Lease()
	if err != nil {
		t.Fatal(err)
	}
	checkFresh(t, "after the restart", l.Item)
	l.Release()
	awaitTrue(t, "warm again", func() bool { return p.Status().Ready >= 2 && p.Status().Error == "" })
}

func kill(t *testing.T, pid int) {
	t.Helper()
	proc, err := os.FindProcess(pid)
	if err == nil {
		err = proc.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAtURL uses a server by its URL, with a role that may do no more than it needs, and a
// password.
func TestAtURL(t *testing.T) {
	srv := startServer(t, engines.Spec{Fast: true, TCP: "127.0.0.1:0"})
	defer srv.Close(context.Background())
	a := admin(t, srv)
	run(t, a, "CREATE ROLE maker LOGIN CREATEDB PASSWORD 'se cret'")
	run(t, a, "GRANT pg_signal_backend TO maker")
	a.Close(t.Context())
	host, port, err := net.SplitHostPort(srv.Info().TCP)
	if err != nil {
		t.Fatal(err)
	}
	open, err := AtURL("postgresql://maker:se%20cret@" + net.JoinHostPort(host, port) + "/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	for _, policy := range lease.Resets() {
		s := newSource(t, config(t, migrations(t, map[string]string{"1.sql": schema}), func(p *lease.PoolConfig) {
			p.Migrations, p.Reset = []string{"1.sql"}, policy
		}), open)
		it := create(t, s)
		c, err := pgx.Connect(t.Context(), it.URL)
		if err != nil {
			t.Fatal(err)
		}
		run(t, c, "INSERT INTO things (kind) VALUES (1)")
		again, err := s.Recycle(t.Context(), it, lease.Use{})
		if err != nil {
			t.Fatalf("%s: %v", policy, err)
		}
		if again != nil && policy != lease.ResetNone {
			checkFresh(t, policy, again)
		}
		c.Close(t.Context())
	}
	for _, bad := range []string{"mysql://x", "postgresql://h:port/x", ":"} {
		if _, err := AtURL(bad); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
