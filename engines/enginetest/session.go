package enginetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/pgx-dev/pgx-dev/engines"
)

// manySessions is how many sessions the suite opens at once, at most.
const manySessions = 20

func (s *suite) testSessions(t *testing.T) {
	srv := s.start(t, s.newEngine(t), engines.Spec{Fast: true})
	n := min(srv.Info().MaxConns, manySessions)
	exec(t, srv, "CREATE TABLE hits (n int)")
	// Where sessions run side by side, all of them are open at the same time.
	together := srv.Info().Can.Has(engines.CanSessions)
	opened, all := make(chan struct{}, n), make(chan struct{})
	g, ctx := errgroup.WithContext(t.Context())
	for i := range n {
		g.Go(func() error {
			conn, err := engines.Connect(ctx, srv, "")
			if err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
			defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
			if together {
				opened <- struct{}{}
				select {
				case <-all:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			_, err = conn.Exec(ctx, "INSERT INTO hits SELECT generate_series(1, 100)")
			return err
		})
	}
	if together {
		g.Go(func() error {
			for range n {
				select {
				case <-opened:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			close(all)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	expect(t, srv, "SELECT count(*)::text FROM hits", fmt.Sprint(n*100))
}

func (s *suite) testCancelRequest(t *testing.T) {
	srv := s.start(t, s.newEngine(t), engines.Spec{Fast: true})
	conn := connect(t, srv)
	if srv.Info().Can.Has(engines.CanSessions) {
		for range min(srv.Info().MaxConns, manySessions) - 1 {
			connect(t, srv) // a full house does not keep a cancel request out
		}
	}
	result := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "SELECT pg_sleep(60)")
		result <- err
	}()
	deadline := time.After(30 * time.Second)
	for {
		// A request that arrives before the statement cancels nothing.
		if err := conn.PgConn().CancelRequest(t.Context()); err != nil {
			t.Fatalf("cancel request: %v", err)
		}
		select {
		case err := <-result:
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) || pgErr.Code != "57014" { // query_canceled
				t.Fatalf("cancelled statement: %v", err)
			}
			var n int
			if err := conn.QueryRow(t.Context(), "SELECT 1").Scan(&n); err != nil {
				t.Fatalf("the session after the cancelled statement: %v", err)
			}
			return
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatal("the statement was not cancelled")
		}
	}
}

func (s *suite) testProtocol(t *testing.T) {
	srv := s.start(t, s.newEngine(t), engines.Spec{Fast: true})
	ctx, conn := t.Context(), connect(t, srv)

	code := func(sql string, args ...any) string {
		_, err := conn.Exec(ctx, sql, args...)
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
			return pgErr.Code
		}
		return fmt.Sprint(err)
	}
	if got := code("SELECT $1::int; SELECT 2", 1); got != "42601" {
		t.Errorf("two statements in an extended query: got %s, want 42601", got)
	}
	for sql, want := range map[string]string{
		"SELEKT 1":                   "42601",
		"SELECT * FROM nowhere":      "42P01",
		"SELECT 1/0":                 "22012",
		"SELECT 'x'::int":            "22P02",
		"DO $$BEGIN RAISE 'a';END$$": "P0001",
	} {
		if got := code(sql); got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}

	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct{ sql, want string }{
		{"CREATE TABLE t (n int PRIMARY KEY)", "<nil>"},
		{"INSERT INTO t VALUES (1)", "<nil>"},
		{"SAVEPOINT a", "<nil>"},
		{"INSERT INTO t VALUES (1)", "23505"},
		{"SELECT 1", "25P02"},
		{"ROLLBACK TO a", "<nil>"},
		{"INSERT INTO t VALUES (2)", "<nil>"},
	}
	for _, step := range steps {
		if got := code(step.sql); got != step.want {
			t.Fatalf("%s: got %s, want %s", step.sql, got, step.want)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	expect(t, srv, "SELECT count(*)::text FROM t", "2")

	// Many answers in flight, and a large one.
	batch := &pgx.Batch{}
	for i := range 100 {
		batch.Queue("SELECT $1::int", i)
	}
	results := conn.SendBatch(ctx, batch)
	for i := range 100 {
		var n int
		if err := results.QueryRow().Scan(&n); err != nil || n != i {
			t.Fatalf("answer %d of the batch is %d (%v)", i, n, err)
		}
	}
	if err := results.Close(); err != nil {
		t.Fatal(err)
	}
	var text string
	if err := conn.QueryRow(ctx, "SELECT repeat('x', 5000000)").Scan(&text); err != nil || len(text) != 5000000 {
		t.Errorf("a large value has %d bytes (%v)", len(text), err)
	}
	if err := conn.QueryRow(ctx, "SELECT $1::text", strings.Repeat("ä", 1<<20)).Scan(&text); err != nil || len(text) != 2<<20 {
		t.Errorf("a large parameter came back with %d bytes (%v)", len(text), err)
	}
}

func (s *suite) testCopy(t *testing.T) {
	srv := s.start(t, s.newEngine(t), engines.Spec{Fast: true})
	ctx, conn := t.Context(), connect(t, srv)
	if _, err := conn.Exec(ctx, "CREATE TABLE c (n int, s text)"); err != nil {
		t.Fatal(err)
	}
	const rows = 20000
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"c"}, []string{"n", "s"},
		pgx.CopyFromSlice(rows, func(i int) ([]any, error) { return []any{i, fmt.Sprintf("row %d\t\\n", i)}, nil }))
	if err != nil || n != rows {
		t.Fatalf("copied %d rows in (%v)", n, err)
	}
	var out strings.Builder
	if _, err := conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT * FROM c ORDER BY n) TO STDOUT"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != rows || !strings.HasPrefix(out.String(), "0\trow 0\\t\\\\n\n") {
		t.Errorf("copied %d rows out, beginning %.30q", got, out.String())
	}
	// A failing COPY leaves the session usable.
	_, err = conn.PgConn().CopyFrom(ctx, strings.NewReader("1\tok\nx\tbad\n"), "COPY c FROM STDIN")
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "22P02" {
		t.Errorf("bad COPY data: %v", err)
	}
	var count int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM c").Scan(&count); err != nil || count != rows {
		t.Errorf("%d rows after a failed COPY (%v)", count, err)
	}
}
