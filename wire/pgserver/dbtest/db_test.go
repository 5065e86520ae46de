package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "modernc.org/sqlite"

	"github.com/pgx-dev/pgx-dev/wire/pgserver"
	"github.com/pgx-dev/pgx-dev/wire/wiretest"
)

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Any database/sql driver, here SQLite, for every client of PostgreSQL.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "shop.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &pgserver.Server{Handler: pgserver.Chain(pgserver.DB(db), pgserver.Settings)}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()

	ctx := context.Background()
	conn, err := pgx.Connect(ctx, "postgres://me@"+l.Addr().String()+"/shop?sslmode=disable")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "create table item (name text, price real)"); err != nil {
		log.Fatal(err)
	}
	for name, price := range map[string]float64{"tea": 2.5, "cake": 4} {
		if _, err := conn.Exec(ctx, "insert into item values ($1, $2)", name, fmt.Sprint(price)); err != nil {
			log.Fatal(err)
		}
	}
	var n int
	var total float64
	if err := conn.QueryRow(ctx, "select count(*), sum(price) from item where price > $1", "1").Scan(&n, &total); err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "items cost", total)
	// Output: 2 items cost 6.5
}

func sqlite(t testing.TB) string {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "t.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	srv := wiretest.NewServer(pgserver.Chain(pgserver.DB(db), pgserver.Settings, pgserver.Notifications, pgserver.Cursors))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestDB(t *testing.T) {
	url := sqlite(t)
	ctx := t.Context()
	conn := connect(t, url)
	mustExec := func(sql, tag string, args ...any) {
		t.Helper()
		got, err := conn.Exec(ctx, sql, args...)
		if err != nil || got.String() != tag {
			t.Fatalf("%s: %v, %v", sql, got, err)
		}
	}
	mustExec("create table t (id integer primary key, name text, score real, data blob, at timestamp, ok boolean)", "CREATE TABLE")
	at := time.Date(2024, 2, 29, 13, 14, 15, 0, time.UTC)
	mustExec("insert into t values ($1, $2, $3, $4, $5, $6)", "INSERT 0 1", "1", "one", "1.5", "raw", at.Format(time.RFC3339), "1")
	mustExec("insert into t (id, name) values (2, 'two'), (3, 'three')", "INSERT 0 2")
	mustExec("update t set score = 0 where id > $1", "UPDATE 2", "1")
	var id int
	var name string
	var score float64
	var data []byte
	var when time.Time
	var ok bool
	if err := conn.QueryRow(ctx, "select * from t where id = $1", "1").Scan(&id, &name, &score, &data, &when, &ok); err != nil ||
		id != 1 || name != "one" || score != 1.5 || string(data) != "raw" || !when.Equal(at) || !ok {
		t.Errorf("%d %s %g %s %v %v: %v", id, name, score, data, when, ok, err)
	}
	if err := conn.QueryRow(ctx, "delete from t where id = $1 returning id, upper(name) as name", "3").Scan(new(string), &name); err != nil || name != "THREE" {
		t.Errorf("returning: %s, %v", name, err)
	}
	if _, err := conn.Prepare(ctx, "star", "delete from t returning *"); err == nil || !strings.Contains(err.Error(), "name them") {
		t.Errorf("returning *: %v", err)
	}
	t.Run("transactions", func(t *testing.T) {
		tx, err := conn.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		mustExec("insert into t (id) values (10)", "INSERT 0 1")
		var pgErr *pgconn.PgError
		if _, err := tx.Exec(ctx, "insert into t (id) values (10)"); err == nil {
			t.Fatal("a duplicate was taken")
		}
		if _, err := tx.Exec(ctx, "select 1"); !errors.As(err, &pgErr) || pgErr.Code != "25P02" {
			t.Errorf("in a failed transaction: %v", err)
		}
		if err := tx.Commit(ctx); !errors.Is(err, pgx.ErrTxCommitRollback) {
			t.Errorf("commit: %v", err)
		}
		var n int
		if err := conn.QueryRow(ctx, "select count(*) from t").Scan(&n); err != nil || n != 2 {
			t.Errorf("%d rows, %v", n, err)
		}
		// A string of statements is one transaction.
		if err := conn.PgConn().Exec(ctx, "insert into t (id) values (20); insert into t (id) values (20)").Close(); err == nil {
			t.Fatal("a duplicate was taken")
		}
		if err := conn.QueryRow(ctx, "select count(*) from t").Scan(&n); err != nil || n != 2 {
			t.Errorf("%d rows, %v", n, err)
		}
		mustExec("commit", "COMMIT") // with a warning
		if err := conn.PgConn().Exec(ctx, "begin; insert into t (id) values (30); savepoint s; insert into t (id) values (31); rollback to s; commit").Close(); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(ctx, "select count(*) from t where id >= 30").Scan(&n); err != nil || n != 1 {
			t.Errorf("%d rows, %v", n, err)
		}
	})
	t.Run("copy", func(t *testing.T) {
		for _, format := range []string{"", "(format csv, header)", "(format binary)"} {
			mustExec("create table c (a integer, b text)", "CREATE TABLE")
			mustExec("create table back (a integer, b text)", "CREATE TABLE")
			n, err := conn.CopyFrom(ctx, pgx.Identifier{"c"}, []string{"a", "b"}, pgx.CopyFromRows([][]any{{int64(1), "one, two"}, {int64(2), nil}}))
			if err != nil || n != 2 {
				t.Fatal(n, err)
			}
			var out strings.Builder
			if tag, err := conn.PgConn().CopyTo(ctx, &out, "copy (select a, b from c order by a) to stdout "+format); err != nil || tag.String() != "COPY 2" {
				t.Fatal(tag, err)
			}
			if tag, err := conn.PgConn().CopyFrom(ctx, strings.NewReader(out.String()), "copy back from stdin "+format); err != nil || tag.String() != "COPY 2" {
				t.Fatal(tag, err)
			}
			var same int
			if err := conn.QueryRow(ctx, "select count(*) from c join back using (a) where c.b is back.b").Scan(&same); err != nil || same != 2 {
				t.Errorf("%s: %d rows came back, %v", format, same, err)
			}
			if _, err := conn.PgConn().CopyFrom(ctx, strings.NewReader("7\tx\nbroken\n"), "copy back from stdin"); err == nil {
				t.Error("a broken row was taken")
			}
			if err := conn.QueryRow(ctx, "select count(*) from back").Scan(&same); err != nil || same != 2 {
				t.Errorf("half a COPY stayed: %d rows, %v", same, err)
			}
			mustExec("drop table c", "DROP TABLE")
			mustExec("drop table back", "DROP TABLE")
		}
	})
	t.Run("many rows and a cancel", func(t *testing.T) {
		sql := "with recursive r(n) as (select 1 union all select n + 1 from r) select n from r"
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		other := connect(t, url)
		rows, err := other.Query(ctx, sql)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if rows.Err() == nil || n < 100 {
			t.Errorf("%d rows, %v", n, rows.Err())
		}
		<-other.PgConn().CleanupDone() // its cancel request has done its work
	})
}

