package wasm_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgx-dev/pgx-dev/engines/wasm"
	_ "github.com/pgx-dev/pgx-dev/engines/wasm/sqldriver"
)

func openTemp(t *testing.T, o wasm.Options) *wasm.DB {
	t.Helper()
	o.Engine = shared
	db, err := wasm.OpenTemp(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if db.Ready() {
			t.Error("ready after Close")
		}
	})
	return db
}

func TestDB(t *testing.T) {
	ctx := t.Context()
	db := openTemp(t, wasm.Options{Database: "app", Extensions: []string{"hstore"}, Params: map[string]string{"work_mem": "5MB"}})

	results, err := db.Exec(ctx, `create table t(id int primary key, name text, doc jsonb, at timestamptz);
		insert into t values (1, 'one', '{"a": 1}', '2024-01-02 03:04:05Z'), (2, null, null, null);
		select * from t order by id; show work_mem; select current_database()`)
	if err != nil || len(results) != 5 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	if results[1].Tag != "INSERT 0 2" || results[1].Affected != 2 {
		t.Errorf("insert: %+v", results[1])
	}
	if got := fmt.Sprint(results[3].Rows, results[4].Rows); got != "[[5MB]] [[app]]" {
		t.Errorf("settings: %s", got)
	}
	b, err := results[2].JSON()
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"id":1,"name":"one","doc":{"a":1},"at":"2024-01-02T03:04:05Z"},{"id":2,"name":null,"doc":null,"at":null}]`; string(b) != want {
		t.Errorf("JSON: %s, want %s", b, want)
	}
	results, err = db.Exec(ctx, "select 1; select 1/0; select 2")
	if code(err) != "22012" || len(results) != 1 {
		t.Errorf("an error in the middle: %d results, %v", len(results), err)
	}

	r, err := db.Query(ctx, "select $1::int + 1 as n, $2::jsonb ->> 'k' as k, $3::text[] as list", 41, map[string]any{"k": "v"}, []string{"x", "y"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(r.Objects())
	if want := `[{"k":"v","list":["x","y"],"n":42}]`; err != nil || string(got) != want {
		t.Errorf("query: %s, %v; want %s", got, err, want)
	}
	d, err := db.Describe(ctx, "select id, name from t where id = $1 and name = $2")
	if err != nil || len(d.Params) != 2 || d.Params[0].Type != 23 || len(d.Columns) != 2 || d.Columns[1].Name != "name" {
		t.Errorf("describe: %+v, %v", d, err)
	}
	if _, err := db.Describe(ctx, "select nothing from nowhere"); code(err) != "42P01" {
		t.Errorf("describe: %v", err)
	}

	refused := errors.New("no")
	err = db.Transaction(ctx, func(tx wasm.Tx) error {
		if _, err := tx.Query(ctx, "insert into t(id) values ($1)", 3); err != nil {
			return err
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Errorf("transaction: %v", err)
	}
	err = db.Transaction(ctx, func(tx wasm.Tx) error {
		if _, err := tx.Exec(ctx, "insert into t(id) values (4); insert into t(id) values (5)"); err != nil {
			return err
		}
		_ = tx.Transaction(ctx, func(tx wasm.Tx) error {
			_, err := tx.Query(ctx, "insert into t(id) values (4)")
			return err
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := db.Query(ctx, "select array_agg(id order by id) from t"); err != nil || fmt.Sprint(r.Rows) != "[[[1 2 4 5]]]" {
		t.Errorf("rows: %v, %v", r.Rows, err)
	}
	if _, err := db.Query(ctx, "select 'a=>1'::hstore -> 'a'"); err != nil {
		t.Error(err)
	}
}

func TestDBNotifications(t *testing.T) {
	ctx := t.Context()
	db := openTemp(t, wasm.Options{})
	one, all := make(chan wasm.Notification, 10), make(chan wasm.Notification, 10)
	stop, err := db.Listen(ctx, "Chan", func(n wasm.Notification) { one <- n })
	if err != nil {
		t.Fatal(err)
	}
	remove := db.OnNotification(func(n wasm.Notification) { all <- n })
	if _, err := db.Exec(ctx, `notify "Chan", 'hello'; notify other, 'nobody'`); err != nil {
		t.Fatal(err)
	}
	for _, ch := range []chan wasm.Notification{one, all} {
		select {
		case n := <-ch:
			if n.Channel != "Chan" || n.Payload != "hello" {
				t.Errorf("got %+v", n)
			}
		case <-time.After(2 * time.Minute):
			t.Fatal("no notification")
		}
	}
	remove()
	if err := stop(ctx); err != nil {
		t.Fatal(err)
	}
	if r, err := db.Query(ctx, "select count(*) from pg_listening_channels()"); err != nil || fmt.Sprint(r.Rows) != "[[0]]" {
		t.Errorf("%v, %v", r.Rows, err)
	}
}

func TestDBRaw(t *testing.T) {
	db := openTemp(t, wasm.Options{})
	var msgs []byte
	for _, m := range []pgproto3.FrontendMessage{
		&pgproto3.Parse{Query: "select $1::int"},
		&pgproto3.Bind{Parameters: [][]byte{[]byte("x")}}, // an error
		&pgproto3.Execute{}, &pgproto3.Sync{},
		&pgproto3.Bind{Parameters: [][]byte{[]byte("7")}}, // recovers after Sync
		&pgproto3.Execute{}, &pgproto3.Sync{},
		&pgproto3.Query{String: "select 8; select 9"},
	} {
		b, err := m.Encode(msgs)
		if err != nil {
			t.Fatal(err)
		}
		msgs = b
	}
	out, err := db.ExecProtocolRaw(t.Context(), msgs)
	if err != nil {
		t.Fatal(err)
	}
	fe := pgproto3.NewFrontend(bytes.NewReader(out), io.Discard)
	var seen []string
	for {
		m, err := fe.Receive()
		if err != nil {
			break
		}
		seen = append(seen, strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3."))
	}
	want := "ParseComplete ErrorResponse ReadyForQuery BindComplete DataRow CommandComplete ReadyForQuery " +
		"RowDescription DataRow CommandComplete RowDescription DataRow CommandComplete ReadyForQuery"
	if got := strings.Join(seen, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDumpLoadClone(t *testing.T) {
	ctx := t.Context()
	db := openTemp(t, wasm.Options{Extensions: []string{"citext"}})
	if _, err := db.Exec(ctx, "create table t(v citext); insert into t select 'Row ' || g from generate_series(1, 1000) g"); err != nil {
		t.Fatal(err)
	}
	check := func(db *wasm.DB, want string) {
		t.Helper()
		r, err := db.Query(ctx, "select count(*)::text, (select v::text from t where v = 'ROW 7') from t")
		if err != nil || fmt.Sprint(r.Rows) != want {
			t.Errorf("%v, %v; want %s", r.Rows, err, want)
		}
	}
	clone, err := db.Clone(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer clone.Close(ctx)
	if _, err := clone.Exec(ctx, "delete from t where v <> 'row 7'"); err != nil {
		t.Fatal(err)
	}
	check(clone, "[[1 Row 7]]")
	check(db, "[[1000 Row 7]]")
	var dump bytes.Buffer
	if err := db.DumpDataDir(ctx, &dump); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	kept, err := wasm.Open(ctx, dir, wasm.Options{Engine: shared, Archive: bytes.NewReader(dump.Bytes())})
	if err != nil {
		t.Fatal(err)
	}
	check(kept, "[[1000 Row 7]]")
	if err := kept.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := wasm.Open(ctx, dir, wasm.Options{Engine: shared, Archive: bytes.NewReader(dump.Bytes())}); err == nil {
		t.Error("an archive was loaded over a database")
	}
	loaded, err := wasm.OpenTemp(ctx, wasm.Options{Engine: shared, Archive: bytes.NewReader(dump.Bytes())})
	if err != nil {
		t.Fatal(err)
	}
	check(loaded, "[[1000 Row 7]]")
	if err := loaded.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"truncated": dump.Bytes()[:dump.Len()/2],
		"cut short": dump.Bytes()[:dump.Len()-4],
		"text":      []byte("no archive"),
		"empty":     nil,
	} {
		if _, err := wasm.OpenTemp(ctx, wasm.Options{Engine: shared, Archive: bytes.NewReader(b)}); !errors.Is(err, wasm.ErrArchive) {
			t.Errorf("%s: %v, want ErrArchive", name, err)
		}
	}
}

func TestDatabaseSQL(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for i := range 2 {
		db, err := sql.Open("pgx-dev-wasm", dir+"?database=app&work_mem=6MB&relaxed=true")
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		if i == 0 {
			if _, err := db.ExecContext(ctx, "create table t(v int)"); err != nil {
				t.Fatal(err)
			}
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(ctx, "insert into t values ($1)", i); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		var n int
		var mem string
		if err := db.QueryRowContext(ctx, "select count(*), current_setting('work_mem') from t").Scan(&n, &mem); err != nil || n != i+1 || mem != "6MB" {
			t.Errorf("%d rows, %s, %v", n, mem, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sql.Open("pgx-dev-wasm", "x?relaxed=perhaps"); err == nil {
		t.Error("relaxed=perhaps was taken")
	}
}

func TestTemplate(t *testing.T) {
	got, args, err := wasm.Template("select {} from {} where a = {} and b = '{{}}' {}", wasm.Raw("*"), wasm.Name{"pub lic", `t"x`}, 7, wasm.Raw("limit 1"))
	if want := `select * from "pub lic"."t""x" where a = $1 and b = '{}' limit 1`; err != nil || got != want || len(args) != 1 || args[0] != 7 {
		t.Errorf("%s %v %v, want %s", got, args, err, want)
	}
	for _, bad := range []struct {
		text string
		args []any
	}{{"{}", nil}, {"x", []any{1}}, {"{", nil}, {"a } b", nil}} {
		if _, _, err := wasm.Template(bad.text, bad.args...); err == nil {
			t.Errorf("%q with %v was taken", bad.text, bad.args)
		}
	}
	db := openTemp(t, wasm.Options{})
	for _, s := range []string{"", "it's", `back\slash`, `'; drop table x; --`, "ä\n\t$1", `E'\x41'`} {
		for _, on := range []string{"on", "off"} {
			rs, err := db.Exec(t.Context(), "set standard_conforming_strings = "+on+"; select "+wasm.Literal(s))
			if err != nil || rs[1].Rows[0][0] != s {
				t.Errorf("%q (%s): %v, %v", s, on, rs, err)
			}
		}
		rs, err := db.Exec(t.Context(), "select 1 as "+wasm.Identifier("x"+s))
		if err != nil || rs[0].Columns[0].Name != "x"+s {
			t.Errorf("identifier %q: %v, %v", s, rs, err)
		}
	}
}

func TestDial(t *testing.T) {
	db := openTemp(t, wasm.Options{})
	cfg, err := pgx.ParseConfig("postgres://postgres@anywhere/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	cfg.DialFunc = db.DialFunc()
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"x"}, nil }
	c, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	wantOne(t, c, "1", "select '1'")
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
