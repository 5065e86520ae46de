package outside_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgx-dev/pgx-dev/wire/wiretest/fetch"
)

// serving runs "pgx-dev ARGS…" until the test ends, and returns the URL that it prints. At
// the end it is interrupted, and must have printed nothing else and end well.
func serving(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "pgx-dev", args...)
	cmd.Stderr = t.Output()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 2 * time.Minute
	cmd.Dir = t.TempDir()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("pgx-dev %q printed no URL: %v", args, errors.Join(lines.Err(), cmd.Wait()))
	}
	url := lines.Text()
	t.Cleanup(func() { // t.Context has ended
		if lines.Scan() {
			t.Errorf("pgx-dev %q printed more than a URL: %s", args, lines.Text())
		}
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("pgx-dev %q: %v", args, err)
		}
	})
	return url
}

// run runs a program in dir and returns its output.
func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// fetched runs a program that fetches something from a registry.
func fetched(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	if err := fetch.Run(t.Context(), dir, program, args...); err != nil {
		t.Fatal(err)
	}
}

// TestEmbedClients has real clients do what applications do, through each kind of listener
// and both engines, and through the proxy: migrations, prepared statements, COPY, transactions, errors.
func TestEmbedClients(t *testing.T) {
	need(t, "psql")
	need(t, "python3")
	need(t, "npm")
	python, node, pq := psycopg(t), nodePostgres(t), libPQ(t, "testdata/clients/libpq/main.go")
	classes, classpath := t.TempDir(), ""
	for _, test := range []struct{ name, url string }{
		{"unix", serving(t, "embed", "--listen", "unix")},
		{"tcp", serving(t, "embed", "--listen", "tcp")},
		{"up wasm tcp", serving(t, "up", "--engine", "wasm", "--temp", "--tcp")},
		{"native tcp", serving(t, "embed", "--native", "--listen", "tcp")},
		{"proxy tcp", serving(t, "proxy", "--listen", "tcp")},
		{"proxy unix session", serving(t, "proxy", "-o", "proxy.general.pooler_mode=session")},
	} {
		url := withPassword(t, test.url)
		t.Run(test.name+"/pgx", func(t *testing.T) { clientPgx(t, url) })
		t.Run(test.name+"/psql", func(t *testing.T) {
			out := run(t, ".", "psql", "-X", "-At", "-f", "testdata/clients/client.psql", url)
			if !strings.Contains(out, "rows 1001\n") || !strings.HasSuffix(out, "count|1001\n") {
				t.Errorf("psql said:\n%s", out)
			}
		})
		t.Run(test.name+"/psycopg", func(t *testing.T) {
			out := run(t, ".", python, "testdata/clients/client.py", url)
			if !strings.HasPrefix(out, "psycopg ") {
				t.Errorf("it said:\n%s", out)
			}
		})
		t.Run(test.name+"/node-postgres", func(t *testing.T) {
			out := run(t, node, "node", "client.js", url)
			if !strings.HasPrefix(out, "node-postgres ") {
				t.Errorf("it said:\n%s", out)
			}
		})
		t.Run(test.name+"/lib-pq", func(t *testing.T) {
			if out := run(t, ".", pq, url); out != "lib/pq 1020\n" {
				t.Errorf("it said:\n%s", out)
			}
		})
		if test.name == "tcp" || test.name == "proxy tcp" { // the driver knows no Unix sockets
			t.Run(test.name+"/jdbc", func(t *testing.T) {
				if need(t, "javac"); classpath == "" {
					classpath = jdbc(t, classes, "testdata/clients/Client.java")
				}
				if out := run(t, ".", "java", "-cp", classpath, "Client", jdbcURL(t, url)); !strings.HasPrefix(out, "JDBC 42.") {
					t.Errorf("it said:\n%s", out)
				}
			})
		}
	}
	url := withPassword(t, serving(t, "proxy", "--listen", "tcp", "-o", "proxy.general.default_pool_size=2"))
	t.Run("proxy of two connections", func(t *testing.T) {
		together(t, url, map[string][]string{
			"psycopg":       {".", python, "testdata/clients/client.py", url},
			"node-postgres": {node, "node", "client.js", url},
			"lib/pq":        {".", pq, url},
			"JDBC":          {".", "java", "-cp", classpath, "Client", jdbcURL(t, url)},
		})
	})
}

