package native

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
)

// foreignCluster makes a data directory as a person would, not through the engine.
func foreignCluster(t *testing.T, rt Runtime, args ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "foreign")
	list, err := accounts(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	out, err := program{path: rt.Program("initdb"), args: append([]string{"-N", "-D", dir}, args...)}.output(t.Context(), list[0])
	if err != nil {
		t.Fatal(err, out)
	}
	return dir
}

func TestForeignCluster(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *Engine, rt Runtime) {
		const odd = "Öddly named one"
		dir := foreignCluster(t, rt, "-U", odd, "-A", "trust", "-E", "UTF8", "--locale=C")
		if names, err := e.Superusers(t.Context(), dir); err != nil || !slices.Equal(names, []string{odd}) {
			t.Fatalf("superusers are %q (%v)", names, err)
		}
		srv := mustStart(t, e, engines.Spec{Dir: dir, MustExist: true})
		if got := srv.Info().User; got != odd {
			t.Errorf("the superuser is %q", got)
		}
		mustExec(t, srv, `CREATE ROLE "two""quotes" SUPERUSER LOGIN`)
		mustExec(t, srv, `CREATE ROLE nologin SUPERUSER`)
		conn, err := engines.Connect(t.Context(), srv, "template1")
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(t.Context(), "DROP DATABASE postgres")
		if err = errors.Join(err, conn.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		mustStop(t, srv)
		if names, err := e.Superusers(t.Context(), dir); err != nil || !slices.Equal(names, []string{odd, `two"quotes`}) {
			t.Errorf("superusers are %q (%v)", names, err)
		}
		if strings.Count(logOf(t, dir), "starting PostgreSQL") != 2 {
			t.Error("the search for the superuser should have taken one more start")
		}
		// Now its name is known, and template1 stands in for the database.
		srv = mustStart(t, e, engines.Spec{Dir: dir})
		if info := srv.Info(); info.User != odd || info.Database != "template1" {
			t.Errorf("info is %+v", info)
		}
		if strings.Count(logOf(t, dir), "starting PostgreSQL") != 3 {
			t.Error("the superuser was searched again")
		}
		mustStop(t, srv)
	})
}

// TestLockedOut starts a directory whose pg_hba.conf wants a password that nobody has.
func TestLockedOut(t *testing.T) {
	rt := runtimes(t)[0]
	e := engineFor(rt)
	dir := foreignCluster(t, rt, "-U", "postgres", "-A", "trust")
	hba := filepath.Join(dir, "pg_hba.conf")
	if err := os.WriteFile(hba, []byte("local all all scram-sha-256\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := startError(t, e, engines.Spec{Dir: dir})
	if !strings.Contains(err.Error(), "local all all trust") || !strings.Contains(err.Error(), hba) {
		t.Errorf("the error does not say what to do: %v", err)
	}
	if c, err := ReadControlData(dir); err != nil || c.State != Shutdown {
		t.Errorf("the directory is %s (%v)", c.State, err)
	}
}

func TestSuperusersRefuses(t *testing.T) {
	e := first(t)
	if names, err := e.Superusers(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Errorf("superusers of nothing are %q", names)
	}
	srv := mustStart(t, e, engines.Spec{Dir: filepath.Join(t.TempDir(), "data")})
	if names, err := e.Superusers(t.Context(), srv.Info().Dir); err == nil {
		t.Errorf("superusers of a running cluster are %q", names)
	}
}
