package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
)

// countInitdb returns an option that counts the runs of initdb.
func countInitdb(n *atomic.Int32) Option {
	return WithProgress(func(p Progress) {
		if p.Phase == "initdb" {
			n.Add(1)
		}
	})
}

// systemID returns the database system identifier of a new cluster.
func systemID(t *testing.T, e *Engine, spec engines.Spec) uint64 {
	t.Helper()
	spec.Dir = filepath.Join(t.TempDir(), "data")
	if err := e.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	c, err := ReadControlData(spec.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.State != Shutdown || c.ControlVersion < 900 || c.Modified.IsZero() {
		t.Errorf("control data is %+v", c)
	}
	return c.SystemID
}

func TestTemplateCache(t *testing.T) {
	t.Setenv("PGX_DEV_CACHE", t.TempDir())
	rt := runtimes(t)[0]
	var n atomic.Int32
	e := engineFor(rt, countInitdb(&n))
	one := systemID(t, e, engines.Spec{})
	if two := systemID(t, engineFor(rt, countInitdb(&n)), engines.Spec{}); two != one || n.Load() != 1 {
		t.Errorf("initdb ran %d times for two clusters, with ids %d and %d", n.Load(), one, two)
	}
	// Other arguments, another user: another result.
	other := engineFor(rt, countInitdb(&n))
	other.cfg.InitdbArgs = []string{"--locale=C.UTF-8"}
	for _, id := range []uint64{systemID(t, e, engines.Spec{User: "ally"}), systemID(t, other, engines.Spec{})} {
		if id == one {
			t.Error("the cached result of other arguments was used")
		}
	}
	srv := mustStart(t, other, engines.Spec{Discard: true})
	if got := query(t, srv, "SELECT datcollate FROM pg_database WHERE datname = 'postgres'"); !strings.EqualFold(got, "C.UTF-8") {
		t.Errorf("initdb's arguments were lost: the collation is %s", got)
	}
	mustStop(t, srv)
	if n.Load() != 3 {
		t.Errorf("initdb ran %d times, want 3", n.Load())
	}
	fresh := engineFor(rt, countInitdb(&n))
	fresh.cfg.FreshID = true
	if a, b := systemID(t, fresh, engines.Spec{}), systemID(t, fresh, engines.Spec{}); a == b || a == one {
		t.Errorf("fresh ids are %d and %d, the cached one %d", a, b, one)
	}
}

func TestDamagedTemplate(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("PGX_DEV_CACHE", cache)
	var n atomic.Int32
	e := first(t, countInitdb(&n))
	last := systemID(t, e, engines.Spec{})
	one := func(pattern string) string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(cache, "initdb", pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %q (%v)", pattern, found, err)
		}
		return found[0]
	}
	damages := map[string]func() error{
		"no pg_control":   func() error { return os.Remove(one("*/data/global/pg_control")) },
		"no size":         func() error { return os.Remove(one("*/size")) },
		"everything gone": func() error { return os.RemoveAll(filepath.Join(cache, "initdb")) },
		"leftovers": func() error {
			return errors.Join(os.Remove(one("*/size")), os.MkdirAll(one("*[0-9a-f]")+".tmp-77/data", 0o700))
		},
		"a file in the way": func() error {
			e := filepath.Dir(one("*/size"))
			return errors.Join(os.RemoveAll(e), os.WriteFile(e, nil, 0o600))
		},
	}
	for name, damage := range damages {
		if err := damage(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		before := n.Load()
		id := systemID(t, e, engines.Spec{})
		if id == last || n.Load() != before+1 {
			t.Errorf("%s: the damaged template was used", name)
		}
		last = id
	}
	if left, err := filepath.Glob(filepath.Join(cache, "initdb", "*.tmp-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q (%v)", left, err)
	}
}

func TestInitdbCancelled(t *testing.T) {
	cache, parent := t.TempDir(), t.TempDir()
	t.Setenv("PGX_DEV_CACHE", cache)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	e := first(t, WithProgress(func(p Progress) {
		if p.Phase == "initdb" {
			cancel(enough)
		}
	}))
	if err := e.Create(ctx, engines.Spec{Dir: filepath.Join(parent, "data")}); !errors.Is(err, enough) {
		t.Errorf("error is %v", err)
	}
	for _, glob := range []string{filepath.Join(cache, "initdb", "*.tmp-*"), filepath.Join(parent, "*"), filepath.Join(parent, ".*")} {
		if left, err := filepath.Glob(glob); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q (%v)", left, err)
		}
	}
}