// together has all drivers at work at once, in transaction mode on fewer server connections than they
// are: each has to find its statements, cursors and COPYs as if it had one of its own.
func together(t *testing.T, url string, programs map[string][]string) {
	t.Run("pgx", func(t *testing.T) {
		t.Parallel()
		clientPgx(t, url)
	})
	for name, program := range programs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out := run(t, program[0], program[1], program[2:]...); !strings.HasPrefix(out, name+" ") {
				t.Errorf("it said:\n%s", out)
			}
		})
	}
}

// jdbc compiles a program that uses the PostgreSQL JDBC driver into a directory, and returns the
// class path to run it with.
func jdbc(t *testing.T, classes, source string) string {
	t.Helper()
	const jar = "/usr/share/java/postgresql.jar" // Debian's libpostgresql-jdbc-java
	if _, err := os.Stat(jar); err != nil {
		if os.Getenv("CI") == "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	run(t, ".", "javac", "-encoding", "UTF-8", "-cp", jar, "-d", classes, source)
	return jar + ":" + classes
}

// jdbcURL is a URL as the JDBC driver has them, with user and password as parameters.
func jdbcURL(t *testing.T, url string) string {
	t.Helper()
	u, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	q := neturl.Values{"user": {u.User.Username()}, "sslmode": {"disable"}}
	if password, ok := u.User.Password(); ok {
		q.Set("password", password)
	}
	return (&neturl.URL{Scheme: "jdbc:postgresql", Host: u.Host, Path: u.Path, RawQuery: q.Encode()}).String()
}

// withPassword puts the password of a URL's password file into it: not every client knows
// such files.
func withPassword(t *testing.T, url string) string {
	t.Helper()
	cfg, err := pgconn.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	u, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("passfile") == "" {
		return url
	}
	if cfg.Password == "" {
		t.Fatalf("the password file of %s has no password", url)
	}
	q.Del("passfile")
	q.Set("sslmode", "disable")
	u.User, u.RawQuery = neturl.UserPassword(cfg.User, cfg.Password), q.Encode()
	return u.String()
}

// psycopg returns a Python that has psycopg.
func psycopg(t *testing.T) string { return pythonWith(t, "psycopg[binary]==3.3.9") }

func pythonWith(t *testing.T, packages ...string) string {
	t.Helper()
	dir := t.TempDir()
	run(t, ".", "python3", "-m", "venv", dir)
	fetched(t, ".", filepath.Join(dir, "bin", "pip"), append([]string{"install", "--quiet", "--disable-pip-version-check"}, packages...)...)
	return filepath.Join(dir, "bin", "python")
}

// nodePostgres returns a directory with node-postgres and the script that uses it.
func nodePostgres(t *testing.T) string {
	t.Helper()
	return nodeWith(t, "testdata/clients/client.js", "pg@8.23.1", "pg-copy-streams@7.0.0")
}

func nodeWith(t *testing.T, path string, packages ...string) string {
	t.Helper()
	dir := t.TempDir()
	fetched(t, dir, "npm", append([]string{"install", "--no-audit", "--no-fund", "--silent", "--fetch-timeout=20000", "--prefix", dir}, packages...)...)
	script, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "client.js"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// libPQ builds a program that uses lib/pq, which this module does not depend on.
func libPQ(t *testing.T, path string) string {
	t.Helper()
	dir := t.TempDir()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"main.go": string(src), "go.mod": "module client\n\ngo 1.26\n\nrequire github.com/lib/pq v1.10.9\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fetched(t, dir, "go", "mod", "tidy")
	run(t, dir, "go", "build", "-o", "client", ".")
	return filepath.Join(dir, "client")
}

func clientPgx(t *testing.T, url string) {
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, migration := range []string{
		`CREATE TABLE go_user (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text UNIQUE NOT NULL)`,
		`ALTER TABLE go_user ADD COLUMN born date, ADD CHECK (email <> '')`,
		`CREATE FUNCTION go_users() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM go_user); END $$`,
	} {
		if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, migration); return err }); err != nil {
			t.Fatal(err)
		}
	}
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"go_user"}, []string{"email", "born"}, pgx.CopyFromSlice(1000, func(i int) ([]any, error) {
		return []any{fmt.Sprintf("u%d@x", i), time.Date(2000, 1, 1+i, 0, 0, 0, 0, time.UTC)}, nil
	}))
	if err != nil || n != 1000 {
		t.Fatalf("COPY: %d rows, %v", n, err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO go_user (email) VALUES ($1)", "lost@x"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO go_user (email) VALUES ($1)", "u1@x")
		return err
	})
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "23505" {
		t.Errorf("a duplicate: %v", err)
	}
	var batch pgx.Batch
	for i := range 100 {
		batch.Queue("SELECT $1::int + 1", i)
	}
	results := conn.SendBatch(ctx, &batch)
	for i := range 100 {
		var got int
		if err := results.QueryRow().Scan(&got); err != nil || got != i+1 {
			t.Fatalf("batch: %d, %v", got, err)
		}
	}
	if err := results.Close(); err != nil {
		t.Error(err)
	}
	slow, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := conn.Exec(slow, "SELECT pg_sleep(60)"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a statement that is cancelled: %v", err)
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var count int
	if err := pool.QueryRow(ctx, "SELECT go_users()").Scan(&count); err != nil || count != 1000 {
		t.Errorf("%d users, %v", count, err)
	}
}

