package wiretest_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
	"github.com/pgx-dev/pgx-dev/wire/wiretest"
)

func hello(w pgserver.ResponseWriter, q *pgserver.Query) error {
	if err := w.Columns(pgserver.Text("greeting"), pgserver.Bool("tls")); err != nil {
		return err
	}
	return w.Row("hello, "+q.Session.User(), q.Session.TLS() != nil)
}

func TestServer(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := wiretest.NewUnstartedServer(pgserver.HandlerFunc(hello))
		cfg := &pgx.ConnConfig{}
		var err error
		if secure {
			s.StartTLS()
			if cfg, err = pgx.ParseConfig(s.URLFor("joe", "pa ss", "require")); err == nil {
				cfg.TLSConfig = s.ClientConfig()
			}
		} else {
			s.Start()
			cfg, err = pgx.ParseConfig(s.URL)
		}
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		var greeting string
		var tls bool
		if err := conn.QueryRow(t.Context(), "x").Scan(&greeting, &tls); err != nil || tls != secure || greeting != "hello, "+cfg.User {
			t.Errorf("%s, %v: %v", greeting, tls, err)
		}
		s.Close() // with the session open
		s.Close()
		if err := conn.Ping(t.Context()); err == nil {
			t.Error("the session outlived the server")
		}
	}
}

// A scripted server leads pgx through a conversation.
func TestScriptAsServer(t *testing.T) {
	client, server := net.Pipe()
	ran := make(chan error, 1)
	go func() {
		ran <- wiretest.Script{
			wiretest.AcceptStartup(),
			wiretest.Expect(&wire.Query{SQL: "select 1"}),
			wiretest.Send(
				&wire.RowDescription{Fields: []wire.Field{{Name: "n", TypeOID: 23, TypeSize: 4, TypeMod: -1}}},
				&wire.DataRow{Values: [][]byte{[]byte("42")}},
				&wire.CommandComplete{Tag: "SELECT 1"}, wiretest.Ready(),
			),
			wiretest.ExpectType(wire.TypeQuery, func(body []byte) error {
				if !strings.HasPrefix(string(body), "update") {
					return fmt.Errorf("got %q", body)
				}
				return nil
			}),
			wiretest.Send(wire.Errorf("40001", "try again").Response(), wiretest.Ready()),
			wiretest.ExpectEnd(),
		}.RunServer(t.Context(), server)
	}()
	cfg, err := pgx.ParseConfig("postgres://joe@pipe/d?sslmode=disable&default_query_exec_mode=simple_protocol")
	if err != nil {
		t.Fatal(err)
	}
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return client, nil }
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"pipe"}, nil }
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := conn.QueryRow(t.Context(), "select 1").Scan(&n); err != nil || n != 42 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := conn.Exec(t.Context(), "update t set x = 1"); err == nil || !strings.Contains(err.Error(), "40001") {
		t.Errorf("got %v", err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestScriptAsClient(t *testing.T) {
	tests := []struct {
		name   string
		script wiretest.Script
		want   string // part of the error
	}{
		{"fits", wiretest.Script{
			wiretest.Startup("joe", "d"), wiretest.Send(&wire.Query{SQL: "x"}),
			wiretest.ExpectType(wire.TypeRowDescription, nil),
			wiretest.Expect(&wire.DataRow{Values: [][]byte{[]byte("hello, joe"), []byte("f")}}),
			wiretest.SkipUntil(wire.TypeReadyForQuery),
			wiretest.Send(&wire.Terminate{}), wiretest.ExpectEnd(),
		}, ""},
		{"another message", wiretest.Script{
			wiretest.Startup("joe", "d"), wiretest.Send(&wire.Query{SQL: "x"}), wiretest.ExpectType(wire.TypeDataRow, nil),
		}, "step 3, expect a message of type 'D': got RowDescription"},
		{"another row", wiretest.Script{
			wiretest.Startup("joe", "d"), wiretest.Send(&wire.Query{SQL: "x"}), wiretest.SkipUntil(wire.TypeRowDescription),
			wiretest.Expect(&wire.DataRow{Values: [][]byte{nil}}),
		}, "want DataRow"},
		{"no end", wiretest.Script{wiretest.Startup("joe", "d"), wiretest.Send(&wire.Sync{}), wiretest.ExpectEnd()}, "got ReadyForQuery"},
		{"bytes", wiretest.Script{wiretest.Startup("joe", "d"), wiretest.SendBytes([]byte("!")), wiretest.ExpectType(wire.TypeErrorResponse, nil), wiretest.ExpectEnd()}, ""},
	}
	for _, tt := range tests {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		client, closed := wiretest.Pipe(ctx, &pgserver.Server{Handler: pgserver.HandlerFunc(hello)})
		err := tt.script.RunClient(ctx, client)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", tt.name, err)
		}
		<-closed
		cancel()
	}
}

func TestScriptEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, server := net.Pipe()
	cancel()
	if err := (wiretest.Script{wiretest.AcceptStartup()}).RunServer(ctx, server); err == nil {
		t.Error("the script ran")
	}
}

func TestBombard(t *testing.T) {
	data := append(wiretest.StartupBytes(), (&wire.Terminate{}).AppendTo((&wire.Query{SQL: "x"}).AppendTo(nil))...)
	for _, piece := range []int{0, 1, 5, 1000} {
		answered := false
		for range 100 { // it hangs up soon: a loaded machine may not answer every time
			got, err := wiretest.Bombard(t.Context(), &pgserver.Server{Handler: pgserver.HandlerFunc(hello)}, data, piece)
			if err != nil {
				t.Fatal(err)
			}
			if answered = strings.Contains(string(got), "hello, fuzz"); answered {
				break
			}
		}
		if !answered {
			t.Errorf("pieces of %d: no answer", piece)
		}
	}
	stuck := pgserver.HandlerFunc(func(pgserver.ResponseWriter, *pgserver.Query) error {
		<-time.After(300 * time.Millisecond) // as a handler that does not look at its context
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := wiretest.Bombard(ctx, &pgserver.Server{Handler: stuck}, data, 100); err == nil {
		t.Error("a session that does not end was not noticed")
	}
}
