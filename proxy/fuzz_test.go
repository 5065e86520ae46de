package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

// pipes is a listener whose connections are offered to it.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

// offer has one end accepted, and returns the other.
func (p *pipes) offer(a, b net.Conn) net.Conn {
	select {
	case p.conns <- a:
	case <-p.done:
	}
	return b
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "fuzz", Net: "unix"} }

// fakeServer lets a client in and then answers its messages as a server might, or says what it
// is given.
func fakeServer(nc net.Conn, says []byte, scripted bool) {
	defer nc.Close()
	r := wire.NewReader(nc, wire.Frontend, 0)
	if _, err := r.ReadStartup(); err != nil {
		return
	}
	w := wire.NewWriter(nc)
	send := func(ms ...wire.BackendMessage) bool {
		for _, m := range ms {
			if w.Send(m) != nil {
				return false
			}
		}
		return w.Flush() == nil
	}
	ready := &wire.ReadyForQuery{TxStatus: wire.TxIdle}
	if !send(&wire.AuthenticationOk{}, &wire.ParameterStatus{Name: "server_version", Value: "15"}, &wire.BackendKeyData{PID: 1, Key: []byte("abcd")}, ready) {
		return
	}
	if scripted {
		if _, err := r.ReadFrame(); err != nil {
			return
		}
		go func() { _, _ = io.Copy(io.Discard, nc) }()
		_, _ = nc.Write(says)
		return
	}
	skipping := false
	for {
		f, err := r.ReadFrame()
		if err != nil {
			return
		}
		if skipping && f.Type != wire.TypeSync {
			continue
		}
		ok := true
		switch f.Type {
		case wire.TypeQuery, wire.TypeFunctionCall:
			ok = send(&wire.CommandComplete{Tag: "SELECT 0"}, ready)
		case wire.TypeParse:
			if len(f.Body)%7 == 3 {
				skipping = true
				ok = send((&wire.Error{Code: wire.CodeSyntaxError, Message: "no"}).Response())
				break
			}
			ok = send(&wire.ParseComplete{})
		case wire.TypeBind:
			ok = send(&wire.BindComplete{})
		case wire.TypeClose:
			ok = send(&wire.CloseComplete{})
		case wire.TypeDescribe:
			ok = send(&wire.NoData{})
		case wire.TypeExecute:
			ok = send(&wire.CommandComplete{Tag: "SELECT 0"})
		case wire.TypeSync:
			skipping = false
			ok = send(ready)
		case wire.TypeTerminate:
			return
		}
		if !ok {
			return
		}
	}
}

// fuzzed runs a session between what a client and a server say, to its end, over each
// transport.
func fuzzed(t *testing.T, client, server []byte, scripted bool) {
	fuzzedOver(t, nil, client, server, scripted)
	if loops, err := loop.New(1); err == nil {
		defer loops.Close()
		fuzzedOver(t, loops, client, server, scripted)
	}
}

func fuzzedOver(t *testing.T, loops *loop.Group, client, server []byte, scripted bool) {
	ends := net.Pipe
	if loops != nil {
		ends = func() (net.Conn, net.Conn) { return pair(t) }
	}
	p := pool.New(&pool.Backend{Name: "fake", Dial: func(context.Context) (net.Conn, error) {
		a, b := ends()
		go fakeServer(b, server, scripted)
		return a, nil
	}, Login: pool.Credentials{User: "u", Database: "d"}}, pool.Config{Size: 1, CleanTimeout: 50 * time.Millisecond, CheckoutTimeout: time.Second, Statements: 2, Loops: loops}, nil)
	db := &proxy.Database{Name: "d", Servers: proxy.One{Pool: p}}
	px, err := proxy.New(proxy.Config{Loops: loops, Lookup: func(context.Context, proxy.Client) (*proxy.Database, error) { return db, nil }})
	if err != nil {
		t.Fatal(err)
	}
	ln := newPipes()
	done := make(chan error, 1)
	go func() { done <- px.Serve(context.Background(), ln) }()
	nc := ln.offer(ends())
	drained := make(chan struct{})
	out, _ := wire.Append(nil, &wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "u"}}})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, nc)
	}()
	_, _ = nc.Write(out)
	_, _ = nc.Write(client)
	if scripted {
		<-drained // the server says its piece and goes
	}
	_ = nc.Close()
	<-drained
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := px.Shutdown(ctx); err != nil {
		t.Errorf("the session does not end: %v", err)
	}
	if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	p.Close(ctx)
	if s := p.Stats(); s.Active+s.Idle+s.Waiting != 0 {
		t.Errorf("left over: %+v", s)
	}
	if ctx.Err() != nil {
		t.Error("it took too long")
	}
}

// FuzzClient gives the proxy anything for a client's messages.
func FuzzClient(f *testing.F) {
	all, _ := messages(
		&wire.Parse{Name: "a", SQL: "SET x TO 1"}, &wire.Bind{Statement: "a"}, &wire.Execute{}, &wire.Sync{},
		&wire.Query{SQL: "SAVEPOINT a; ROLLBACK TO a; EXECUTE a; DEALLOCATE a"}, &wire.Bind{}, &wire.Flush{}, &wire.Sync{},
		&wire.CopyData{Data: []byte("x")}, &wire.CopyDone{}, &wire.Close{Kind: wire.StatementKind, Name: "a"}, &wire.Sync{}, &wire.Terminate{},
	)
	f.Add(all)
	pins, _ := messages(&wire.Query{SQL: "LISTEN a"}, &wire.Query{SQL: "SELECT set_config($1, $2, false)"}, &wire.Query{SQL: "DISCARD ALL"}, &wire.Sync{})
	f.Add(pins)
	f.Add([]byte("Q\x00\x00\x00\x06;\x00P\x00\x00\x00\x08a\x00\x00\x00\x00F\x00\x00\x00\x05x"))
	f.Fuzz(func(t *testing.T, client []byte) { fuzzed(t, client, nil, false) })
}

// FuzzServer gives the proxy anything for a server's messages.
func FuzzServer(f *testing.F) {
	ready := "Z\x00\x00\x00\x05I"
	for _, s := range []string{
		"C\x00\x00\x00\x0dSELECT 1\x00" + ready, "1\x00\x00\x00\x04" + ready + ready, "E\x00\x00\x00\x05\x00" + ready,
		"G\x00\x00\x00\x07\x00\x00\x00", "S\x00\x00\x00\x08a\x00b\x00" + ready, "T\x00\x00\x00\x06\x00\x00D\x00\x00\x00\x06\x00\x00" + ready, "A", "D\xff\xff\xff\xff",
		"n\x00\x00\x00\x043\x00\x00\x00\x04s\x00\x00\x00\x04W\x00\x00\x00\x07\x00\x00\x00",
	} {
		f.Add([]byte(s))
	}
	client, _ := messages(
		&wire.Query{SQL: "SET x TO 1"}, &wire.Parse{Name: "a", SQL: "SELECT 1"}, &wire.Bind{Statement: "a"}, &wire.Describe{Kind: wire.PortalKind}, &wire.Execute{},
		&wire.Close{Kind: wire.StatementKind, Name: "a"}, &wire.Sync{}, &wire.Query{SQL: "LISTEN x"},
	)
	f.Fuzz(func(t *testing.T, server []byte) { fuzzed(t, client, server, true) })
}
