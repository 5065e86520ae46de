package tap

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/auth"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
	"github.com/pgx-dev/pgx-dev/wire/wiretest"
)

// recorder keeps what a tap tells.
type recorder struct {
	mu     sync.Mutex
	events []Event
}

func (r *recorder) report(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// text returns the events of a kind, one line each.
func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, e := range r.events {
		fmt.Fprintf(&b, "%s %s", e.From, e.Message)
		for _, f := range e.Fields {
			fmt.Fprintf(&b, " %s=%v", f.Name, f.Value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// start runs a tap in front of addr and returns its address; stop ends it.
func start(t *testing.T, tp *Tap, addr string) (listen string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if tp.Dial == nil {
		tp.Dial = func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tp.Serve(ctx, ln) }()
	stop = sync.OnceFunc(func() {
		last, over := context.WithTimeout(context.Background(), 2*time.Minute)
		defer over()
		tp.Wait(last)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

func answer(w pgserver.ResponseWriter, q *pgserver.Query) error {
	switch {
	case strings.HasPrefix(q.SQL, "wait"):
		<-q.Context().Done()
		return context.Cause(q.Context())
	case strings.HasPrefix(q.SQL, "fail"):
		return wire.Errorf(wire.CodeUniqueViolation, "the secret is 4711")
	case strings.HasPrefix(q.SQL, "copy"):
		in, err := w.CopyIn(pgserver.CopyFormat{}, 1)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, in)
		if err != nil {
			return err
		}
		return w.Complete(fmt.Sprintf("COPY %d", n))
	}
	if err := w.Columns(pgserver.Text("v")); err != nil || q.DescribeOnly {
		return err
	}
	if len(q.Args) > 0 {
		return w.Row("got " + q.Args[0].String())
	}
	return w.Row("plain")
}

// TestSession watches a session from a password to its end, and checks that nothing
// secret is told.
func TestSession(t *testing.T) {
	for _, kind := range []string{"scram", "md5", "password"} {
		t.Run(kind, func(t *testing.T) {
			secrets := auth.Secrets{"test": "geheim"}
			srv := wiretest.NewUnstartedServer(pgserver.HandlerFunc(answer))
			srv.Config.Auth = map[string]pgserver.Authenticator{
				"scram": pgserver.SCRAM(secrets), "md5": pgserver.MD5(secrets), "password": pgserver.Password(secrets),
			}[kind]
			srv.Start()
			defer srv.Close()
			r := &recorder{}
			addr, stop := start(t, &Tap{Report: r.report}, srv.Addr())
			ctx := t.Context()
			conn, err := pgx.Connect(ctx, "postgres://test:geheim@"+addr+"/test") // sslmode=prefer
			if err != nil {
				t.Fatal(err)
			}
			var got string
			if err := conn.QueryRow(ctx, "echo $1", "hello").Scan(&got); err != nil || got != "got hello" {
				t.Errorf("%q, %v", got, err)
			}
			if _, err := conn.Exec(ctx, "fail", pgx.QueryExecModeSimpleProtocol); err == nil {
				t.Error("fail did not")
			}
			if _, err := conn.Exec(ctx, "alter role x password 'geheim'", pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Error(err)
			}
			if _, err := conn.PgConn().CopyFrom(ctx, strings.NewReader("a\nb\n"), "copy t"); err != nil {
				t.Error(err)
			}
			if err := conn.Close(ctx); err != nil {
				t.Error(err)
			}
			stop()
			text := r.text()
			for _, want := range []string{
				"client SSLRequest", "tap declined", "client StartupMessage version=3.0",
				"password=***|data=***", "server BackendKeyData pid=", "key=***",
				"client Parse name=", "sql=echo $1", "client Bind portal= statement=", "params=[hello]",
				"server DataRow values=[got hello]", "server ErrorResponse severity=ERROR code=23505 message=the secret is 4711",
				"client Query sql=alter role x password '***'", "server CopyInResponse format=text columns=1",
				"client CopyData data=a\nb\n", "client CopyDone", "server CommandComplete tag=COPY 4", "client Terminate", "tap Closed",
			} {
				found := false
				for alternative := range strings.SplitSeq(want, "|") {
					found = found || strings.Contains(text, alternative)
				}
				if !found {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			if strings.Contains(text, "geheim") || strings.Contains(text, "SCRAM-SHA-256\x00") {
				t.Errorf("a secret was told:\n%s", text)
			}
			took := 0
			for _, e := range r.events {
				if e.Message == "ReadyForQuery" && e.Took > 0 && e.Took < time.Minute {
					took++
				}
			}
			if n := strings.Count(text, "server ReadyForQuery"); took != n || n < 5 {
				t.Errorf("%d of %d ReadyForQuery have a time", took, n)
			}
		})
	}
}

func TestHideValues(t *testing.T) {
	srv := wiretest.NewServer(pgserver.HandlerFunc(answer))
	defer srv.Close()
	r := &recorder{}
	addr, stop := start(t, &Tap{Report: r.report, HideValues: true}, srv.Addr())
	conn, err := pgx.Connect(t.Context(), "postgres://test@"+addr+"/test?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	var got string
	if err := conn.QueryRow(t.Context(), "echo $1, 'hidden', 4711, $x$hidden$x$ -- hidden", "hidden").Scan(&got); err != nil || got != "got hidden" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := conn.Exec(t.Context(), "fail", pgx.QueryExecModeSimpleProtocol); err == nil {
		t.Error("fail did not")
	}
	_ = conn.Close(t.Context())
	stop()
	text := r.text()
	if strings.Contains(text, "hidden") || strings.Contains(text, "4711") || !strings.Contains(text, "echo $1, ?, ?, ?") || !strings.Contains(text, "(6 bytes)") {
		t.Errorf("told:\n%s", text)
	}
}

// TestCancel cancels a query through the tap.
func TestCancel(t *testing.T) {
	srv := wiretest.NewServer(pgserver.HandlerFunc(answer))
	defer srv.Close()
	r := &recorder{}
	begun := make(chan struct{}, 1)
	addr, stop := start(t, &Tap{Report: func(e Event) {
		r.report(e)
		if e.Message == "Query" {
			begun <- struct{}{}
		}
	}}, srv.Addr())
	conn, err := pgconn.Connect(t.Context(), "postgres://test@"+addr+"/test?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		<-begun
		for range 200 { // the query may not have reached the server yet
			if err := conn.CancelRequest(t.Context()); err != nil {
				t.Error(err)
			}
			if strings.Contains(r.text(), "57014") {
				return
			}
		}
	})
	_, err = conn.Exec(t.Context(), "wait").ReadAll()
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "57014" {
		t.Errorf("wait: %v", err)
	}
	wg.Wait()
	_ = conn.Close(t.Context())
	stop()
	if text := r.text(); !strings.Contains(text, "client CancelRequest pid=") {
		t.Errorf("told:\n%s", text)
	}
}

// TestTLS checks that TLS is passed on unread, by SSLRequest and directly.
func TestTLS(t *testing.T) {
	srv := wiretest.NewUnstartedServer(pgserver.HandlerFunc(answer))
	srv.Config.RequireTLS = true
	srv.StartTLS()
	defer srv.Close()
	r := &recorder{}
	addr, stop := start(t, &Tap{Report: r.report, PassTLS: true}, srv.Addr())
	for _, negotiation := range []string{"postgres", "direct"} {
		cfg, err := pgx.ParseConfig("postgres://test@" + addr + "/test?sslmode=require&sslnegotiation=" + negotiation)
		if err != nil {
			t.Fatal(err)
		}
		protos := cfg.TLSConfig.NextProtos
		cfg.TLSConfig = srv.ClientConfig()
		cfg.TLSConfig.NextProtos = protos
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatalf("%s: %v", negotiation, err)
		}
		if _, err := conn.Exec(t.Context(), "echo", pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Error(err)
		}
		_ = conn.Close(t.Context())
	}
	stop()
	text := r.text()
	if strings.Count(text, "tap encrypted") != 2 || !strings.Contains(text, "server answer answer=S") || strings.Contains(text, "Query") {
		t.Errorf("told:\n%s", text)
	}

	// Declined, a client that begins with TLS is let go.
	r = &recorder{}
	addr, stop = start(t, &Tap{Report: r.report}, srv.Addr())
	if _, err := tls.Dial("tcp", addr, srv.ClientConfig()); err == nil {
		t.Error("TLS was not declined")
	}
	stop()
	if !strings.Contains(r.text(), "tap declined") {
		t.Errorf("told:\n%s", r.text())
	}
}

// TestBadBytes checks that what is no message is told once and passed on unchanged.
func TestBadBytes(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	got := make(chan []byte, 1)
	go func() {
		nc, err := server.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		_, _ = nc.Write([]byte("\xff\xff\xff\xff\xffnonsense"))
		b, _ := io.ReadAll(nc)
		got <- b
	}()
	r := &recorder{}
	addr, stop := start(t, &Tap{Report: r.report}, server.Addr().String())
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	sent := (&wire.StartupMessage{Version: wire.MakeVersion(3, 0), Params: []wire.Param{{Name: "user", Value: "u"}}}).AppendTo(nil)
	sent = append(sent, "Q\x00\x00\x00\x05\x00garbage that is no message"...)
	if _, err := nc.Write(sent); err != nil {
		t.Fatal(err)
	}
	_ = nc.(*net.TCPConn).CloseWrite()
	back, err := io.ReadAll(nc)
	if err != nil || string(back) != "\xff\xff\xff\xff\xffnonsense" {
		t.Errorf("from the server: %q, %v", back, err)
	}
	if b := <-got; !bytes.Equal(b, sent) {
		t.Errorf("to the server: %q, sent %q", b, sent)
	}
	_ = nc.Close()

	// A first packet that is none gets an error, and no connection to the server.
	nc, err = net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if back, err := io.ReadAll(nc); err != nil || !bytes.HasPrefix(back, []byte("E")) || !bytes.Contains(back, []byte("08P01")) {
		t.Errorf("to HTTP: %q, %v", back, err)
	}
	_ = nc.Close()
	stop()
	if text := r.text(); strings.Count(text, "client Unknown") != 1 || strings.Count(text, "server Unknown") != 1 {
		t.Errorf("told:\n%s", text)
	}
}

func TestMask(t *testing.T) {
	tests := []struct{ sql, passwords, literals string }{
		{"select 'a', E'b\\'c', 12.5e3, x1 from \"T 1\"", "", "select ?, E?, ?, x1 from \"T 1\""},
		{"create role a password 'it''s' login", "create role a password '***' login", "create role a password ? login"},
		{"ALTER ROLE a PASSWORD E'a\\'b'; select 1", "ALTER ROLE a PASSWORD '***'; select 1", "ALTER ROLE a PASSWORD E?; select ?"},
		{"alter role a password $x$y$z$x$, 1", "alter role a password '***', 1", "alter role a password ?, ?"},
		{"create subscription s connection 'host=h password=abc user=u'", "create subscription s connection 'host=h password=*** user=u'", "create subscription s connection ?"},
		{"select dblink('postgres://u:pw@h/d')", "select dblink('postgres://u:***@h/d')", "select dblink(?)"},
		{"select $1, $23 /* a /* b */ c */ + 7 -- 'x'\n, 'open", "", "select $1, $23   + ? \n, ?"},
	}
	for _, tt := range tests {
		if want := cmpOr(tt.passwords, tt.sql); maskPasswords(tt.sql) != want {
			t.Errorf("%s\n got %s\nwant %s", tt.sql, maskPasswords(tt.sql), want)
		}
		if got := maskLiterals(tt.sql); got != tt.literals {
			t.Errorf("%s\n got %s\nwant %s", tt.sql, got, tt.literals)
		}
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func FuzzMask(f *testing.F) {
	for _, s := range []string{"select 'a' $$b$$ /*", "password 'x", "password $a$ $a$ password=", "\\'E'\\", "$1$", "\"\"--"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) {
		maskLiterals(maskPasswords(s))
	})
}

// FuzzStream feeds both directions with anything, in pieces.
func FuzzStream(f *testing.F) {
	query := (&wire.Query{SQL: "select 1"}).AppendTo(nil)
	ready := (&wire.ReadyForQuery{TxStatus: wire.TxIdle}).AppendTo((&wire.DataRow{Values: [][]byte{nil, {0xff}}}).AppendTo(nil))
	f.Add(query, ready, 3)
	f.Add([]byte("p\x00\x00\x00\x04"), []byte("R\x00\x00\x00\x08\x00\x00\x00\x0a"), 1)
	f.Add([]byte("d\x00\x00\x00\x05w"), []byte("W\x00\x00\x00\x07\x00\x00\x00d\x00\x00\x00\x05k"), 100)
	f.Fuzz(func(_ *testing.T, client, server []byte, size int) {
		c := &conn{tap: &Tap{Report: func(Event) {}}, describe: describer{limit: 10}}
		front, back := newStream(wire.Frontend, c), newStream(wire.Backend, c)
		size = max(1, size&1023)
		for len(client)+len(server) > 0 {
			n := min(size, len(client))
			front.feed(client[:n])
			client = client[n:]
			n = min(size, len(server))
			back.feed(server[:n])
			server = server[n:]
		}
	})
}
