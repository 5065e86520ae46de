package peers_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/peers"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

func TestRange(t *testing.T) {
	for _, id := range []int{0, 1, 2, 500, peers.MaxID} {
		first, n := peers.Range(id)
		if peers.Of(first) != id || peers.Of(first+n-1) != id || first+(n-1) > 1<<31-1 {
			t.Errorf("the numbers of %d are %d from %d on, of which the last is of %d", id, n, first, peers.Of(first+n-1))
		}
	}
}

// listen is a listener for a proxy.
func listen(t *testing.T) (net.Listener, uint16) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln, uint16(ln.Addr().(*net.TCPAddr).Port)
}

// TestCancel has the clients of two proxies ask the other one to cancel.
func TestCancel(t *testing.T) {
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	const n = 2
	var all []peers.Peer
	var lns []net.Listener
	for id := range n {
		ln, port := listen(t)
		lns = append(lns, ln)
		all = append(all, peers.Peer{ID: id + 1, Host: "127.0.0.1", Port: port})
	}
	var forward [n]*peers.Forwarder
	for i := range n {
		backend := &pool.Backend{ID: "a", Name: "a", Dial: srv.Dial, Login: pool.Credentials{User: srv.Info().User, Database: "postgres"}}
		p := pool.New(backend, pool.Config{Size: 2}, nil)
		db := &proxy.Database{Name: "postgres", Servers: proxy.One{Pool: p}}
		f := &peers.Forwarder{Peers: func() []peers.Peer { return all }}
		forward[i] = f
		cfg := proxy.Config{
			Lookup:          func(context.Context, proxy.Client) (*proxy.Database, error) { return db, nil },
			CancelElsewhere: func(pid uint32, key []byte) { f.Cancel(context.Background(), pid, key) },
		}
		cfg.FirstID, cfg.IDs = peers.Range(i + 1)
		px, err := proxy.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- px.Serve(context.Background(), lns[i]) }()
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_ = px.Shutdown(ctx)
			if err := <-done; err != nil {
				t.Error(err)
			}
			p.Close(ctx)
		})
	}
	for i := range n {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		c, err := pgx.Connect(ctx, "postgres://"+srv.Info().User+"@127.0.0.1:"+strconv.Itoa(int(all[i].Port))+"/postgres?sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(context.Background()) }()
		if got := peers.Of(c.PgConn().PID()); got != i+1 {
			t.Errorf("a client of proxy %d is told a number of proxy %d", i+1, got)
		}
		stop := make(chan struct{})
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			b, err := wire.Append(nil, &wire.CancelRequest{PID: c.PgConn().PID(), Key: c.PgConn().SecretKey()})
			for err == nil {
				var nc net.Conn
				if nc, err = net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(int(all[1-i].Port))); err == nil {
					_, _ = nc.Write(b)
					_, _ = io.Copy(io.Discard, nc)
					_ = nc.Close()
				}
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond): // the query may not have begun
				}
			}
			t.Error(err)
		}()
		_, err = c.Exec(ctx, "SELECT pg_sleep(50)")
		close(stop)
		<-asked
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "57014" {
			t.Errorf("the query of a client of proxy %d: %v", i+1, err)
		}
		other := forward[1-i].Figures()
		if f := other[i]; f.Total == 0 || f.Failed != 0 || f.Active != 0 {
			t.Errorf("what proxy %d has passed on: %+v", 2-i, other)
		}
	}
}

// TestRound has two forwarders send a request to each other: it ends.
func TestRound(t *testing.T) {
	var lns [2]net.Listener
	var all [2]peers.Peer
	for i := range lns {
		var port uint16
		lns[i], port = listen(t)
		all[i] = peers.Peer{ID: 7, Host: "127.0.0.1", Port: port}
	}
	first, _ := peers.Range(7)
	var fs [2]*peers.Forwarder
	for i := range fs {
		fs[i] = &peers.Forwarder{Peers: func() []peers.Peer { return []peers.Peer{all[1-i]} }}
	}
	for i, ln := range lns {
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer func() { _ = nc.Close() }()
					if _, err := io.ReadFull(nc, make([]byte, 16)); err == nil {
						fs[i].Cancel(context.Background(), first, []byte("abcd"))
					}
				}()
			}
		}()
		t.Cleanup(func() { _ = ln.Close(); <-served })
	}
	fs[0].Cancel(t.Context(), first, []byte("abcd"))
	for i, f := range fs {
		if n := f.Figures()[0]; n.Total != 1 || n.Failed != 0 || n.Active != 0 {
			t.Errorf("forwarder %d: %+v", i, n)
		}
	}
}

// TestUnreachable counts what could not be passed on, and drops what is for nobody.
func TestUnreachable(t *testing.T) {
	ln, port := listen(t)
	_ = ln.Close()
	f := &peers.Forwarder{Peers: func() []peers.Peer { return []peers.Peer{{ID: 3, Host: "127.0.0.1", Port: port}} }}
	for _, id := range []int{3, 4} {
		first, _ := peers.Range(id)
		f.Cancel(t.Context(), first+1, []byte("abcd"))
	}
	if n := f.Figures()[0]; n.Total != 0 || n.Failed != 1 || n.Active != 0 {
		t.Errorf("it was counted %+v", n)
	}
}
