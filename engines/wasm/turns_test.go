package wasm_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
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
