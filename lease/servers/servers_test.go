package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/lease/recipe"
)

// unclosed keeps the compiled code for the next test.
type unclosed struct{ *wasm.Engine }

func (unclosed) Close() error { return nil }

var shared = wasm.New(wasm.Config{Wait: time.Minute})

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// newSource returns a source with the given migrations, in a store of its own.
func newSource(t testing.TB, files map[string]string, change func(*Config)) *Source {
	t.Helper()
	cfg := Config{
		Dir: t.TempDir(), Store: t.TempDir(), Engine: func() Engine { return unclosed{shared} },
		Pool: lease.PoolConfig{Engine: "wasm", Migrations: []string{"*.sql"}, Count: new(4), Warm: new(0)},
	}
	write(t, cfg.Dir, files)
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Pool.WithDefaults().Validate(); err != nil {
		t.Fatal(err)
	}
	s := New(cfg)
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func create(t testing.TB, s *Source) *lease.Item {
	t.Helper()
	it, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return it
}

// ask runs one statement through the item's socket, as another process would.
func ask(t testing.TB, it *lease.Item, sql string) string {
	t.Helper()
	c, err := pgx.Connect(t.Context(), it.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	var v *string
	if err := c.QueryRow(t.Context(), sql).Scan(&v); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatalf("%s: %v", sql, err)
	}
	if v == nil {
		return ""
	}
	return *v
}

func stored(t testing.TB, s *Source) []string {
	t.Helper()
	entries, err := os.ReadDir(s.cfg.Store)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}

func one() map[string]string {
	return map[string]string{"1.sql": "CREATE TABLE things (id serial PRIMARY KEY, note text); INSERT INTO things (note) VALUES ('seed')"}
}

// TestOwnServers gives everybody a server with the migrations in it, apart from all others,
// by a socket that nobody else may use and that goes with it.
func TestOwnServers(t *testing.T) {
	s := newSource(t, one(), nil)
	for range 2 {
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				it, err := s.Create(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if got := ask(t, it, "INSERT INTO things (note) VALUES (current_database()) RETURNING id::text"); got != "2" {
					t.Errorf("%s: the new row has id %s", it.Name, got)
				}
				if got := ask(t, it, "SELECT string_agg(note, ',' ORDER BY id) FROM things"); got != "seed,lease_default" {
					t.Errorf("%s has %q", it.Name, got)
				}
				dir := s.guest(it).dir
				for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, ".s.PGSQL.5432"): 0o600} {
					if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != want {
						t.Errorf("%s: %v, %v", path, fi.Mode(), err)
					}
				}
				if !s.Alive(it) {
					t.Error("not alive")
				}
				if again, err := s.Recycle(context.Background(), it, lease.Use{}); err != nil || again != nil {
					t.Errorf("recycled to %v, %v", again, err)
				}
				if _, err := os.Stat(dir); !os.IsNotExist(err) {
					t.Errorf("%s is left: %v", dir, err)
				}
				if s.Alive(it) {
					t.Error("alive after its end")
				}
			})
		}
		wg.Wait()
	}
	if left := stored(t, s); len(left) != 1 {
		t.Errorf("templates: %v", left)
	}
}

// awaitOther waits until a source has another version: files are looked at ten times a second.
func awaitOther(t *testing.T, s *Source, version string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); s.Version() == version; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the version is still %s", version)
		}
	}
}

