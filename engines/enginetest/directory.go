package enginetest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
)

func (s *suite) testReopen(t *testing.T) {
	e := s.newEngine(t)
	dir := filepath.Join(t.TempDir(), "data")
	srv := s.start(t, e, engines.Spec{Dir: dir})
	info := srv.Info()
	if info.User != "postgres" || info.Database != "postgres" || info.MaxConns < 1 || info.VersionNum < 90000 {
		t.Errorf("info is %+v", info)
	}
	expect(t, srv, "SELECT current_user || ' ' || current_database() || ' ' || current_setting('server_encoding')", "postgres postgres UTF8")
	exec(t, srv, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42)")
	closeServer(t, srv)

	srv = s.start(t, e, engines.Spec{Dir: dir, MustExist: true})
	expect(t, srv, "SELECT n::text FROM kept", "42")
	if got := srv.Info().Version; got != info.Version {
		t.Errorf("reopened with version %s, made with %s", got, info.Version)
	}
}

func (s *suite) testMustExist(t *testing.T) {
	e, parent := s.newEngine(t), t.TempDir()
	s.refused(t, e, engines.Spec{Dir: filepath.Join(parent, "none"), MustExist: true}, engines.ErrNotExist)
	s.refused(t, e, engines.Spec{Dir: filepath.Join(parent, "no", "parent"), MustExist: true}, engines.ErrNotExist)
	checkEmpty(t, parent)
	empty := filepath.Join(parent, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	s.refused(t, e, engines.Spec{Dir: empty, MustExist: true}, engines.ErrNotExist)
	checkEmpty(t, empty)
	// Without that, an empty directory is as good as none, and is given back empty.
	s.refused(t, e, engines.Spec{Dir: empty, Params: map[string]string{"work_mem": "much"}}, nil)
	checkEmpty(t, empty)
	expect(t, s.start(t, e, engines.Spec{Dir: empty}), "SELECT 'here'", "here")
}

func (s *suite) testLocked(t *testing.T) {
	e, parent := s.newEngine(t), t.TempDir()
	dir, link := filepath.Join(parent, "data"), filepath.Join(parent, "link")
	srv := s.start(t, e, engines.Spec{Dir: dir})
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, dir + "/", link} {
		s.refused(t, e, engines.Spec{Dir: name}, engines.ErrLocked)
		s.refused(t, s.newEngine(t), engines.Spec{Dir: name}, engines.ErrLocked)
	}
	expect(t, srv, "SELECT 'unharmed'", "unharmed")
	closeServer(t, srv)
	srv = s.start(t, e, engines.Spec{Dir: link})
	expect(t, srv, "SELECT 'free again'", "free again")
}

func (s *suite) testTemporary(t *testing.T) {
	e := s.newEngine(t)
	one, two := s.start(t, e, engines.Spec{}), s.start(t, e, engines.Spec{})
	exec(t, one, "CREATE TABLE mine (n int)")
	expect(t, two, "SELECT count(*)::text FROM pg_class WHERE relname = 'mine'", "0")
	dir := one.Info().Dir
	closeServer(t, one)
	if dir != "" {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("temporary directory %s is still there (%v)", dir, err)
		}
	}
	expect(t, two, "SELECT 'still there'", "still there")
	s.refused(t, e, engines.Spec{MustExist: true}, engines.ErrNotExist)
}

func (s *suite) testTemplate(t *testing.T) {
	e, parent := s.newEngine(t), t.TempDir()
	first := filepath.Join(parent, "first")
	srv := s.start(t, e, engines.Spec{Dir: first})
	exec(t, srv, "CREATE TABLE origin (name text)", "INSERT INTO origin VALUES ('first')")
	s.refused(t, e, engines.Spec{Dir: filepath.Join(parent, "early"), Template: first}, engines.ErrLocked)
	closeServer(t, srv)

	second := s.start(t, e, engines.Spec{Dir: filepath.Join(parent, "second"), Template: first})
	expect(t, second, "SELECT name FROM origin", "first")
	exec(t, second, "UPDATE origin SET name = 'second'")
	third := s.start(t, e, engines.Spec{Template: first})
	expect(t, third, "SELECT name FROM origin", "first")
	closeServer(t, second)

	// The template is of no use to a cluster that is there already.
	second = s.start(t, e, engines.Spec{Dir: filepath.Join(parent, "second"), Template: first})
	expect(t, second, "SELECT name FROM origin", "second")
	s.refused(t, e, engines.Spec{Dir: filepath.Join(parent, "none"), Template: filepath.Join(parent, "nowhere")}, engines.ErrNotExist)
	for _, name := range []string{"early", "none"} {
		if _, err := os.Stat(filepath.Join(parent, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was made (%v)", name, err)
		}
	}
}

func (s *suite) testOddNames(t *testing.T) {
	e, parent := s.newEngine(t), t.TempDir()
	for _, name := range []string{"two words", `it's "quoted"`, "größe-数据", "-D", "a,b=c%20$HOME\\x", "tab\there"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(parent, name)
			srv := s.start(t, e, engines.Spec{Dir: dir})
			expect(t, srv, "SELECT 'here'", "here")
			closeServer(t, srv)
			if _, err := os.Stat(dir); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("relative", func(t *testing.T) {
		t.Chdir(t.TempDir())
		srv := s.start(t, e, engines.Spec{Dir: "relative"})
		if dir := srv.Info().Dir; !filepath.IsAbs(dir) {
			t.Errorf("Info().Dir is %q, not absolute", dir)
		}
	})
	t.Run("missing parents", func(t *testing.T) {
		srv := s.start(t, e, engines.Spec{Dir: filepath.Join(t.TempDir(), "a", "b", "c")})
		expect(t, srv, "SELECT 'here'", "here")
	})
}

func (s *suite) testBadDirectories(t *testing.T) {
	e, parent := s.newEngine(t), t.TempDir()
	file, foreign, broken := filepath.Join(parent, "file"), filepath.Join(parent, "foreign"), filepath.Join(parent, "broken")
	for _, dir := range []string{foreign, broken} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{
		file:                                 "a file",
		filepath.Join(foreign, "thesis.tex"): "somebody's work",
		filepath.Join(broken, "PG_VERSION"):  "no version\n",
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), foreign, broken, filepath.Join(parent, "line\nbreak")} {
		s.refused(t, e, engines.Spec{Dir: dir}, nil)
	}
	for name, text := range files {
		if got, err := os.ReadFile(name); err != nil || string(got) != text {
			t.Errorf("%s is %q (%v), was %q", name, got, err, text)
		}
	}
	for _, dir := range []string{parent, foreign, broken} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		want := 1
		if dir == parent {
			want = 3
		}
		if len(entries) != want {
			t.Errorf("%s has %v, want %d entries", dir, entries, want)
		}
	}
}

func (s *suite) testCancelledStart(t *testing.T) {
	e, parent := s.newEngine(t), t.TempDir()
	closeServer(t, s.start(t, e, engines.Spec{})) // what is prepared once, is prepared now
	for _, after := range []time.Duration{0, 1, 3, 10, 20, 40, 80} {
		ctx, cancel := context.WithTimeout(t.Context(), after*time.Millisecond)
		srv, err := e.Start(ctx, engines.Spec{Dir: filepath.Join(parent, "data"), Version: s.opts.Version})
		cancel()
		if err == nil {
			closeServer(t, srv)
			break // this machine is faster
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %d ms: error is %v", after, err)
		}
		checkEmpty(t, parent)
	}
	srv := s.start(t, e, engines.Spec{Dir: filepath.Join(parent, "data")})
	expect(t, srv, "SELECT 'works'", "works")
}
