package wasm_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/script"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// load runs SQL as "embed load" does.
func load(t *testing.T, srv engines.Server, name, sql string) {
	t.Helper()
	c := connect(t, srv)
	if err := script.Run(t.Context(), c.PgConn(), name, sql); err != nil {
		t.Fatal(err)
	}
	_ = c.Close(t.Context())
}

// dump writes a database of any server as SQL, without what differs from run to run.
func dump(t *testing.T, srv engines.Server, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := shared.DumpSQL(t.Context(), srv, "", &out, wasm.DumpOptions{Args: args, Warnings: t.Output()}); err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^(\\(un)?restrict .*|-- Dumped from .*)$`).ReplaceAllString(out.String(), "")
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// differ shows where two dumps part.
func differ(t *testing.T, what, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Errorf("%s: line %d differs:\n%.300s\n%.300s", what, i+1, g[i], w[i])
			return
		}
	}
	if len(g) != len(w) {
		t.Errorf("%s: %d lines, want %d", what, len(g), len(w))
	}
}

// TestDumpRoundTrip takes a schema with nearly everything from the guest into a native
// PostgreSQL and back; the dump of each is the same, and so is what checksums of the data
// say.
func TestDumpRoundTrip(t *testing.T) {
	guest := temp(t, shared, engines.Spec{})
	load(t, guest, "shop.sql", read(t, "testdata/shop.sql"))
	first := dump(t, guest)
	for _, want := range []string{"COPY public.customer", "CREATE TRIGGER fill", "CREATE MATERIALIZED VIEW", "lo_create('4711')", "CREATE EXTENSION IF NOT EXISTS hstore", "setval('public.customer_id_seq', 5000, true)", "CREATE PUBLICATION"} {
		if !strings.Contains(first, want) {
			t.Errorf("the dump has no %q", want)
		}
	}

	theirs := temp(t, native.New(native.DefaultConfig()), engines.Spec{Version: "18", Fast: true})
	again := temp(t, shared, engines.Spec{})
	sums := map[string]string{}
	for name, srv := range map[string]engines.Server{"guest": guest, "native": theirs, "another guest": again} {
		if srv != guest {
			load(t, srv, "role", "CREATE ROLE shopkeeper")
			load(t, srv, name, first)
			differ(t, name, dump(t, srv), first)
		}
		c := connect(t, srv)
		sums[name] = one(t, c, `select concat_ws(' ',
			(select md5(string_agg(c::text, '|' order by id)) from customer c),
			(select md5(string_agg(o::text, '|' order by id, at)) from orders o),
			(select md5(string_agg(s::text, '|' order by "from")) from "odd ""schema"""."select" s),
			(select md5(string_agg(t::text, '|' order by customer)) from totals t),
			(select md5(string_agg(md5(lo_get(oid)), '|' order by oid)) from pg_largeobject_metadata),
			add(1), nextval('ticket'))`)
		exec(t, c, "insert into customer (mail) values ('new@x')")
		wantOne(t, c, "5001", "select id::text from customer where mail = 'NEW@x'")
		wantCode(t, c, "23P01", "insert into booking values (1, '[2026-01-01 12:00, 2026-01-01 13:00)')")
		_ = c.Close(t.Context())
	}
	if sums["native"] != sums["guest"] || sums["another guest"] != sums["guest"] {
		t.Errorf("the data differ: %v", sums)
	}

	// Options of pg_dump are obeyed.
	if out := dump(t, guest, "--schema-only", "--no-owner", "--table=customer"); strings.Contains(out, "COPY") || strings.Contains(out, "OWNER TO") || strings.Contains(out, "orders") {
		t.Errorf("schema only, of one table:\n%s", out)
	}
}

// TestDumpSQL checks the ways in which a dump fails.
func TestDumpSQL(t *testing.T) {
	db := openTemp(t, wasm.Options{Database: "app"})
	if _, err := db.Exec(t.Context(), "create table t(a int); insert into t select generate_series(1, 300000)"); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--table=nothing"}, "no matching tables"},
		{[]string{"--bogus"}, "bogus"},
		{[]string{"-f", "/tmp/x.sql"}, "could not open output file"},
		{[]string{"-Fd", "-f", "/bin/x"}, "could not create directory"},
		{[]string{"other"}, "too many command-line arguments"},
		{[]string{"-hsomewhere"}, "-h is not for this pg_dump"},
		{[]string{"--dbname=x"}, "--dbname is not for this pg_dump"},
	} {
		out.Reset()
		if err := db.DumpSQL(t.Context(), &out, wasm.DumpOptions{Args: tt.args}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
		if out.Len() > 0 {
			t.Errorf("%q wrote %.100q", tt.args, out.String())
		}
	}
	// A writer that fails, a context that ends, a server that is closed: an error each, and
	// the server goes on.
	broken := errors.New("the disk is full")
	if err := db.DumpSQL(t.Context(), writer(func([]byte) (int, error) { return 0, broken }), wasm.DumpOptions{}); !errors.Is(err, broken) {
		t.Errorf("a writer that fails: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	wrote := 0
	err := db.DumpSQL(ctx, writer(func(b []byte) (int, error) {
		if wrote += len(b); wrote > 10000 {
			cancel(enough)
		}
		return len(b), nil
	}), wasm.DumpOptions{})
	if !errors.Is(err, enough) {
		t.Errorf("a context that ends: %v", err)
	}
	if r, err := db.Query(t.Context(), "select count(*)::text from t"); err != nil || r.Rows[0][0] != "300000" {
		t.Errorf("afterwards: %v, %v", r.Rows, err)
	}
	// Somebody with less rights than the superuser is who connects.
	if _, err := db.Exec(t.Context(), "create role poor login"); err != nil {
		t.Fatal(err)
	}
	if err := db.DumpSQL(t.Context(), &out, wasm.DumpOptions{User: "poor"}); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("without the right: %v", err)
	}
	// A name that could be taken for a connection string.
	odd := `host=x 'dbname'\`
	srv := temp(t, shared, engines.Spec{})
	c := connect(t, srv)
	exec(t, c, "create database "+wasm.Identifier(odd), pgx.QueryExecModeSimpleProtocol)
	_ = c.Close(t.Context())
	out.Reset()
	if err := shared.DumpSQL(t.Context(), srv, odd, &out, wasm.DumpOptions{Args: []string{"--create"}}); err != nil || !strings.Contains(out.String(), `CREATE DATABASE "host=x 'dbname'\"`) {
		t.Errorf("an odd name: %v\n%.2000s", err, out.String())
	}
}

type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