// TestEmbedPassword checks that TCP lets nobody in who does not know the role's password,
// and that a stranger cannot tell roles and databases that exist from others.
func TestEmbedPassword(t *testing.T) {
	url := serving(t, "embed", "--listen", "tcp")
	good, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	connect := func(user, database, password string) error {
		cfg := good.Copy()
		cfg.User, cfg.Database, cfg.Password = user, database, password
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err == nil {
			_, err = conn.Exec(t.Context(), `DO $$ BEGIN CREATE ROLE app LOGIN PASSWORD 'secret'; CREATE ROLE locked LOGIN; CREATE ROLE old LOGIN PASSWORD 'secret' VALID UNTIL '2020-01-01'; EXCEPTION WHEN duplicate_object OR insufficient_privilege THEN NULL; END $$`)
			err = errors.Join(err, conn.Close(t.Context()))
		}
		return err
	}
	if fi, err := os.Stat(passfileOf(url)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the password file: %v %v", fi, err)
	}
	for _, test := range []struct{ user, database, password, code string }{
		{"postgres", "postgres", good.Password, ""},
		{"postgres", "postgres", "wrong", "28P01"},
		{"postgres", "postgres", "", "28P01"},
		{"nobody", "postgres", "wrong", "28P01"},
		{"postgres", "nowhere", "wrong", "28P01"},
		{"postgres", "nowhere", good.Password, "3D000"},
		{"app", "postgres", "secret", ""},
		{"app", "postgres", good.Password, "28P01"},
		{"locked", "postgres", "", "28P01"},
		{"old", "postgres", "secret", "28P01"},
	} {
		err := connect(test.user, test.database, test.password)
		code := ""
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
			code = pg.Code
		} else if err != nil {
			code = err.Error()
		}
		if code != test.code {
			t.Errorf("%s at %s with %q: %q, want %q (%v)", test.user, test.database, test.password, code, test.code, err)
		}
	}
}

func passfileOf(url string) string {
	_, path, _ := strings.Cut(url, "passfile=")
	path, _, _ = strings.Cut(path, "&")
	return strings.ReplaceAll(path, "%2F", "/")
}
