package pgserver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// start serves on a loopback port until the test ends and returns a URL.
func start(t testing.TB, s *pgserver.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, pgserver.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return "postgres://joe@" + l.Addr().String() + "/shop?sslmode=disable"
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// numbers answers "count N" with the numbers from 1 to N, "echo" with its arguments, and knows
// transactions by their words.
type numbers struct {
	mu   sync.Mutex
	seen []string
}

func (h *numbers) ServeQuery(w pgserver.ResponseWriter, q *pgserver.Query) error {
	h.mu.Lock()
	h.seen = append(h.seen, q.SQL)
	h.mu.Unlock()
	word, rest, _ := strings.Cut(q.SQL, " ")
	switch word {
	case "count":
		if err := w.Columns(pgserver.Int4("n")); err != nil {
			return err
		}
		n := 0
		if strings.HasPrefix(rest, "$1") {
			if err := q.Scan(&n); err != nil {
				return err
			}
		} else if _, err := fmt.Sscan(rest, &n); err != nil {
			return wire.Errorf(wire.CodeInvalidTextRepresentation, "count: %w", err)
		}
		for i := range n {
			if err := w.Row(i + 1); err != nil {
				return err
			}
		}
		return nil
	case "echo":
		if err := w.Columns(pgserver.Text("a"), pgserver.Text("b")); err != nil {
			return err
		}
		values := make([]any, len(q.Args))
		for i, a := range q.Args {
			v, err := a.Any()
			if err != nil {
				return err
			}
			values[i] = v
		}
		return w.Row(values...)
	case "begin", "commit", "rollback":
		if q.DescribeOnly {
			return nil
		}
		return w.Complete(strings.ToUpper(word))
	case "fail":
		return wire.Errorf("22012", "division by zero")
	case "panic":
		panic("on purpose")
	case "wait":
		if q.DescribeOnly {
			return nil
		}
		<-q.Context().Done()
		return context.Cause(q.Context())
	}
	return wire.Errorf(wire.CodeSyntaxError, "syntax error at or near %q", word)
}

func TestQueries(t *testing.T) {
	url := start(t, &pgserver.Server{Handler: &numbers{}})
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			conn := connect(t, url+"&default_query_exec_mode="+mode)
			rows, err := conn.Query(t.Context(), "count 3")
			if err != nil {
				t.Fatal(err)
			}
			got, err := pgx.CollectRows(rows, pgx.RowTo[int32])
			if err != nil || fmt.Sprint(got) != "[1 2 3]" {
				t.Errorf("got %v, %v", got, err)
			}
			if mode != "simple_protocol" {
				var a, b *string
				if err := conn.QueryRow(t.Context(), "echo $1 $2", "x", nil).Scan(&a, &b); err != nil || *a != "x" || b != nil {
					t.Errorf("echo: %v, %v, %v", a, b, err)
				}
			}
			_, err = conn.Exec(t.Context(), "fail")
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) || pgErr.Code != "22012" {
				t.Errorf("fail: %v", err)
			}
			if _, err = conn.Exec(t.Context(), "panic"); !errors.As(err, &pgErr) || pgErr.Code != "XX000" || pgErr.Message != "internal error" {
				t.Errorf("panic: %v", err)
			}
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if conn.PgConn().TxStatus() != 'T' {
				t.Errorf("in a transaction: %c", conn.PgConn().TxStatus())
			}
			if _, err := tx.Exec(t.Context(), "fail"); err == nil || conn.PgConn().TxStatus() != 'E' {
				t.Errorf("after an error: %c", conn.PgConn().TxStatus())
			}
			if err := tx.Rollback(t.Context()); err != nil || conn.PgConn().TxStatus() != 'I' {
				t.Errorf("after rollback: %c, %v", conn.PgConn().TxStatus(), err)
			}
		})
	}
}
