package proxy_test

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A rawClient is a client that needs no memory for a query.
type rawClient struct {
	t   *testing.T
	nc  net.Conn
	buf [8 << 10]byte
	n   int
}

func newRawClient(t *testing.T, addr, user string) *rawClient {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	c := &rawClient{t: t, nc: nc}
	hello := wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: user}, {Name: "database", Value: "postgres"}}}
	c.ask(encoded(t, &hello))
	return c
}

func encoded(t *testing.T, list ...wire.Message) (out []byte) {
	t.Helper()
	for _, m := range list {
		b, err := wire.Append(out, m)
		if err != nil {
			t.Fatal(err)
		}
		out = b
	}
	return out
}

// ask sends messages, and reads what comes up to ReadyForQuery. An error fails the test.
func (c *rawClient) ask(b []byte) {
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatal(err)
	}
	for {
		for c.n >= 5 {
			size := 1 + int(binary.BigEndian.Uint32(c.buf[1:5]))
			if size > len(c.buf) {
				c.t.Fatalf("a message of %d bytes", size)
			}
			if c.n < size {
				break
			}
			typ := wire.Type(c.buf[0])
			if typ == wire.TypeErrorResponse {
				c.t.Fatalf("the server said %q", c.buf[5:size])
			}
			c.n = copy(c.buf[:], c.buf[size:c.n])
			if typ == wire.TypeReadyForQuery {
				return
			}
		}
		n, err := c.nc.Read(c.buf[c.n:])
		if c.n += n; err != nil && (n == 0 || err != io.EOF) {
			c.t.Fatal(err)
		}
	}
}

// raced reports that the race detector is at work.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}

// TestAllocations counts what the proxy allocates for a query, the pool's connections included. The
// client is in this process, and allocates nothing.
func TestAllocations(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	t.Run("epoll", func(t *testing.T) {
		if newLoops(t, 1) == nil {
			t.Fatal("there is no epoll here")
		}
		b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 2}, nil)
		bind := []wire.Message{&wire.Bind{}, &wire.Execute{}, &wire.Sync{}}
		for _, test := range []struct {
			name         string
			first, query []byte
			most         float64
		}{
			{"simple", nil, encoded(t, &wire.Query{SQL: "SELECT 1"}), 0.1},
			{"extended", nil, encoded(t, append([]wire.Message{&wire.Parse{SQL: "SELECT 1"}}, bind...)...), 0.1},
			{
				"prepared", encoded(t, &wire.Parse{Name: "p", SQL: "SELECT 1"}, &wire.Sync{}),
				encoded(t, &wire.Bind{Statement: "p"}, &wire.Execute{}, &wire.Sync{}), 0.1,
			},
		} {
			t.Run(test.name, func(t *testing.T) {
				c := newRawClient(t, b.addr, srv.Info().User)
				if test.first != nil {
					c.ask(test.first)
				}
				const queries = 10_000
				for range queries / 10 {
					c.ask(test.query)
				}
				least := 1e9
				for range 3 { // others in this process may be ending
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					for range queries {
						c.ask(test.query)
					}
					runtime.ReadMemStats(&after)
					if least = min(least, float64(after.Mallocs-before.Mallocs)/queries); least <= test.most {
						break
					}
				}
				t.Logf("%.4f allocations for a query", least)
				if raced() {
					return // it makes pools of memory forget, now and then
				}
				if least > test.most {
					t.Errorf("%.2f allocations for a query, want at most %v", least, test.most)
				}
			})
		}
	})
}
