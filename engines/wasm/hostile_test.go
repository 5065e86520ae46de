package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"golang.org/x/sync/errgroup"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// short is an engine on which it shows soon that somebody waits who should not.
func short(t *testing.T) engines.Server {
	t.Helper()
	e := wasm.New(wasm.Config{Wait: 2 * time.Second})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return temp(t, e, engines.Spec{})
}

// TestLeftovers checks that data of a COPY that failed, which clients send before they know,
// do not keep the backend.
func TestLeftovers(t *testing.T) {
	srv := short(t)
	a, b := connect(t, srv), connect(t, srv)
	exec(t, a, "create table t(v int)")
	for _, end := range []pgproto3.FrontendMessage{&pgproto3.CopyDone{}, &pgproto3.CopyFail{}, nil} {
		fe := a.PgConn().Frontend()
		fe.Send(&pgproto3.Query{String: "copy t from stdin"})
		for range 200 {
			fe.Send(&pgproto3.CopyData{Data: []byte("bad\n")})
		}
		if end != nil {
			fe.Send(end)
		}
		if err := fe.Flush(); err != nil {
			t.Fatal(err)
		}
		for ready := false; !ready; {
			m, err := fe.Receive()
			if err != nil {
				t.Fatal(err)
			}
			_, ready = m.(*pgproto3.ReadyForQuery)
		}
		for range 5 {
			wantOne(t, b, "1", "select '1'")
			wantOne(t, a, "1", "select '1'")
		}
	}
}

// TestShortTimeouts checks that a client's timeouts, however short, end nothing of the
// host's, and that nothing of that client is left.
func TestShortTimeouts(t *testing.T) {
	srv := short(t)
	b := connect(t, srv)
	for round := range 20 {
		a, err := engines.Connect(t.Context(), srv, "")
		if err != nil {
			t.Fatal(err)
		}
		exec(t, a, "create temp table tt as select generate_series(1, 2000) v; listen ch; prepare p as select 1; set my.own = 'x'", pgx.QueryExecModeSimpleProtocol)
		for i := range 20 {
			exec(t, a, fmt.Sprintf("create temp table tt%d (v int primary key, w text unique)", i))
		}
		// From here on hardly anything of its own succeeds.
		// On a busy machine this too takes longer than that.
		_, err = a.Exec(t.Context(), "set lock_timeout = '1ms'; set transaction_timeout = '1ms'; set statement_timeout = '1ms'", pgx.QueryExecModeSimpleProtocol)
		if err != nil && code(err) != "25P04" && code(err) != "57014" {
			t.Fatal(err)
		}
		if round%2 == 0 {
			_ = a.PgConn().Conn().Close()
		} else {
			_ = a.Close(t.Context())
		}
		for sql, want := range map[string]string{
			"select count(*)::text from pg_class where relname like 'tt%'":       "0",
			"select count(*)::text from pg_prepared_statements where name = 'p'": "0",
			"select count(*)::text from pg_listening_channels()":                 "0",
			"select coalesce(current_setting('my.own', true), '')":               "",
			"show statement_timeout":                                             "0",
			"show transaction_timeout":                                           "0",
		} {
			wantOne(t, b, want, sql)
		}
	}
	// Those of the server are still there after clients have come and gone.
	timed := temp(t, shared, engines.Spec{Params: map[string]string{"statement_timeout": "30ms"}})
	for range 3 {
		c, err := engines.Connect(t.Context(), timed, "")
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, c, "57014", "select pg_sleep(10)")
		exec(t, c, "begin; set local statement_timeout = 0; select 1", pgx.QueryExecModeSimpleProtocol)
		_ = c.Close(t.Context())
	}
}

// TestEncodings lets clients of different encodings take turns.
func TestEncodings(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	utf := connect(t, srv)
	cfg, err := engines.ConnConfig(srv, "", "")
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams = map[string]string{"client_encoding": "LATIN1"}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec // pgx has a simple protocol for UTF8 only
	latin, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer latin.Close(context.Background())
	win := connect(t, srv)
	exec(t, win, "set client_encoding = 'WIN1252'")
	for range 3 {
		wantOne(t, latin, "\xe4", "select U&'\\00e4'")
		wantOne(t, utf, "ä", "select U&'\\00e4'")
		wantOne(t, win, "\x80", "select U&'\\20ac'", pgx.QueryExecModeExec)
		wantOne(t, latin, "LATIN1", "show client_encoding")
		wantOne(t, utf, "UTF8", "show client_encoding")
	}
}

// TestConversions checks conversions that the package has tables for but not the code, and
// that those without either are refused rather than wrong.
func TestConversions(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	c := connect(t, srv)
	for _, tt := range []struct{ sql, want string }{
		{`convert_to('xäß€', 'WIN1252')`, `\x78e4df80`},
		{`convert_to('xäß€', 'LATIN9')`, `\x78e4dfa4`},
		{`convert_to('ő', 'LATIN2')`, `\xf5`},
		{`convert_to('Привет', 'KOI8R')`, `\xf0d2c9d7c5d4`},
		{`convert_to('Привет', 'WIN1251')`, `\xcff0e8e2e5f2`},
		{`convert_to('ä', 'LATIN1')`, `\xe4`},
		{`convert_to('日本', 'EUC_JP')`, `\xc6fccbdc`},
		{`convert_to('日本', 'SJIS')`, `\x93fa967b`},
		{`convert_to('か゚', 'EUC_JIS_2004')`, `\xa4f7`}, // two characters that are one there
		{`convert_to('中', 'GB18030')`, `\xd6d0`},
		{`convert_to('𐍈', 'GB18030')`, `\x9030d530`}, // by a function rather than a table
		{`convert_to('한', 'UHC')`, `\xc7d1`},
		{`convert_from('\xe4df80', 'WIN1252')`, `äß€`},
		{`convert_from('\xf0d2c9d7c5d4', 'KOI8R')`, `Привет`},
		{`convert_from('\xe4', 'LATIN1')`, `ä`},
		{`convert_to('€', 'LATIN1')`, "22P05"},
		{`convert_to('日', 'WIN1252')`, "22P05"},
		{`convert_from('\x81', 'WIN1252')`, "22P05"},
		{`convert_from('\xc6fc', 'EUC_JP')`, ""}, // refused, or right
		{`convert('\xe4', 'LATIN1', 'MULE_INTERNAL')`, "0A000"},
	} {
		var got string
		err := c.QueryRow(t.Context(), "select ("+tt.sql+")::text").Scan(&got)
		switch {
		case err != nil && tt.want == "" && len(code(err)) == 5:
		case err != nil && code(err) != tt.want:
			t.Errorf("%s: %v, want %s", tt.sql, err, tt.want)
		case err == nil && got != tt.want:
			t.Errorf("%s: %s, want %s", tt.sql, got, tt.want)
		}
	}
	wantOne(t, c, "alive", "select 'alive'")
}

