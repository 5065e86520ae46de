package pgserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

func TestSimpleStreamsStatementByStatement(t *testing.T) {
	h := &numbers{}
	p := open(t, addrOf(start(t, &pgserver.Server{Handler: h})))
	p.send(&wire.Query{SQL: "count 1; begin; fail; count 2"})
	if got := p.until('Z'); got != "T D(1) C(SELECT 1) C(BEGIN) ERROR:22012 ZE" {
		t.Errorf("got %s", got)
	}
	if fmt.Sprint(h.seen) != "[count 1 begin fail]" {
		t.Errorf("ran %q", h.seen)
	}
	for sql, want := range map[string]string{"": "I ZE", " ; -- x": "I ZE", "rollback": "C(ROLLBACK) ZI"} {
		p.send(&wire.Query{SQL: sql})
		if sql != "rollback" {
			if got := p.until('Z'); got != want {
				t.Errorf("%q: got %s", sql, got)
			}
			continue
		}
		if got := p.until('Z'); got != want {
			t.Errorf("%q: got %s", sql, got)
		}
		p.send(&wire.Query{SQL: "begin"})
		p.until('Z')
		p.send(&wire.Query{SQL: "fail"})
		p.until('Z')
	}
}

// The first statement's rows are on their way while the second one runs.
func TestRowsLeaveBeforeTheEnd(t *testing.T) {
	release := make(chan struct{})
	p := open(t, addrOf(start(t, &pgserver.Server{Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		if q.SQL == "second" {
			<-release
			return nil
		}
		if err := w.Columns(pgserver.Text("x")); err != nil {
			return err
		}
		for range 100 {
			if err := w.Row(strings.Repeat("y", 1000)); err != nil {
				return err
			}
		}
		return nil
	})})))
	p.send(&wire.Query{SQL: "first; second"})
	p.until('D')
	close(release)
	p.until('Z')
}

