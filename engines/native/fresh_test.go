package native

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wholefile"
)

// TestFresh starts copies of one cache entry, in whose facts a number is planted that no
// server answers: who has it did not ask.
func TestFresh(t *testing.T) {
	t.Setenv("PGX_DEV_CACHE", t.TempDir())
	e := first(t)
	dir := filepath.Join(t.TempDir(), "first")
	srv := mustStart(t, e, engines.Spec{Dir: dir})
	real := srv.Info()
	mustStop(t, srv)
	found, err := filepath.Glob(filepath.Join(os.Getenv("PGX_DEV_CACHE"), "initdb", "*", "facts.json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("facts: %v, %v", found, err)
	}
	var learnt facts
	if err := wholefile.ReadJSON(found[0], &learnt); err != nil || learnt != (facts{real.User, real.Database, real.MaxConns}) {
		t.Fatalf("learnt %+v of %+v, %v", learnt, real, err)
	}
	const planted = 4711
	plant := func(t *testing.T) {
		t.Helper()
		if err := wholefile.WriteJSON(found[0], facts{real.User, real.Database, planted}); err != nil {
			t.Fatal(err)
		}
	}
	appendTo := func(t *testing.T, path, text string) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, append(b, text...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		params map[string]string
		before func(t *testing.T, dir string) // between Create and Start
		want   int
	}{
		{name: "known", want: planted},
		{name: "setting", params: map[string]string{"max_connections": "20"}, want: 17},
		{name: "edited", want: 27, before: func(t *testing.T, dir string) {
			appendTo(t, filepath.Join(dir, "postgresql.conf"), "\nmax_connections = 30\n")
		}},
		{name: "auto", want: 37, before: func(t *testing.T, dir string) {
			appendTo(t, filepath.Join(dir, "postgresql.auto.conf"), "max_connections = 40\n")
		}},
		{name: "no facts", want: real.MaxConns, before: func(t *testing.T, _ string) {
			if err := os.Remove(found[0]); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "half of the facts", want: real.MaxConns, before: func(t *testing.T, _ string) {
			if err := os.WriteFile(found[0], []byte(`{"user":`), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "no sense in the facts", want: real.MaxConns, before: func(t *testing.T, _ string) {
			if err := wholefile.WriteJSON(found[0], facts{real.User, real.Database, 0}); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			plant(t)
			spec := engines.Spec{Dir: filepath.Join(t.TempDir(), "data"), Params: test.params}
			if err := e.Create(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
			if test.before != nil {
				test.before(t, spec.Dir)
			}
			srv := mustStart(t, e, spec)
			info := srv.Info()
			if info.MaxConns != test.want || info.User != real.User || info.Database != real.Database {
				t.Errorf("%d connections for %s in %s, want %d", info.MaxConns, info.User, info.Database, test.want)
			}
			if got := query(t, srv, "SELECT 'works'"); got != "works" {
				t.Error(got)
			}
			mustStop(t, srv)
			if test.name != "known" {
				return
			}
			srv = mustStart(t, e, spec)
			if got := srv.Info().MaxConns; got != real.MaxConns {
				t.Errorf("at the second start %d, want %d", got, real.MaxConns)
			}
			mustStop(t, srv)
		})
	}
}
