package outside_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

// TestReshardCommand moves a database by the command, saves that in the files, and finds it there: after a
// reload, and in a new proxy.
func TestReshardCommand(t *testing.T) {
	t.Parallel()
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Version: "15", Fast: true, Params: map[string]string{
		"wal_level": "logical", "max_prepared_transactions": "20",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	run := func(database string, sql ...string) (last string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), srv.Info().URL(database))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		for _, s := range sql {
			res, err := conn.PgConn().Exec(t.Context(), s).ReadAll()
			if err != nil {
				t.Fatalf("%s: %v", s, err)
			}
			if r := res[len(res)-1]; len(r.Rows) > 0 {
				last = string(r.Rows[0][0])
			}
		}
		return last
	}
	s := &server{srv.Info().Socket, srv.Info().Port, srv.Info().User}
	more := "[[sharded_tables]]\ndatabase = \"next\"\nname = \"users\"\ncolumn = \"id\"\n"
	for i := range 2 {
		run("postgres", fmt.Sprintf("CREATE DATABASE new%d", i))
		more += fmt.Sprintf("[[databases]]\nname = \"next\"\nhost = %q\nport = %d\ndatabase_name = \"new%d\"\nshard = %d\n", s.socket, s.port, i, i)
	}
	p := configure(t, s, "cutover_save_config = true\ntwo_phase_commit_wal_dir = \"2pc\"", more)
	p.write("users.toml", fmt.Sprintf("[[users]]\nname = %q\ndatabases = [\"app\", \"next\"]\npassword = \"secret\"\n", s.user))
	run("postgres", "CREATE TABLE users (id bigint PRIMARY KEY, email text)", "INSERT INTO users SELECT i, 'u' || i FROM generate_series(1, 100) i",
		"CREATE INDEX users_email ON users (email)", "CREATE PUBLICATION moved FOR ALL TABLES")
	reshard := func(args ...string) (string, error) {
		cmd := p.command(append([]string{"proxy", "reshard", "--pgdog", "pgdog.toml"}, args...)...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		return out.String(), err
	}
	if out, err := reshard("--dry-run", "app", "next"); err != nil || !strings.Contains(out, "CREATE TABLE public.users") || !strings.Contains(out, "CREATE INDEX users_email") {
		t.Fatalf("%v: %s", err, out)
	}
	x := p.proxy()
	if out, err := reshard("--to", x.url, "app", "next", "nosuch"); err == nil || !strings.Contains(out, `no publication "nosuch"`) {
		t.Errorf("%v: %s", err, out)
	}
	out, err := reshard("--to", x.url, "app", "next", "moved")
	if err != nil || !strings.Contains(out, "clients of app have the new servers; task 2 keeps the old ones") {
		t.Fatalf("%v: %s", err, out)
	}
	count := func(x *process) (n int) {
		t.Helper()
		if err := x.app().QueryRow(t.Context(), "SELECT count(*) FROM users").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := x.app().Exec(t.Context(), "INSERT INTO users VALUES (1000, 'later')"); err != nil {
		t.Fatal(err)
	}
	if n := count(x); n != 101 {
		t.Errorf("%d users", n)
	}
	eventually(t, "the old server has the new row", func() bool { return run("postgres", "SELECT count(*) FROM users") == "101" })
	if a, b := run("new0", "SELECT count(*) FROM users"), run("new1", "SELECT count(*) FROM users"); a == "0" || b == "0" {
		t.Errorf("%s users on one shard, %s on the other", a, b)
	}
	text, err := os.ReadFile(filepath.Join(p.dir, "pgdog.toml"))
	if err != nil || !strings.Contains(string(text), "name = \"app\"\nhost") || !strings.Contains(string(text), "database = \"app\"\nname = \"users\"") {
		t.Errorf("%v:\n%s", err, text)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "pgdog.bak.toml")); err != nil {
		t.Error(err)
	}
	if err := x.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	x.says("read the configuration again")
	if n := count(x); n != 101 {
		t.Errorf("after a reload %d users", n)
	}
	x.admin("STOP_TASK 2")
	if slots := run("postgres", "SELECT count(*) FROM pg_replication_slots"); slots != "0" {
		t.Errorf("%s slots stay", slots)
	}
	x.end()
	x = p.proxy()
	if n := count(x); n != 101 {
		t.Errorf("in a new proxy %d users", n)
	}
	x.end()
}