// psql is the client that people try first.
func TestPsql(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	url := sqlite(t)
	script := `
\set ON_ERROR_STOP off
create table t (a integer, b text);
insert into t values (1, 'x'), (2, null);
select a, b from t order by a;
select $1 || $2 as joined \bind 'a' 'b' \g
begin;
\echo :ENCODING
\set FETCH_COUNT 1
select a from t order by a;
\unset FETCH_COUNT
select nonsense;
select 1;
rollback;
listen c;
notify c, 'hello';
show server_version;
`
	if v, err := exec.Command(psql, "--version").Output(); err != nil || strings.Contains(string(v), " 15.") {
		script = strings.Replace(script, "select $1 || $2 as joined \\bind 'a' 'b' \\g\n", "", 1) // psql 16's
	}
	cmd := exec.CommandContext(t.Context(), psql, "-X", "-At", "-P", "null=NULL", url)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := string(out)
	for _, want := range []string{
		"CREATE TABLE\nINSERT 0 2\n", "1|x\n2|NULL\n", "BEGIN\nUTF8\n1\n2\n",
		"ERROR:  ", "current transaction is aborted", "ROLLBACK\n", "LISTEN\n",
		"Asynchronous notification \"c\" with payload \"hello\" received from server process with PID", "15.0\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}
