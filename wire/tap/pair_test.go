package tap

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/wiretest"
)

// pairs is a listener and a dialer of pipes: the n-th client gets the n-th server.
type pairs struct {
	clients, servers chan net.Conn
}

func (p *pairs) Accept() (net.Conn, error) {
	nc, ok := <-p.clients
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}
func (p *pairs) Close() error   { return nil }
func (p *pairs) Addr() net.Addr { return &net.UnixAddr{} }

// FuzzProxyPair runs two sessions through one tap, each with any bytes from its client and
// from its server: what a client sends comes to its own server and nowhere else, in order and
// unchanged as far as it comes, and the other way round.
func FuzzProxyPair(f *testing.F) {
	query := (&wire.Query{SQL: "select 1"}).AppendTo(nil)
	ready := (&wire.ReadyForQuery{TxStatus: wire.TxIdle}).AppendTo((&wire.DataRow{Values: [][]byte{nil, {0xff}}}).AppendTo(nil))
	f.Add(query, ready, []byte("X\x00\x00\x00\x04"), []byte("E"), uint8(3))
	f.Add([]byte("p\x00\x00\x00\x04"), []byte("R\x00\x00\x00\x08\x00\x00\x00\x0a"), query, ready, uint8(1))
	f.Add([]byte("Q\x7f\xff\xff\xff"), []byte("D\xff\xff\xff\xfb"), query, ready, uint8(200))
	f.Fuzz(func(t *testing.T, clientA, serverA, clientB, serverB []byte, size uint8) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		p := &pairs{make(chan net.Conn), make(chan net.Conn, 1)}
		tap := &Tap{Report: func(Event) {}, Dial: func(context.Context) (net.Conn, error) { return <-p.servers, nil }}
		served := make(chan error, 1)
		go func() { served <- tap.Serve(ctx, p) }()
		startup := wiretest.StartupBytes()
		var wg sync.WaitGroup
		// The two begin one after the other, so that it is known whose server is whose.
		for _, s := range [][2][]byte{{append(bytes.Clone(startup), clientA...), serverA}, {append(bytes.Clone(startup), clientB...), serverB}} {
			client, clientEnd := net.Pipe()
			server, serverEnd := net.Pipe()
			p.servers <- serverEnd
			p.clients <- clientEnd
			seen := make(chan struct{}) // the tap has dialled
			both := func(what string, nc net.Conn, send, want []byte, first bool) {
				_ = nc.SetDeadline(time.Now().Add(2 * time.Minute))
				var sent sync.WaitGroup
				sent.Go(func() {
					for piece := range chunks(send, int(size)+1) {
						if _, err := nc.Write(piece); err != nil {
							return // the other side has ended it
						}
					}
				})
				var got []byte
				buf := make([]byte, 4096)
				for len(got) < len(want) {
					n, err := nc.Read(buf)
					if got = append(got, buf[:n]...); err != nil {
						break
					}
					if first && n > 0 {
						close(seen)
						first = false
					}
				}
				if first {
					close(seen)
				}
				if !bytes.HasPrefix(want, got) {
					t.Errorf("%s got %q, which is not what was sent to it: %q", what, got, want)
				}
				sent.Wait()
			}
			var ends sync.WaitGroup
			ends.Go(func() { both("the server", server, s[1], s[0], true) })
			ends.Go(func() { both("the client", client, s[0], s[1], false) })
			wg.Go(func() {
				ends.Wait()
				client.Close()
				server.Close()
			})
			<-seen
		}
		wg.Wait()
		close(p.clients)
		cancel()
		if err := <-served; err != nil && err != io.EOF && err != net.ErrClosed { //nolint:errorlint // the listener's own
			t.Error(err)
		}
	})
}

func chunks(b []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			n := min(size, len(b))
			if !yield(b[:n]) {
				return
			}
			b = b[n:]
		}
	}
}
