package leasetest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/lease/leasetest"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"PGM_SOCKET", "PGMANAGER_SOCKET", "PGX_DEV_LEASE_URL"} {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	os.Exit(leasetest.Main(m))
}

func migrated() leasetest.Option { return leasetest.Migrations("testdata/*.sql") }

// TestOwn gives tests that run side by side databases of their own, with the migrations in.
func TestOwn(t *testing.T) {
	for i := range 6 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			pool := leasetest.Pool(t, migrated())
			for range 3 {
				if _, err := pool.Exec(t.Context(), "INSERT INTO users (name) VALUES ('x')"); err != nil {
					t.Fatal(err)
				}
			}
			var n, last int
			if err := pool.QueryRow(t.Context(), "SELECT count(*), max(id) FROM users").Scan(&n, &last); err != nil || n != 3 || last != 3 {
				t.Errorf("%d users, the last is %d, %v", n, last, err)
			}
		})
	}
}

func TestDB(t *testing.T) {
	conn := leasetest.DB(t, migrated(), leasetest.Reset(lease.ResetAuto))
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM users").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d users, %v", n, err)
	}
}

// TestWASM has servers inside this process.
func TestWASM(t *testing.T) {
	for i := range 3 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			pool := leasetest.Pool(t, migrated(), leasetest.WASM())
			var id int
			var version string
			err := pool.QueryRow(t.Context(), "INSERT INTO users (name) VALUES ('x') RETURNING id, version()").Scan(&id, &version)
			if err != nil || id != 1 || !strings.Contains(version, "wasm32") {
				t.Errorf("id %d, %s, %v", id, version, err)
			}
		})
	}
}

// A fakeT is a test that can fail without us.
type fakeT struct {
	testing.TB
	failed  bool
	logs    []string
	cleanup []func()
}

func (f *fakeT) Helper()          {}
func (f *fakeT) Name() string     { return "TestFake" }
func (f *fakeT) Failed() bool     { return f.failed }
func (f *fakeT) Cleanup(g func()) { f.cleanup = append(f.cleanup, g) }
func (f *fakeT) Logf(format string, args ...any) {
	f.logs = append(f.logs, fmt.Sprintf(format, args...))
}

func (f *fakeT) Fatalf(format string, args ...any) {
	f.failed = true
	f.Logf(format, args...)
}

func (f *fakeT) end() {
	for len(f.cleanup) > 0 {
		g := f.cleanup[len(f.cleanup)-1]
		f.cleanup = f.cleanup[:len(f.cleanup)-1]
		g()
	}
}

// TestKeepOnFailure keeps the database of a test that failed, and says where.
func TestKeepOnFailure(t *testing.T) {
	f := &fakeT{TB: t}
	url := leasetest.URL(f, migrated())
	f.failed = true
	f.end()
	if len(f.logs) != 1 || !strings.Contains(f.logs[0], url) {
		t.Errorf("logged %q", f.logs)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())
}

// TestBadMigration ends the test with what is wrong.
func TestBadMigration(t *testing.T) {
	f := &fakeT{TB: t}
	if url := leasetest.URL(f, leasetest.Migrations("nope/*.sql")); url != "" || len(f.logs) != 1 || !strings.Contains(f.logs[0], "nope/*.sql") {
		t.Errorf("url %q, logged %q", url, f.logs)
	}
}

// TestServer leases from a server that runs.
func TestServer(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "pgxl")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s := lease.NewServer(nil)
	socket := filepath.Join(dir, "s")
	if err := s.Add(socket, lease.NewPool(lease.PoolConfig{Engine: "none"}, lease.NewNames("n_"), nil)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGM_SOCKET", socket)
	f := &fakeT{TB: t}
	if url := leasetest.URL(f); url != "postgresql:///n_0" {
		t.Errorf("url %q", url)
	}
	if st := s.Status().Pools[0]; len(st.Leases) != 1 || st.Leases[0].Label != "TestFake" {
		t.Errorf("status %+v", st)
	}
	f.end()
	if err := errors.Join(s.Close(context.Background())); err != nil {
		t.Error(err)
	}
	leasetest.URL(f)
	if !f.failed || !strings.Contains(strings.Join(f.logs, "\n"), "no lease server") {
		t.Errorf("without the server: %q", f.logs)
	}
}