// TestInitdbFails makes initdb fail; the error has what it said.
func TestInitdbFails(t *testing.T) {
	t.Setenv("PGX_DEV_CACHE", t.TempDir())
	e := first(t)
	e.cfg.InitdbArgs = []string{"--locale=xx_XX.nowhere"}
	parent := t.TempDir()
	err := e.Create(t.Context(), engines.Spec{Dir: filepath.Join(parent, "data")})
	if err == nil || !strings.Contains(err.Error(), "xx_XX.nowhere") {
		t.Errorf("error is %v", err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// TestNewCluster looks at what we decide in a new directory.
func TestNewCluster(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *Engine, rt Runtime) {
		srv := mustStart(t, e, engines.Spec{Dir: filepath.Join(t.TempDir(), "data")})
		for sql, want := range map[string]string{
			"SHOW server_encoding": "UTF8",
			"SHOW TimeZone":        "UTC",
			"SHOW log_timezone":    "UTC",
			"SHOW lc_messages":     "C",
			"SELECT datcollate FROM pg_database WHERE datname = 'template1'":                              "C",
			"SELECT count(*)::text FROM pg_hba_file_rules WHERE type = 'local' AND 'trust' = auth_method": "2",
			"SELECT count(*)::text FROM pg_hba_file_rules WHERE error IS NOT NULL":                        "0",
			"SELECT string_agg(DISTINCT auth_method, ' ') FROM pg_hba_file_rules WHERE type = 'host'":     "scram-sha-256",
			"SHOW listen_addresses": "",
			"SHOW fsync":            "on",
			"SELECT count(*)::text FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'": "0",
		} {
			if got := query(t, srv, sql); got != want {
				t.Errorf("%s: got %q, want %q", sql, got, want)
			}
		}
		if rt.Version.Num() >= 110000 {
			if got := query(t, srv, "SHOW wal_segment_size"); got != "1MB" {
				t.Errorf("WAL segments are of %s", got)
			}
		}
		checkModes(t, srv.Info().Dir)
		mustStop(t, srv)
	})
}

func checkModes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server works there
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if err == nil && fi.Mode().Perm() != want {
			t.Errorf("%s has mode %04o", path, fi.Mode().Perm())
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestCopyDir(t *testing.T) {
	src := filepath.Join(t.TempDir(), "src")
	elsewhere := t.TempDir()
	big := bytes.Repeat([]byte("0123456789abcdef"), 70000)
	files := map[string][]byte{
		"PG_VERSION": []byte("15\n"), "base/1/112": big, "base/1/empty": {}, "global/pg_control": big[:8192],
		"postmaster.pid": []byte("1"), "postmaster.opts": []byte("x"), "pg_stat_tmp/db_0.stat": []byte("x"), "deep/a/b/c/d": []byte("d"),
	}
	for name, content := range files {
		path := filepath.Join(src, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	// WAL elsewhere, and a configuration file that is a link, become our own.
	for name, content := range map[string][]byte{"0001": []byte("wal"), "conf": []byte("conf")} {
		if err := os.WriteFile(filepath.Join(elsewhere, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(elsewhere, filepath.Join(src, "pg_wal")), os.Symlink(filepath.Join(elsewhere, "conf"), filepath.Join(src, "postgresql.conf"))); err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "dst")
	if err := CopyDir(t.Context(), src, dst); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"postmaster.pid", "postmaster.opts", "pg_stat_tmp/db_0.stat"} {
		delete(files, gone)
		if _, err := os.Stat(filepath.Join(dst, gone)); err == nil {
			t.Errorf("%s was copied", gone)
		}
	}
	files["pg_wal/0001"], files["pg_wal/conf"], files["postgresql.conf"] = []byte("wal"), []byte("conf"), []byte("conf")
	for name, content := range files {
		if got, err := os.ReadFile(filepath.Join(dst, name)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s has %d bytes (%v), want %d", name, len(got), err, len(content))
		}
	}
	if fi, err := os.Lstat(filepath.Join(dst, "pg_wal")); err != nil || !fi.IsDir() {
		t.Errorf("pg_wal is %v (%v)", fi.Mode(), err)
	}
	if fi, err := os.Stat(filepath.Join(dst, "pg_stat_tmp")); err != nil || !fi.IsDir() {
		t.Errorf("pg_stat_tmp is not there: %v", err)
	}
	checkModes(t, dst)

	if err := CopyDir(t.Context(), src, dst); !errors.Is(err, fs.ErrExist) {
		t.Errorf("copy onto something: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	two := dst + "2"
	if err := CopyDir(ctx, src, two); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled copy: %v", err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(src, "pg_tblspc"), 0o700), os.Symlink(elsewhere, filepath.Join(src, "pg_tblspc", "16385"))); err != nil {
		t.Fatal(err)
	}
	if err := CopyDir(t.Context(), src, two); !errors.Is(err, engines.ErrUnsupported) {
		t.Errorf("copy of a tablespace: %v", err)
	}
	if _, err := os.Stat(two); err == nil {
		t.Error("a failed copy left something")
	}
}

// TestCopyAcross copies between file systems, where neither cloning nor copy_file_range
// works, and reports an unreadable file.
func TestCopyAcross(t *testing.T) {
	src, dst := t.TempDir(), filepath.Join(shortDir(t), "dst")
	content := bytes.Repeat([]byte("0123456789abcdef"), 50000)
	for i := range 50 {
		if err := os.WriteFile(filepath.Join(src, fmt.Sprint(i)), content[:i*13000], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := CopyDir(t.Context(), src, dst); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if got, err := os.ReadFile(filepath.Join(dst, fmt.Sprint(i))); err != nil || !bytes.Equal(got, content[:i*13000]) {
			t.Errorf("file %d has %d bytes (%v)", i, len(got), err)
		}
	}
}

// TestNoTemplateCache: where nothing can be cached, initdb makes each cluster.
func TestNoTemplateCache(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGX_DEV_CACHE", filepath.Join(file, "cache"))
	var n atomic.Int32
	e := engineFor(runtimes(t)[0], countInitdb(&n))
	if a, b := systemID(t, e, engines.Spec{}), systemID(t, e, engines.Spec{}); a == b || n.Load() != 2 {
		t.Errorf("initdb ran %d times for two clusters, with ids %d and %d", n.Load(), a, b)
	}
}
