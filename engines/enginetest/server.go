package enginetest

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
)

func (s *suite) testUser(t *testing.T) {
	e := s.newEngine(t)
	dir := filepath.Join(t.TempDir(), "data")
	for range 2 { // it is remembered, or found out, at the second start
		srv := s.start(t, e, engines.Spec{Dir: dir, User: "Ally Ö. Neill-x"})
		if got := srv.Info().User; got != "Ally Ö. Neill-x" {
			t.Errorf("Info().User is %q", got)
		}
		expect(t, srv, "SELECT current_user::text", "Ally Ö. Neill-x")
		expect(t, srv, "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user", "true")
		closeServer(t, srv)
	}
	for _, bad := range []string{"pg_boss", `two"quotes`, strings.Repeat("x", 64)} {
		parent := t.TempDir()
		s.refused(t, e, engines.Spec{Dir: filepath.Join(parent, "data"), User: bad}, nil)
		checkEmpty(t, parent)
	}
}

func (s *suite) testParams(t *testing.T) {
	e, parent := s.newEngine(t), t.TempDir()
	dir := filepath.Join(parent, "data")
	srv := s.start(t, e, engines.Spec{Dir: dir, Params: map[string]string{
		"work_mem": "7MB", "TimeZone": "UTC", "search_path": `"odd, name", public`, "mine.own": `it's "x" = \y`,
	}})
	expect(t, srv, "SHOW work_mem", "7MB")
	expect(t, srv, "SHOW search_path", `"odd, name", public`)
	expect(t, srv, "SHOW mine.own", `it's "x" = \y`)
	closeServer(t, srv)
	srv = s.start(t, e, engines.Spec{Dir: dir})
	expect(t, srv, "SHOW work_mem", "4MB")
	closeServer(t, srv)

	other := filepath.Join(t.TempDir(), "data")
	for _, bad := range []map[string]string{
		{"no such name": "1"}, {"": "1"}, {"work_mem": "much"}, {"x=y -c fsync": "off"},
	} {
		s.refused(t, e, engines.Spec{Dir: other, Params: bad}, nil)
		checkEmpty(t, filepath.Dir(other))
	}
}

func (s *suite) testFast(t *testing.T) {
	e := s.newEngine(t)
	dir := filepath.Join(t.TempDir(), "data")
	srv := s.start(t, e, engines.Spec{Dir: dir, Fast: true})
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		expect(t, srv, "SHOW "+name, "off")
	}
	closeServer(t, srv)
	srv = s.start(t, e, engines.Spec{Dir: dir, Fast: true, Params: map[string]string{"synchronous_commit": "local"}})
	expect(t, srv, "SHOW synchronous_commit", "local")
	closeServer(t, srv)
	srv = s.start(t, e, engines.Spec{Dir: dir})
	expect(t, srv, "SHOW synchronous_commit", "on")
}

func (s *suite) testClose(t *testing.T) {
	e := s.newEngine(t)
	srv := s.start(t, e, engines.Spec{Dir: filepath.Join(t.TempDir(), "data")})
	select {
	case <-srv.Done():
		t.Fatalf("Done is closed while the server runs: %v", srv.Err())
	default:
	}
	if err := srv.Err(); err != nil {
		t.Errorf("Err is %v while the server runs", err)
	}
	idle := connect(t, srv) // an open session does not hold Close up
	for range 2 {
		closeServer(t, srv)
	}
	select {
	case <-srv.Done():
	default:
		t.Error("Done is open after Close")
	}
	if err := srv.Err(); err != nil {
		t.Errorf("Err is %v after Close", err)
	}
	if _, err := idle.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("a session outlived its server")
	}
	if conn, err := srv.Dial(t.Context()); err == nil {
		_ = conn.Close()
		t.Error("Dial works after Close")
	}
}

func (s *suite) testCrash(t *testing.T) {
	if s.opts.Kill == nil {
		return // the engine has nothing that could be killed
	}
	e := s.newEngine(t)
	dir := filepath.Join(t.TempDir(), "data")
	srv := s.start(t, e, engines.Spec{Dir: dir})
	exec(t, srv, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42)")
	busy := connect(t, srv)
	s.opts.Kill(t, srv)
	select {
	case <-srv.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("Done is not closed after a crash")
	}
	if err := srv.Err(); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Err is %v; it should say which server ended and why", err)
	}
	if conn, err := srv.Dial(t.Context()); err == nil {
		_ = conn.Close()
		t.Error("Dial works after a crash")
	}
	_ = busy.Close(t.Context())
	closeServer(t, srv)

	// Recovery, at once.
	srv = s.start(t, e, engines.Spec{Dir: dir})
	expect(t, srv, "SELECT n::text FROM kept", "42")
}