func TestPortals(t *testing.T) {
	p := open(t, addrOf(start(t, &pgserver.Server{Handler: &numbers{}})))
	parse := &wire.Parse{Name: "s", SQL: "count 5"}
	tests := []struct {
		name string
		send []wire.Message
		want string
	}{
		{
			"all",
			[]wire.Message{parse, &wire.Bind{Statement: "s"}, &wire.Describe{Kind: 'P'}, &wire.Execute{}, &wire.Sync{}},
			"1 2 T D(1) D(2) D(3) D(4) D(5) C(SELECT 5) ZI",
		},
		{
			"in parts",
			[]wire.Message{&wire.Bind{Statement: "s", Portal: "p"}, &wire.Execute{Portal: "p", MaxRows: 2}, &wire.Execute{Portal: "p", MaxRows: 2}, &wire.Execute{Portal: "p", MaxRows: 2}, &wire.Execute{Portal: "p", MaxRows: 2}, &wire.Sync{}},
			"2 D(1) D(2) s D(3) D(4) s D(5) C(SELECT 1) C(SELECT 0) ZI",
		},
		{
			"a limit that is met exactly",
			[]wire.Message{&wire.Bind{Statement: "s"}, &wire.Execute{MaxRows: 5}, &wire.Execute{MaxRows: 5}, &wire.Sync{}},
			"2 D(1) D(2) D(3) D(4) D(5) s C(SELECT 0) ZI",
		},
		{
			"the rest at once",
			[]wire.Message{&wire.Bind{Statement: "s"}, &wire.Execute{MaxRows: 3}, &wire.Execute{}, &wire.Sync{}},
			"2 D(1) D(2) D(3) s D(4) D(5) C(SELECT 2) ZI",
		},
		{
			"closed in the middle",
			[]wire.Message{&wire.Bind{Statement: "s", Portal: "p"}, &wire.Execute{Portal: "p", MaxRows: 1}, &wire.Close{Kind: 'P', Name: "p"}, &wire.Execute{Portal: "p"}, &wire.Sync{}},
			"2 D(1) s 3 ERROR:34000 ZI",
		},
		{
			"gone after Sync",
			[]wire.Message{&wire.Bind{Statement: "s", Portal: "p"}, &wire.Execute{Portal: "p", MaxRows: 1}, &wire.Sync{}, &wire.Execute{Portal: "p"}, &wire.Sync{}},
			"2 D(1) s ZI ERROR:34000 ZI",
		},
		{
			"two at once",
			[]wire.Message{&wire.Bind{Statement: "s", Portal: "a"}, &wire.Bind{Statement: "s", Portal: "b"}, &wire.Execute{Portal: "a", MaxRows: 1}, &wire.Execute{Portal: "b", MaxRows: 2}, &wire.Execute{Portal: "a", MaxRows: 1}, &wire.Sync{}},
			"2 2 D(1) s D(1) D(2) s D(2) s ZI",
		},
		{
			"bound again",
			[]wire.Message{&wire.Bind{Statement: "s"}, &wire.Execute{MaxRows: 1}, &wire.Bind{Statement: "s"}, &wire.Execute{MaxRows: 1}, &wire.Sync{}},
			"2 D(1) s 2 D(1) s ZI",
		},
		{"same name", []wire.Message{&wire.Bind{Statement: "s", Portal: "p"}, &wire.Bind{Statement: "s", Portal: "p"}, &wire.Sync{}}, "2 ERROR:42P03 ZI"},
		{"statement twice", []wire.Message{parse, &wire.Sync{}}, "ERROR:42P05 ZI"},
		{"no statement", []wire.Message{&wire.Bind{Statement: "none"}, &wire.Sync{}}, "ERROR:26000 ZI"},
		{"no unnamed statement", []wire.Message{&wire.Bind{}, &wire.Sync{}}, "ERROR:26000 ZI"},
		{
			"skips to sync",
			[]wire.Message{&wire.Parse{SQL: "fail"}, &wire.Bind{}, &wire.Execute{}, &wire.Execute{}, &wire.Query{SQL: "count 1"}, &wire.Flush{}, &wire.Sync{}, &wire.Query{SQL: "count 1"}},
			"1 2 ERROR:22012 ZI T D(1) C(SELECT 1) ZI",
		},
		{"two commands", []wire.Message{&wire.Parse{SQL: "count 1; count 2"}, &wire.Sync{}}, "ERROR:42601 ZI"},
		{"empty", []wire.Message{&wire.Parse{SQL: " -- "}, &wire.Describe{Kind: 'S'}, &wire.Bind{}, &wire.Describe{Kind: 'P'}, &wire.Execute{}, &wire.Sync{}}, "1 t n 2 n I ZI"},
		{"too few parameters", []wire.Message{&wire.Parse{SQL: "count $1"}, &wire.Bind{}, &wire.Sync{}}, "1 ERROR:08P01 ZI"},
		{"parameter formats", []wire.Message{&wire.Parse{SQL: "echo $1 $2"}, &wire.Bind{Params: [][]byte{nil, nil}, ParamFormats: []wire.Format{0, 0, 0}}, &wire.Sync{}}, "1 ERROR:08P01 ZI"},
		{"unknown format", []wire.Message{&wire.Parse{SQL: "echo $1 $2"}, &wire.Bind{Params: [][]byte{nil, nil}, ParamFormats: []wire.Format{2}}, &wire.Sync{}}, "1 ERROR:22023 ZI"},
		{"result formats", []wire.Message{&wire.Bind{Statement: "s", ResultFormats: []wire.Format{0, 0}}, &wire.Execute{}, &wire.Sync{}}, "ERROR:08P01 ZI"},
		{"binary", []wire.Message{&wire.Parse{SQL: "count 1"}, &wire.Bind{ResultFormats: []wire.Format{1}}, &wire.Execute{}, &wire.Sync{}}, "1 2 D(\x00\x00\x00\x01) C(SELECT 1) ZI"},
		{"bad argument", []wire.Message{&wire.Parse{SQL: "count $1", ParamOIDs: []uint32{23}}, &wire.Bind{Params: [][]byte{[]byte("x")}}, &wire.Execute{}, &wire.Sync{}}, "1 2 ERROR:22P02 ZI"},
		{"close what is not there", []wire.Message{&wire.Close{Kind: 'S', Name: "none"}, &wire.Close{Kind: 'P', Name: "none"}, &wire.Sync{}}, "3 3 ZI"},
		{"describe nothing", []wire.Message{&wire.Describe{Kind: 'P', Name: "none"}, &wire.Sync{}}, "ERROR:34000 ZI"},
		{
			"a transaction keeps them",
			[]wire.Message{&wire.Query{SQL: "begin"}, &wire.Bind{Statement: "s", Portal: "p"}, &wire.Execute{Portal: "p", MaxRows: 1}, &wire.Sync{}, &wire.Execute{Portal: "p", MaxRows: 1}, &wire.Sync{}, &wire.Query{SQL: "commit"}, &wire.Execute{Portal: "p"}, &wire.Sync{}},
			"C(BEGIN) ZT 2 D(1) s ZT D(2) s ZT C(COMMIT) ZI ERROR:34000 ZI",
		},
	}
	for _, tt := range tests {
		p.send(tt.send...)
		got := p.until('Z')
		for strings.Count(got, "Z") < strings.Count(tt.want, "Z") {
			got += " " + p.until('Z')
		}
		if got != tt.want {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

// Flush alone brings the answers; no Sync is needed.
func TestFlush(t *testing.T) {
	p := open(t, addrOf(start(t, &pgserver.Server{Handler: &numbers{}})))
	p.send(&wire.Parse{SQL: "count 1"}, &wire.Bind{}, &wire.Flush{})
	if got := p.until('2'); got != "1 2" {
		t.Errorf("got %s", got)
	}
	p.send(&wire.Execute{}, &wire.Flush{})
	if got := p.until('C'); got != "D(1) C(SELECT 1)" {
		t.Errorf("got %s", got)
	}
	p.send(&wire.Sync{})
	p.until('Z')
}

func TestMessagesOutOfPlace(t *testing.T) {
	url := start(t, &pgserver.Server{Handler: &numbers{}})
	tests := []struct {
		name string
		raw  string
		want string
	}{
		{"unknown type", "!\x00\x00\x00\x04", "FATAL:08P01 closed"},
		{"password", "p\x00\x00\x00\x05\x00", "FATAL:08P01 closed"},
		{"length of 2 GiB", "Q\x7f\xff\xff\xff", "FATAL:08P01 closed"},
		{"negative length", "Q\xff\xff\xff\xfb", "FATAL:08P01 closed"},
		{"short length", "Q\x00\x00\x00\x03", "FATAL:08P01 closed"},
		{"query without an end", "Q\x00\x00\x00\x05xX\x00\x00\x00\x04", "ERROR:08P01 ZI closed"},
		{"bytes behind the query", "Q\x00\x00\x00\x07x\x00yX\x00\x00\x00\x04", "ERROR:08P01 ZI closed"},
		{"sync with a body", "S\x00\x00\x00\x05xX\x00\x00\x00\x04", "ERROR:08P01 ZI closed"},
		{"parse without an end", "P\x00\x00\x00\x05xS\x00\x00\x00\x04X\x00\x00\x00\x04", "ERROR:08P01 ZI closed"},
		{"bind with count -1", "B\x00\x00\x00\x0a\x00\x00\x00\x00\xff\xffS\x00\x00\x00\x04X\x00\x00\x00\x04", "ERROR:08P01 ZI closed"},
		{"stray copy data", "d\x00\x00\x00\x05xc\x00\x00\x00\x04f\x00\x00\x00\x05\x00X\x00\x00\x00\x04", "closed"},
		{"describe of a kind unknown", "D\x00\x00\x00\x06x\x00S\x00\x00\x00\x04X\x00\x00\x00\x04", "ERROR:08P01 ZI closed"},
		{"goodbye", "X\x00\x00\x00\x04", "closed"},
		{"function call", "F\x00\x00\x00\x0e\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00X\x00\x00\x00\x04", "ERROR:0A000 ZI closed"},
	}
	for _, tt := range tests {
		p := open(t, addrOf(url))
		p.raw([]byte(tt.raw))
		if got := p.end(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestCancel(t *testing.T) {
	started := make(chan string, 10)
	h := pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		started <- q.SQL
		switch q.SQL {
		case "wait":
			<-q.Context().Done()
			return q.Context().Err()
		case "copy":
			r, err := w.CopyIn(pgserver.CopyFormat{}, 1)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			return err
		case "ok":
			return w.Complete("OK")
		}
		if err := w.Columns(pgserver.Text("x")); err != nil {
			return err
		}
		for { // without a look at the context
			if err := w.Row("row"); err != nil {
				return err
			}
		}
	})
	url := start(t, &pgserver.Server{Handler: h})
	for _, version := range []string{"3.0", "3.2"} {
		for _, mode := range []string{"wait", "rows", "copy"} {
			t.Run(version+" "+mode, func(t *testing.T) {
				conn := connect(t, url+"&min_protocol_version="+version+"&max_protocol_version="+version)
				keyLen := map[string]int{"3.0": 4, "3.2": 32}[version]
				if n := len(conn.PgConn().SecretKey()); n != keyLen {
					t.Errorf("key of %d bytes", n)
				}
				go func() {
					<-started
					if err := conn.PgConn().CancelRequest(context.Background()); err != nil {
						t.Error(err)
					}
				}()
				err := conn.PgConn().Exec(t.Context(), mode).Close()
				var coded interface{ SQLState() string }
				if !errors.As(err, &coded) || coded.SQLState() != "57014" {
					t.Fatalf("got %v", err)
				}
				if _, err := conn.Exec(t.Context(), "ok", pgx.QueryExecModeSimpleProtocol); err != nil {
					t.Errorf("the session does not go on: %v", err)
				}
				<-started
			})
		}
	}
	// A wrong key does nothing, and gets no answer.
	p := dial(t, addrOf(url))
	p.send(&wire.CancelRequest{PID: 1, Key: []byte{1, 2, 3, 4}})
	if got := p.end(); got != "closed" {
		t.Errorf("got %s", got)
	}
}

// A client that goes away ends the query it left behind.
func TestClientGone(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	p := open(t, addrOf(start(t, &pgserver.Server{Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		ctx := q.Context()
		close(started)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	})})))
	p.send(&wire.Query{SQL: "wait"})
	<-started
	p.nc.Close()
	select {
	case err := <-ended:
		var e *wire.Error
		if !errors.As(err, &e) || e.Code != wire.CodeConnectionFailure {
			t.Errorf("cause %v", err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the query runs on")
	}
}

func TestPipelinedWhileRunning(t *testing.T) {
	proceed := make(chan struct{})
	p := open(t, addrOf(start(t, &pgserver.Server{Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		if q.SQL == "slow" {
			<-q.Context().Done()
			return nil
		}
		if q.SQL == "long" {
			_ = q.Context()
			<-proceed
		}
		return w.Complete(q.SQL)
	})})))
	p.send(&wire.Query{SQL: "long"})
	time.AfterFunc(400*time.Millisecond, func() { close(proceed) }) // longer than the watch waits to begin
	p.send(&wire.Query{SQL: "next"})
	if got := p.until('Z') + " " + p.until('Z'); got != "C(long) ZI C(next) ZI" {
		t.Errorf("got %s", got)
	}
}

func TestShutdown(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	srv := &pgserver.Server{Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		close(running)
		<-release
		return w.Complete("DONE")
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	idle, busy := open(t, l.Addr().String()), open(t, l.Addr().String())
	stranger := dial(t, l.Addr().String())
	busy.send(&wire.Query{SQL: "work"})
	<-running
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(context.Background()) }()
	if got := idle.end(); got != "FATAL:57P01 closed" {
		t.Errorf("idle: %s", got)
	}
	if got := stranger.end(); got != "closed" {
		t.Errorf("stranger: %s", got)
	}
	close(release)
	if got := busy.end(); got != "C(DONE) ZI FATAL:57P01 closed" {
		t.Errorf("busy: %s", got)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, pgserver.ErrServerClosed) {
		t.Errorf("serve: %v", err)
	}
}

// Shutdown with a context that ends cancels what still runs.
func TestShutdownCancels(t *testing.T) {
	running := make(chan struct{})
	srv := &pgserver.Server{Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		ctx := q.Context()
		close(running)
		<-ctx.Done()
		return ctx.Err()
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	p := open(t, l.Addr().String())
	p.send(&wire.Query{SQL: "work"})
	<-running
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	<-served //nolint:errcheck // only that it ends
}

func TestTimeoutsAndLimits(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		p := open(t, addrOf(start(t, &pgserver.Server{Handler: &numbers{}, IdleTimeout: 50 * time.Millisecond})))
		if got := p.end(); got != "FATAL:57P05 closed" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("startup", func(t *testing.T) {
		p := dial(t, addrOf(start(t, &pgserver.Server{Handler: &numbers{}, StartupTimeout: 50 * time.Millisecond})))
		p.raw([]byte{0, 0})
		if got := p.end(); !strings.HasSuffix(got, "closed") && !strings.Contains(got, "EOF") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("write", func(t *testing.T) {
		ended := make(chan error, 1)
		p := open(t, addrOf(start(t, &pgserver.Server{WriteTimeout: 50 * time.Millisecond, Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
			err := w.Columns(pgserver.Text("x"))
			for err == nil {
				err = w.Row(strings.Repeat("x", 10000))
			}
			ended <- err
			return err
		})})))
		p.send(&wire.Query{SQL: "x"}) // and never reads
		select {
		case err := <-ended:
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() {
				t.Errorf("got %v", err)
			}
		case <-time.After(2 * time.Minute):
			t.Error("the handler still waits for a client that does not read")
		}
	})
	t.Run("pre-authentication", func(t *testing.T) {
		url := start(t, &pgserver.Server{Handler: &numbers{}, MaxPreAuthConns: 1})
		first := dial(t, addrOf(url))
		first.raw([]byte{0}) // it has been accepted before the second one is
		second := dial(t, addrOf(url))
		if got := second.end(); got != "FATAL:53300 closed" {
			t.Errorf("got %s", got)
		}
		first.nc.Close()
		for { // once the first is forgotten, there is room again
			p := dial(t, addrOf(url))
			p.send(&wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "joe"}}})
			if typ, _, err := p.next(); err == nil && typ == wire.TypeAuthentication {
				break
			}
		}
	})
	t.Run("per address", func(t *testing.T) {
		url := start(t, &pgserver.Server{Handler: &numbers{}, MaxConnsPerAddr: 2})
		open(t, addrOf(url))
		open(t, addrOf(url))
		if got := dial(t, addrOf(url)).end(); got != "FATAL:53300 closed" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("message", func(t *testing.T) {
		p := open(t, addrOf(start(t, &pgserver.Server{Handler: &numbers{}, MaxMessage: 1000})))
		p.send(&wire.Query{SQL: "count 1" + strings.Repeat(" ", 900)})
		if got := p.until('Z'); got != "T D(1) C(SELECT 1) ZI" {
			t.Errorf("got %s", got)
		}
		p.send(&wire.Query{SQL: strings.Repeat(" ", 1100)})
		if got := p.end(); got != "FATAL:08P01 closed" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("statements and portals", func(t *testing.T) {
		p := open(t, addrOf(start(t, &pgserver.Server{Handler: &numbers{}, MaxStatements: 2, MaxPortals: 1})))
		p.send(&wire.Parse{Name: "a", SQL: "count 1"}, &wire.Parse{Name: "b", SQL: "count 1"}, &wire.Parse{Name: "c", SQL: "count 1"}, &wire.Sync{})
		if got := p.until('Z'); got != "1 1 ERROR:53400 ZI" {
			t.Errorf("got %s", got)
		}
		p.send(&wire.Bind{Statement: "a", Portal: "p"}, &wire.Bind{Statement: "a", Portal: "q"}, &wire.Sync{})
		if got := p.until('Z'); got != "2 ERROR:53400 ZI" {
			t.Errorf("got %s", got)
		}
	})
}
