package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// TestMain makes the test binary serve as the program of an archive_command, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "archive-wal" {
		if err := ArchiveWAL(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	// Before TMPDIR changes; an error is reported by who needs the runtimes.
	_, _ = installed()
	// Clusters are made and removed by the dozen, which disks are slow at.
	if free, err := place.Free("/dev/shm"); err == nil && free > 4<<30 && os.Getenv("TMPDIR") == "" {
		dir, err := os.MkdirTemp("/dev/shm", "pgx-dev-test-")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		run := filepath.Join(dir, "run")
		err = errors.Join(os.Mkdir(run, 0o700), os.Setenv("TMPDIR", dir), os.Setenv("XDG_RUNTIME_DIR", run))
		if err != nil {
			panic(err)
		}
	}
	return m.Run()
}

// installed returns every runtime of the machine and the store, having fetched 17, which
// names segments at a boundary otherwise than older ones, if it was missing.
var installed = sync.OnceValues(func() ([]native.Runtime, error) {
	e := native.New(native.Config{})
	ctx := context.Background()
	if _, err := e.Select(ctx, "17"); errors.Is(err, engines.ErrNoRuntime) {
		if _, err := e.Install(ctx, "17", native.InstallOptions{}); err != nil {
			return nil, err
		}
	}
	return e.Runtimes(ctx)
})

// eachRuntime runs a test with the newest of every installed major version.
func eachRuntime(t *testing.T, test func(t *testing.T, e *native.Engine)) {
	t.Helper()
	rts, err := installed()
	if err != nil || len(rts) == 0 {
		t.Fatalf("find or fetch a PostgreSQL: %v", err)
	}
	for i, rt := range rts {
		if i+1 < len(rts) && rts[i+1].Version.Major() == rt.Version.Major() {
			continue
		}
		t.Run(rt.Version.String(), func(t *testing.T) { test(t, engineOf(rt)) })
	}
}

func engineOf(rt native.Runtime) *native.Engine {
	return native.New(native.Config{Bindirs: []string{rt.Bindir}, Default: rt.Bindir})
}

// start starts a server that is closed at the end of the test.
func start(t testing.TB, e *native.Engine, spec engines.Spec) engines.Server {
	t.Helper()
	srv, err := e.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, srv) })
	return srv
}

func stop(t testing.TB, srv engines.Server) {
	t.Helper()
	if err := srv.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// startArchiving starts a server that archives to the backup directory into.
func startArchiving(t testing.TB, e *native.Engine, into string) engines.Server {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, e, engines.Spec{Dir: filepath.Join(t.TempDir(), "main"), Params: map[string]string{
		"archive_mode": "on", "archive_command": ArchiveCommand([]string{exe, "archive-wal"}, into),
	}})
}

// exec runs statements and returns the one value that the last one answers, if any.
func exec(t testing.TB, srv engines.Server, statements ...string) (answer string) {
	t.Helper()
	conn, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, sql := range statements {
		results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		for _, r := range results {
			for _, row := range r.Rows {
				answer = string(row[0])
			}
		}
	}
	return answer
}
