package databases

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/lease"
)

// shared is the server of most tests.
var shared struct {
	sync.Once
	srv engines.Server
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.srv != nil {
		if err := shared.srv.Close(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func startServer(t testing.TB, spec engines.Spec) engines.Server {
	t.Helper()
	srv, err := native.New(native.DefaultConfig()).Start(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

func server(t testing.TB) engines.Server {
	t.Helper()
	shared.Do(func() {
		shared.srv, shared.err = native.New(native.DefaultConfig()).Start(context.Background(), engines.Spec{
			Fast: true, Params: map[string]string{"max_prepared_transactions": "10", "wal_level": "logical"},
		})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.srv
}

// keepHost is a host whose server outlives it.
type keepHost struct{ onServer }

func (keepHost) Close(context.Context) error { return nil }

func opener(srv engines.Server) Opener {
	return func(context.Context) (Host, error) { return keepHost{onServer{srv, "test"}}, nil }
}

// poolName gives each test's databases names of their own.
func config(t testing.TB, dir string, change func(*lease.PoolConfig)) Config {
	t.Helper()
	cfg := Config{Dir: dir, Pool: lease.PoolConfig{Prefix: fmt.Sprintf("t%d_", os.Getpid()), Warm: new(0), Count: new(8)}}
	if change != nil {
		change(&cfg.Pool)
	}
	return cfg
}

func newSource(t testing.TB, cfg Config, open Opener) *Source {
	t.Helper()
	s := New(cfg, open)
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// migrations writes SQL files into a new directory.
func migrations(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func create(t testing.TB, s *Source) *lease.Item {
	t.Helper()
	it, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return it
}

// open connects to a database by its URL, as a holder does.
func open(t testing.TB, it *lease.Item) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), it.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func run(t testing.TB, c *pgx.Conn, sql string) {
	t.Helper()
	if _, err := c.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func query[T any](t testing.TB, c *pgx.Conn, sql string) T {
	t.Helper()
	var v T
	if err := c.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// admin connects to the maintenance database.
func admin(t testing.TB, srv engines.Server) *pgx.Conn {
	t.Helper()
	c, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func databases(t testing.TB, srv engines.Server, like string) []string {
	t.Helper()
	rows, err := admin(t, srv).Query(t.Context(), "SELECT datname FROM pg_database WHERE datname LIKE $1 ORDER BY 1", like)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}
