// Package enginetest is the suite that every engine passes.
package enginetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
)

// Options adapt the suite to an engine.
type Options struct {
	// Version is put into each Spec. Default: the engine chooses.
	Version string
	// Kill ends a running server by force, as a crash would. Without it the tests of
	// Done and Err on a crash are left out.
	Kill func(t *testing.T, srv engines.Server)
	// Timeout bounds a single Start. Default: one minute.
	Timeout time.Duration
}

// A suite is one run of the tests.
type suite struct {
	newEngine func(t *testing.T) engines.Engine
	opts      Options
}

// Run runs the suite: one subtest per promise of engines.Engine and engines.Server.
// newEngine is called once for each of them.
func Run(t *testing.T, newEngine func(t *testing.T) engines.Engine, opts Options) {
	if opts.Timeout == 0 {
		opts.Timeout = time.Minute
	}
	s := &suite{newEngine, opts}
	tests := []struct {
		name string
		run  func(*testing.T)
	}{
		{"reopen keeps data", s.testReopen},
		{"must exist", s.testMustExist},
		{"locked", s.testLocked},
		{"temporary", s.testTemporary},
		{"user", s.testUser},
		{"params", s.testParams},
		{"fast", s.testFast},
		{"template", s.testTemplate},
		{"odd names", s.testOddNames},
		{"bad directories", s.testBadDirectories},
		{"cancelled start", s.testCancelledStart},
		{"close", s.testClose},
		{"crash", s.testCrash},
		{"sessions", s.testSessions},
		{"cancel request", s.testCancelRequest},
		{"protocol", s.testProtocol},
		{"copy", s.testCopy},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

// start starts a server that is closed at the end of the test.
func (s *suite) start(t *testing.T, e engines.Engine, spec engines.Spec) engines.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.opts.Timeout)
	defer cancel()
	if spec.Version == "" {
		spec.Version = s.opts.Version
	}
	srv, err := e.Start(ctx, spec)
	if err != nil {
		t.Fatalf("start %+v: %v", spec, err)
	}
	t.Cleanup(func() { closeServer(t, srv) })
	return srv
}

// refused starts a server that must not start, with an error that is want unless want is
// nil.
func (s *suite) refused(t *testing.T, e engines.Engine, spec engines.Spec, want error) {
	t.Helper()
	if spec.Version == "" {
		spec.Version = s.opts.Version
	}
	srv, err := e.Start(t.Context(), spec)
	if err == nil {
		closeServer(t, srv)
		t.Fatalf("start %+v: no error", spec)
	}
	if want != nil && !errors.Is(err, want) {
		t.Fatalf("start %+v: error is %v, not %v", spec, err, want)
	}
}

func closeServer(t *testing.T, srv engines.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := srv.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// connect opens a connection that is closed at the end of the test.
func connect(t *testing.T, srv engines.Server) *pgx.Conn {
	t.Helper()
	conn, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// exec runs statements on a connection of its own.
func exec(t *testing.T, srv engines.Server, statements ...string) {
	t.Helper()
	conn := connect(t, srv)
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatalf("close connection: %v", err)
	}
}

// ask returns the text that a query answers, on a connection of its own.
func ask(t *testing.T, srv engines.Server, sql string) string {
	t.Helper()
	conn := connect(t, srv)
	var text string
	if err := conn.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatalf("close connection: %v", err)
	}
	return text
}

// expect compares the answer of a query.
func expect(t *testing.T, srv engines.Server, sql, want string) {
	t.Helper()
	if got := ask(t, srv, sql); got != want {
		t.Errorf("%s: got %q, want %q", sql, got, want)
	}
}

// checkEmpty reports what is in a directory that should be empty.
func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		t.Errorf("left behind: %s", filepath.Join(dir, entry.Name()))
	}
}