// TestTasksAndClients checks that neither clones nor busy clients keep the other waiting.
func TestTasksAndClients(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	busy, stop := context.WithCancel(ctx)
	var g errgroup.Group
	for range 4 {
		c := connect(t, srv)
		g.Go(func() error {
			for busy.Err() == nil {
				if _, err := c.Exec(ctx, "select 1"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for range 5 {
		clone, err := srv.(*wasm.Server).Clone(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := clone.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// TestDepth checks that what recurses without end is an error of SQL, and the guest lives.
func TestDepth(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	c := connect(t, srv)
	for name, sql := range map[string]string{
		"json":            "select repeat('[', 1000000)::json",
		"jsonb":           "select repeat('{\"a\":', 1000000)::jsonb",
		"regex":           "select 'x' ~ repeat('(', 100000)",
		"regex groups":    "select 'x' ~ (repeat('(x', 20000) || repeat(')', 20000))",
		"parentheses":     "select " + strings.Repeat("(", 100000) + "1" + strings.Repeat(")", 100000),
		"additions":       "select 1" + strings.Repeat("+1", 200000),
		"subselects":      strings.Repeat("select (", 5000) + "1" + strings.Repeat(")", 5000),
		"nots":            "select " + strings.Repeat("not ", 200000) + "true",
		"arrays":          "select '" + strings.Repeat("{", 100000) + "'::int[]",
		"caught":          "do $$ begin perform repeat('[', 1000000)::json; exception when statement_too_complex then perform 1; end $$",
		"xml":             "select xmlparse(content repeat('<a>', 100000))",
		"jsonpath":        "select ('$' || repeat('.a', 100000))::jsonpath",
		"jsonpath nested": "select (repeat('(', 100000) || '$' || repeat(')', 100000))::jsonpath",
		"tsquery":         "select (repeat('(', 100000) || 'a' || repeat(')', 100000))::tsquery",
		"views":           "do $$ begin execute 'create view v0 as select 1 a'; for i in 1..150 loop execute format('create or replace view v%s as select * from v%s', i, i-1); end loop; perform * from v150; end $$",
		"with":            "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from (select n from r limit 100000) x",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		_, err := c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		cancel()
		if want := map[string]string{"json": "54001", "jsonb": "54001", "additions": "54001", "caught": "<nil>"}[name]; want != "" && code(err) != want {
			t.Errorf("%s: %.300v, want %s", name, err, want)
		}
		if err != nil && len(code(err)) != 5 {
			<-srv.Done()
			t.Fatalf("%s ended the server: %.700v", name, srv.Err())
		}
		wantOne(t, c, "alive", "select 'alive'")
	}
}

// TestOddSettings checks settings that look at the connection, which the guest has none of.
func TestOddSettings(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	c, other := connect(t, srv), connect(t, srv)
	for _, set := range []string{"client_connection_check_interval = '10ms'", "tcp_keepalives_idle = 10", "log_min_messages = debug5", "log_statement = 'all'", "debug_print_plan = on", "track_io_timing = on", "default_transaction_read_only = on", "session_replication_role = replica", "default_transaction_isolation = serializable"} {
		if _, err := c.Exec(t.Context(), "set "+set, pgx.QueryExecModeSimpleProtocol); err != nil && len(code(err)) != 5 {
			t.Errorf("%s: %v", set, err)
		}
		wantOne(t, c, "", "select pg_sleep(0.05)::text")
		wantOne(t, other, "1", "select '1'")
	}
	_ = c.Close(t.Context())
	wantOne(t, other, "off", "show default_transaction_read_only")
	exec(t, other, "create table t(v int)")
}

// TestArchiveMode refuses what nobody would do, and ignores it where an ALTER SYSTEM asks for it.
func TestArchiveMode(t *testing.T) {
	for _, on := range []string{"on", "ALWAYS", "true"} {
		if srv, err := shared.Start(t.Context(), engines.Spec{Params: map[string]string{"Archive_Mode": on}}); !errors.Is(err, engines.ErrUnsupported) {
			t.Errorf("archive_mode = %s: %v, %v; want ErrUnsupported", on, srv, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "data")
	for range 2 {
		srv, err := shared.Start(t.Context(), engines.Spec{Dir: dir, Fast: true})
		if err != nil {
			t.Fatal(err)
		}
		c, err := engines.Connect(t.Context(), srv, "")
		if err != nil {
			t.Fatal(err)
		}
		wantOne(t, c, "off", "show archive_mode")
		exec(t, c, "alter system set archive_mode = on")
		if err := srv.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}
