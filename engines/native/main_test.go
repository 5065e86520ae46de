package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// poison is an environment in which nothing works unless PG* and the like are kept away
// from the server's programs and from our own connections.
var poison = map[string]string{
	"PGHOST": "/nowhere", "PGPORT": "1", "PGUSER": "nobody-of-that-name", "PGDATABASE": "none",
	"PGDATA": "/nowhere/data", "PGOPTIONS": "-c no_such_setting=1", "PGSERVICE": "none", "PGSERVICEFILE": "/nowhere/service",
	"PGPASSFILE": "/nowhere/pass", "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/nowhere/ca", "PGTZ": "No/Where",
	"PGTARGETSESSIONATTRS": "read-only", "PGREQUIREAUTH": "scram-sha-256", "PGCLIENTENCODING": "KLINGON",
	"PGCONNECT_TIMEOUT": "soon", "PGDATESTYLE": "what", "PGCHANNELBINDING": "require", "PGMINPROTOCOLVERSION": "3.2",
	"LC_ALL": "xx_XX.none", "LANG": "yy_YY", "TZ": "Mars/Olympus",
}

// TestMain runs a helper process instead of the tests if it is told to, and else the
// tests, in the poisoned environment and with one more major version installed.
func TestMain(m *testing.M) {
	if helper := os.Getenv("PGX_DEV_TEST_HELPER"); helper != "" {
		runHelper(helper)
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	for name, value := range poison {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	// Clusters are made and removed by the dozen, which disks are slow at.
	if free, err := place.Free("/dev/shm"); err == nil && free > 4<<30 && os.Getenv("TMPDIR") == "" {
		dir, err := os.MkdirTemp("/dev/shm", "pgx-dev-test-")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		// Sockets too, so that nothing is left of servers that are killed.
		run := filepath.Join(dir, "run")
		err = errors.Join(os.Mkdir(run, 0o700), os.Setenv("TMPDIR", dir), os.Setenv("XDG_RUNTIME_DIR", run))
		if err != nil {
			panic(err)
		}
	}
	// Before a test sets another cache. An error is reported by who needs the runtimes.
	_, _ = installed()
	return m.Run()
}

// secondVersion is the major version that the tests fetch, if the machine does not have it.
const secondVersion = "17"

// installed returns every runtime of the machine and the store, having fetched
// secondVersion into the shared cache. It is asked once.
var installed = sync.OnceValues(func() ([]Runtime, error) {
	e := New(Config{})
	ctx := context.Background()
	if _, err := e.Select(ctx, secondVersion); errors.Is(err, engines.ErrNoRuntime) {
		if _, err := e.Install(ctx, secondVersion, InstallOptions{}); err != nil {
			return nil, err
		}
	}
	rts, err := e.Runtimes(ctx)
	if err == nil && len(rts) == 0 {
		err = errors.New("no PostgreSQL to test with")
	}
	return rts, err
})

// runtimes returns what installed does.
func runtimes(t testing.TB) []Runtime {
	t.Helper()
	rts, err := installed()
	if err != nil {
		t.Fatalf("find or fetch a PostgreSQL: %v", err)
	}
	return rts
}

// eachRuntime runs a test with every installed PostgreSQL.
func eachRuntime(t *testing.T, test func(t *testing.T, e *Engine, rt Runtime)) {
	for _, rt := range runtimes(t) {
		t.Run(rt.Version.String(), func(t *testing.T) { test(t, engineFor(rt), rt) })
	}
}

// engineFor returns an engine that knows rt only.
func engineFor(rt Runtime, opts ...Option) *Engine {
	e := New(Config{Bindirs: []string{rt.Bindir}, Default: rt.Bindir}, opts...)
	e.system = nil
	return e
}

// first returns an engine for one of the runtimes, where the version does not matter.
func first(t testing.TB, opts ...Option) *Engine { return engineFor(runtimes(t)[0], opts...) }

// mustStart starts a server that is closed at the end of the test.
func mustStart(t testing.TB, e *Engine, spec engines.Spec) engines.Server {
	t.Helper()
	srv, err := e.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustStop(t, srv) })
	return srv
}

func mustStop(t testing.TB, srv engines.Server) {
	t.Helper()
	if err := srv.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// startError starts a server that must not start.
func startError(t *testing.T, e *Engine, spec engines.Spec) error {
	t.Helper()
	srv, err := e.Start(t.Context(), spec)
	if err == nil {
		mustStop(t, srv)
		t.Fatalf("start %+v: no error", spec)
	}
	return err
}

// query returns the one value that a query answers.
func query(t testing.TB, srv engines.Server, sql string) string {
	t.Helper()
	conn, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var v any
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return fmt.Sprint(v)
}

// mustExec runs a statement.
func mustExec(t testing.TB, srv engines.Server, sql string) {
	t.Helper()
	conn, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// logOf returns what the server of a data directory logged.
func logOf(t testing.TB, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(place.Control(dir), "postmaster.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
