package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// TestNoTurnIsLost has clients ask again just when they lose the backend to others: what comes
// between the look at a client's input and its release must not be forgotten.
func TestNoTurnIsLost(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var group errgroup.Group
	for range 4 {
		c := connect(t, srv)
		group.Go(func() error {
			for range 20000 {
				if _, err := c.Exec(ctx, ""); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// TestRefusedInPieces has requests come in pieces, just when the wait for the backend is over or
// its holder lets go: each is answered once, by a row or a refusal, and the connection is good
// afterwards.
func TestRefusedInPieces(t *testing.T) {
	const wait = 20 * time.Millisecond
	e := wasm.New(wasm.Config{Wait: wait})
	srv := temp(t, e, engines.Spec{})
	t.Cleanup(func() {
		_ = srv.Close(context.Background())
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// On a busy machine these wait for longer than that, too.
	patiently := func(f func() error) {
		t.Helper()
		for {
			err := f()
			if err == nil {
				return
			}
			if code(err) != "55P03" || ctx.Err() != nil {
				t.Fatal(err)
			}
		}
	}
	var holder, c *pgx.Conn
	patiently(func() (err error) { holder, err = engines.Connect(ctx, srv, ""); return err })
	patiently(func() (err error) { c, err = engines.Connect(ctx, srv, ""); return err })
	raw, err := c.PgConn().Hijack()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Conn.Close() //nolint:errcheck // in memory
	if err := raw.Conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	whole, err := (&pgproto3.Parse{Query: "select 1"}).Encode(nil)
	for _, m := range []pgproto3.FrontendMessage{&pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{}} {
		var merr error
		whole, merr = m.Encode(whole)
		err = errors.Join(err, merr)
	}
	if err != nil {
		t.Fatal(err)
	}
	const requests = 60
	var group errgroup.Group
	stop := make(chan struct{})
	group.Go(func() error {
		for {
			for _, sql := range []string{"begin", "select 1", "commit"} {
				if _, err := holder.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil && code(err) != "55P03" {
					return err
				}
			}
			select {
			case <-stop:
				return nil
			case <-time.After(wait / 2):
			}
			if _, err := holder.Exec(ctx, "begin; select pg_sleep(0.02)", pgx.QueryExecModeSimpleProtocol); err != nil && code(err) != "55P03" {
				return err
			}
		}
	})
	group.Go(func() error {
		for i := range requests {
			cut := 1 + i%(len(whole)-1)
			if _, err := raw.Conn.Write(whole[:cut]); err != nil {
				return err
			}
			<-time.After(wait + time.Duration(i%7-3)*100*time.Microsecond) // the wait ends about now
			if _, err := raw.Conn.Write(whole[cut:]); err != nil {
				return err
			}
		}
		return nil
	})
	rows, refused := 0, 0
	for ready := 0; ready < requests; {
		m, err := raw.Frontend.Receive()
		if err != nil {
			t.Fatalf("after %d requests: %v", ready, err)
		}
		switch m := m.(type) {
		case *pgproto3.ReadyForQuery:
			if ready++; rows+refused != ready {
				t.Fatalf("%d rows and %d errors for %d requests", rows, refused, ready)
			}
		case *pgproto3.DataRow:
			rows++
		case *pgproto3.ErrorResponse:
			if refused++; m.Code != "55P03" {
				t.Fatalf("%s %s", m.Code, m.Message)
			}
		}
	}
	close(stop)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Log(rows, "rows,", refused, "refusals")
	patiently(func() error {
		if _, err := raw.Conn.Write(whole); err != nil {
			return err
		}
		var refusal error
		for got := ""; ; {
			m, err := raw.Frontend.Receive()
			if err != nil {
				return err
			}
			switch m := m.(type) {
			case *pgproto3.DataRow:
				got = string(m.Values[0])
			case *pgproto3.ErrorResponse:
				refusal = pgconn.ErrorResponseToPgError(m)
			case *pgproto3.ReadyForQuery:
				if refusal == nil && got != "1" {
					t.Errorf("%q after the holder has gone", got)
				}
				return refusal
			}
		}
	})
}

// TestHolding checks each thing with which a client keeps the backend, and that the
// others get their turn once it is gone.
func TestHolding(t *testing.T) {
	e := wasm.New(wasm.Config{Wait: 150 * time.Millisecond})
	srv := temp(t, e, engines.Spec{})
	t.Cleanup(func() {
		_ = srv.Close(context.Background())
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	a, b := connect(t, srv), connect(t, srv)
	exec(t, a, "create table t(v int)")
	for _, tt := range []struct{ name, hold, release string }{
		{"transaction", "begin; insert into t values (1)", "commit"},
		{"failed transaction", "begin", "rollback"},
		{"temporary table", "create temp table tt(v int)", "drop table tt"},
		{"temporary table, hidden in a batch", "begin; create temp table tt(v int); commit; select 1", "discard temp"},
		{"temporary function", "create function pg_temp.f() returns int language sql as 'select 1'", "drop function pg_temp.f()"},
		{"advisory lock", "select pg_advisory_lock(7)", "select pg_advisory_unlock(7)"},
		{"advisory lock, unlocked with all", "select pg_advisory_lock_shared(7, 8)", "select pg_advisory_unlock_all()"},
		{"cursor with hold", "declare c cursor with hold for select 1", "close c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			exec(t, a, tt.hold, pgx.QueryExecModeSimpleProtocol)
			if tt.name == "failed transaction" {
				wantCode(t, a, "22012", "select 1/0")
			}
			t0 := time.Now()
			wantCode(t, b, "55P03", "select 1", pgx.QueryExecModeSimpleProtocol)
			wantCode(t, b, "55P03", "select $1::int", 1)
			if d := time.Since(t0); d < 300*time.Millisecond || d > time.Minute {
				t.Errorf("two waits of 150 ms took %v", d)
			}
			done := make(chan error, 1)
			go func() {
				for { // a loaded machine may take longer than that to let a go on
					if _, err := b.Exec(t.Context(), "select 2"); code(err) != "55P03" {
						done <- err
						return
					}
				}
			}()
			exec(t, a, tt.release, pgx.QueryExecModeSimpleProtocol)
			if err := <-done; err != nil {
				t.Errorf("after %s: %v", tt.release, err)
			}
			wantOne(t, b, "3", "select '3'")
		})
	}
	wantOne(t, b, "1", "select count(*)::text from t")
}

// TestLostClient checks that nothing of a client that went away is left.
func TestLostClient(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	b := connect(t, srv)
	exec(t, b, "create table t(v int)")
	lose := func(sql string) {
		t.Helper()
		a, err := engines.Connect(t.Context(), srv, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"set search_path = nowhere", sql} {
			if _, err := a.Exec(t.Context(), s, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.Prepare(t.Context(), "p", "select 1"); err != nil {
			t.Fatal(err)
		}
		_ = a.PgConn().Conn().Close() // no Terminate
	}
	lose("begin; insert into public.t values (1)")
	wantOne(t, b, "0", "select count(*)::text from t")
	lose("create temp table tt(v int)")
	wantOne(t, b, "0", "select count(*)::text from pg_class where relname = 'tt'")
	lose("select pg_advisory_lock(1)")
	wantOne(t, b, "0", "select count(*)::text from pg_locks where locktype = 'advisory'")
	lose("declare c cursor with hold for select 1")
	wantOne(t, b, "0", "select count(*)::text from pg_cursors where name = 'c'")
	lose("listen ch")
	wantOne(t, b, "0", "select count(*)::text from pg_listening_channels()")
	wantOne(t, b, "0", "select count(*)::text from pg_prepared_statements where name = 'p'")

	// In the middle of COPY, and of a statement.
	a, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	fe := a.PgConn().Frontend()
	fe.Send(&pgproto3.Query{String: "copy t from stdin"})
	if err := fe.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := fe.Receive(); err != nil {
		t.Fatal(err)
	}
	_ = a.PgConn().Conn().Close()
	wantOne(t, b, "0", "select count(*)::text from t")
	a, err = engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	fe = a.PgConn().Frontend()
	fe.Send(&pgproto3.Query{String: "insert into t select 1 from pg_sleep(1000)"})
	if err := fe.Flush(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = a.PgConn().Conn().Close() })
	wantOne(t, b, "0", "select count(*)::text from t")
}

// TestManyClients lets a pool work with transactions next to sessions of their own.
func TestManyClients(t *testing.T) {
	srv := temp(t, shared, engines.Spec{})
	c := connect(t, srv)
	exec(t, c, "create table acc(id int primary key, n int); insert into acc select g, 0 from generate_series(0,3) g")
	base, err := engines.ConnConfig(srv, "", "")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := pgxpool.ParseConfig("")
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig, cfg.MaxConns = base, 8
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var g errgroup.Group
	const workers, rounds = 8, 25
	for w := range workers {
		g.Go(func() error {
			for i := range rounds {
				err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
					var n int
					if err := tx.QueryRow(t.Context(), "select n from acc where id = $1 for update", i%4).Scan(&n); err != nil {
						return err
					}
					_, err := tx.Exec(t.Context(), "update acc set n = $1 where id = $2", n+1, i%4)
					return err
				})
				if err != nil {
					return fmt.Errorf("worker %d: %w", w, err)
				}
				if _, err := pool.Exec(t.Context(), fmt.Sprintf("set application_name = 'w%d'", w)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	wantOne(t, c, fmt.Sprint(workers*rounds), "select sum(n)::text from acc")
}