// TestTemplateFollowsFiles builds another template when a migration changes, shares one
// with other processes, and builds it again when somebody has emptied the cache.
func TestTemplateFollowsFiles(t *testing.T) {
	s := newSource(t, one(), nil)
	a := create(t, s)
	other := New(s.cfg)
	b := create(t, other)
	if a.Version != b.Version || len(stored(t, s)) != 1 {
		t.Errorf("versions %s and %s, templates %v", a.Version, b.Version, stored(t, s))
	}
	if err := errors.Join(other.Destroy(t.Context(), b), other.Close(t.Context())); err != nil {
		t.Error(err)
	}
	write(t, s.cfg.Dir, map[string]string{"2.sql": "ALTER TABLE things ADD more int DEFAULT 7"})
	awaitOther(t, s, a.Version)
	c := create(t, s)
	if got := ask(t, c, "SELECT more::text FROM things"); got != "7" || c.Version != s.Version() {
		t.Errorf("after a change: %q, version %s of %s", got, c.Version, s.Version())
	}
	if err := s.Reset(t.Context(), a); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("reset of what is out of date: %v", err)
	}
	for _, name := range stored(t, s) {
		if err := os.RemoveAll(filepath.Join(s.cfg.Store, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(t, create(t, s), "SELECT more::text FROM things"); got != "7" {
		t.Errorf("after the cache was emptied: %q", got)
	}
}

// TestBrokenMigration says what is wrong and leaves nothing that could be taken for a
// template; when it is put right, it works.
func TestBrokenMigration(t *testing.T) {
	s := newSource(t, one(), nil)
	write(t, s.cfg.Dir, map[string]string{"2.sql": "CREATE TABLE half (id int);\nINSERT INTO nowhere VALUES (1);"})
	_, err := s.Create(t.Context())
	if !errors.Is(err, lease.ErrHopeless) || !strings.Contains(err.Error(), "2.sql:2") || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a broken migration: %v", err)
	}
	if left := stored(t, s); left != nil {
		t.Errorf("left in the store: %v", left)
	}
	version := s.Version()
	write(t, s.cfg.Dir, map[string]string{"2.sql": "CREATE TABLE half (id int); -- put right"})
	awaitOther(t, s, version)
	if got := ask(t, create(t, s), "SELECT count(*)::text FROM half"); got != "0" {
		t.Errorf("after it was put right: %q", got)
	}
}

// TestResetAndNone makes a server as new behind the same URL, and under the policy none
// lends it as it is, without the sessions of before.
func TestResetAndNone(t *testing.T) {
	s := newSource(t, one(), func(c *Config) { c.Pool.Reset = lease.ResetNone })
	it := create(t, s)
	holder, err := pgx.Connect(t.Context(), it.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.Background())
	if _, err := holder.Exec(t.Context(), "BEGIN; DELETE FROM things"); err != nil {
		t.Fatal(err)
	}
	again, err := s.Recycle(t.Context(), it, lease.Use{})
	if err != nil || again == nil || again.Name != it.Name {
		t.Fatalf("recycled to %v, %v", again, err)
	}
	if err := holder.Ping(t.Context()); err == nil {
		t.Error("a session outlived the lease")
	}
	if got := ask(t, again, "INSERT INTO things (note) VALUES ('second') RETURNING id::text"); got != "2" {
		t.Errorf("an open transaction was not rolled back: the row has id %s", got)
	}
	for range 2 {
		if err := s.Reset(t.Context(), it); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, it, "INSERT INTO things (note) VALUES ('x') RETURNING id::text"); got != "2" {
			t.Errorf("after a reset the new row has id %s", got)
		}
	}
	dir := s.guest(it).dir
	if err := s.Destroy(t.Context(), it); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

// TestKeepBounded lets so many servers run on, and no more.
func TestKeepBounded(t *testing.T) {
	s := newSource(t, nil, func(c *Config) { c.Pool.Migrations = nil })
	var items []*lease.Item
	for range maxKept + 2 {
		it := create(t, s)
		items = append(items, it)
		if err := s.Keep(t.Context(), it, "test"); err != nil {
			t.Fatal(err)
		}
	}
	for i, it := range items {
		if s.Alive(it) != (i >= 2) {
			t.Errorf("server %d: alive %v", i, s.Alive(it))
		}
	}
	if got := ask(t, items[2], "SELECT 1::text"); got != "1" {
		t.Errorf("a kept server answered %q", got)
	}
}

// TestDeadServer has a ready server end by itself: the pool lends another.
func TestDeadServer(t *testing.T) {
	s := newSource(t, nil, func(c *Config) { c.Pool.Migrations, c.Pool.Warm = nil, new(1) })
	p := lease.NewPool(s.cfg.Pool, s, nil)
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
	for p.Status().Ready == 0 {
		<-time.After(time.Millisecond) // made in the background
	}
	s.mu.Lock()
	for name, g := range s.running {
		if name != first.Item.Name {
			if err := g.srv.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
	s.mu.Unlock()
	second, err := p.Acquire(t.Context(), lease.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*lease.Lease{first, second} {
		if got := ask(t, l.Item, "SELECT 1::text"); got != "1" {
			t.Errorf("%s answered %q", l.Item.Name, got)
		}
	}
}

// TestVerifyTemplate notices a template that is not what the migrations make.
func TestVerifyTemplate(t *testing.T) {
	command := []string{"sh", "-c", `psql -Xqc "CREATE TABLE t$(cat n) ()"`}
	s := newSource(t, map[string]string{"n": "1"}, func(c *Config) { c.Pool.Migrations, c.Pool.Command = nil, command })
	if got := ask(t, create(t, s), "SELECT count(*)::text FROM t1"); got != "0" {
		t.Errorf("by a command: %q", got)
	}
	again := s.cfg
	again.Verify = true
	v := New(again)
	if err := v.Destroy(t.Context(), create(t, v)); err != nil {
		t.Error(err)
	}
	write(t, s.cfg.Dir, map[string]string{"n": "2"}) // it is no key file
	v = New(again)
	_, err := v.Create(t.Context())
	var step *recipe.StepError
	if !errors.As(err, &step) || step.Step != "verify" || !strings.Contains(err.Error(), "+ r public.t2") {
		t.Errorf("verify: %v", err)
	}
}

// TestSettings gives every server the pool's settings, and refuses a version that the
// engine has not.
func TestSettings(t *testing.T) {
	s := newSource(t, nil, func(c *Config) { c.Pool.Migrations, c.Pool.Settings = nil, map[string]string{"work_mem": "5MB"} })
	if got := ask(t, create(t, s), "SHOW work_mem"); got != "5MB" {
		t.Errorf("work_mem is %q", got)
	}
	s = newSource(t, nil, func(c *Config) { c.Pool.Migrations, c.Pool.PG = nil, "12" })
	if _, err := s.Create(t.Context()); !errors.Is(err, lease.ErrHopeless) || !errors.Is(err, engines.ErrNoRuntime) {
		t.Errorf("version 12: %v", err)
	}
}

// TestSweepTemplates removes what is old or one of too many, and nothing that is in use.
func TestSweepTemplates(t *testing.T) {
	s := newSource(t, nil, func(c *Config) { c.Pool.Migrations = nil })
	create(t, s)
	used := stored(t, s)[0]
	past := time.Now().Add(-keepTemplates - time.Hour)
	mk := func(name string, at time.Time) string {
		dir := filepath.Join(s.cfg.Store, name)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chtimes(dir, at, at)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	mk("other-1", time.Now())
	mk("other-2", past)
	mk("other-3.tmp", past)
	for i := range 6 {
		mk(fmt.Sprintf("%s-%d", s.family(), i), time.Now().Add(-time.Duration(i+1)*time.Hour))
	}
	if err := os.Chtimes(filepath.Join(s.cfg.Store, used), past, past); err != nil {
		t.Fatal(err)
	}
	s.sweep("")
	left := strings.Join(stored(t, s), " ")
	for _, want := range []string{used, "other-1", s.family() + "-0", s.family() + "-3"} {
		if !strings.Contains(left, want) {
			t.Errorf("%s was removed", want)
		}
	}
	for _, gone := range []string{"other-2", "other-3", s.family() + "-4", s.family() + "-5"} {
		if strings.Contains(left, gone) {
			t.Errorf("%s was left", gone)
		}
	}
	for i := range allTemplates {
		mk(fmt.Sprintf("more-%d", i), time.Now())
	}
	s.sweep("")
	if got := stored(t, s); len(got) != allTemplates+1 || !slices.Contains(got, used) { // one is in use
		t.Errorf("%d templates are left: %v", len(got), got)
	}
}
