package shards_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// TestHandOver has clients say more while a loop waits for a shard, or a goroutine has their
// session: nothing of it is lost, whoever reads it.
func TestHandOver(t *testing.T) {
	g, err := loop.New(1)
	if errors.Is(err, loop.ErrUnsupported) {
		t.Skip("there are no loops here")
	}
	g.Close()
	t.Run("epoll", testHandOver)
}

func testHandOver(t *testing.T) {
	h := newHouse(t, demoSchema, nil)
	c := h.connect()
	mustExec(t, c, "INSERT INTO users SELECT g, 'user ' || g FROM generate_series(1, 30) g")
	const sql = "UPDATE users SET email = 'changed' WHERE id = 7"
	mustExec(t, c, sql, pgx.QueryExecModeSimpleProtocol)
	shard := h.shardOf(7)
	query := func(list ...string) (out []wire.Message) {
		for _, sql := range list {
			out = append(out, &wire.Query{SQL: sql})
		}
		return out
	}
	// locked has a client's statement wait until more was said, and read as far as it is.
	locked := func(t *testing.T, first, more func()) {
		t.Helper()
		d := h.direct(shard)
		mustExec(t, d, "BEGIN")
		mustExec(t, d, "UPDATE users SET email = 'locked' WHERE id = 7")
		first()
		await(t, "the lock", func() bool {
			// By another connection: what one has seen of the others stays until its transaction ends.
			return one[int](t, h.direct((shard+1)%houseShards), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1", fmt.Sprint("shard", shard)) > 0
		})
		more()
		mustExec(t, d, "ROLLBACK")
	}
	const begun = "C \"BEGIN\\x00\"\nZ \"T\""
	const reads = "SELECT email FROM users WHERE id = 8"

	t.Run("a transaction behind it", func(t *testing.T) {
		w, other := h.wired(), h.wired()
		w.t, other.t = t, t
		locked(t, func() { w.send(query(sql, "BEGIN")...) }, func() {
			w.send(query(reads, "COMMIT")...)
			for range 3 { // the loop comes to what was sent before it
				other.send(query(reads)...)
				other.answers(1)
			}
		})
		if got := w.answers(4); !strings.Contains(got, begun) || !strings.Contains(got, "user 8") || !strings.HasSuffix(got, "Z \"I\"") {
			t.Error(got)
		}
	})
	t.Run("a transaction behind it by TLS", func(t *testing.T) {
		w, _ := h.encrypted(t)
		w.send(query(sql, "BEGIN")...)
		if got := w.answers(2); !strings.HasSuffix(got, begun) {
			t.Error(got)
		}
		w.send(query(reads, "COMMIT")...)
		if got := w.answers(2); !strings.Contains(got, "user 8") || !strings.HasSuffix(got, "Z \"I\"") {
			t.Error(got)
		}
	})
	t.Run("more than is heard at once by TLS", func(t *testing.T) {
		w, b := h.encrypted(t)
		w.send(query("BEGIN")...)
		w.answers(1)
		n := 0
		locked(t, func() { w.send(query(sql)...) }, func() {
			// As much as a goroutine that does something else is read for, by whole records; then two
			// more at once, of which the first one is too much.
			for ; n < 8; n++ {
				w.send(query("SELECT " + strings.Repeat(" ", 16<<10-len("SELECT 1")-wire.HeaderLen-1) + "1")...)
			}
			b.hold()
			w.send(query("SELECT 2")...)
			w.send(query("SELECT 3")...)
			b.release()
			for range 3 {
				if got := one[string](t, c, reads); got != "user 8" {
					t.Error(got)
				}
			}
		})
		if got := w.answers(1 + n + 2); !strings.Contains(got, "\\x013\"") {
			t.Error(got)
		}
	})
	t.Run("clients that go in the middle", func(t *testing.T) {
		const slow = "SELECT repeat('x', 100000), pg_sleep(0.001) FROM users WHERE id = 9"
		mustExec(t, c, slow, pgx.QueryExecModeSimpleProtocol)
		for range 200 {
			w := h.wired()
			w.t = t
			w.send(query(slow, "SET work_mem = '1MB'", "SELECT count(*) FROM users")...)
			var some [1]byte
			if _, err := io.ReadFull(w.nc, some[:]); err != nil {
				t.Fatal(err)
			}
			_ = w.nc.Close()
		}
		await(t, "their connections", func() bool {
			for shard := range houseShards {
				p, err := h.pick(t.Context(), shard, route.Primary)
				if err != nil || p.Stats().Active > 0 {
					return false
				}
			}
			return true
		})
	})
	t.Run("a message that ends where a buffer does", func(t *testing.T) {
		for _, n := range []int{4 << 10, 8 << 10, 16 << 10, 32 << 10} {
			w := h.wired()
			w.t = t
			w.send(query("SELECT "+strings.Repeat(" ", n-len("SELECT 1")-wire.HeaderLen-1)+"1", reads)...)
			if got := w.answers(2); !strings.Contains(got, "user 8") {
				t.Error(got)
			}
		}
	})
}

// shardOf finds a user's shard.
func (h *house) shardOf(id int) int {
	h.t.Helper()
	for shard := range houseShards {
		if one[int](h.t, h.direct(shard), "SELECT count(*) FROM users WHERE id = $1", id) == 1 {
			return shard
		}
	}
	h.t.Fatal("no shard has user ", id)
	return 0
}

// A batch is a connection that can keep what is written to be sent at once.
type batch struct {
	net.Conn
	held *bytes.Buffer // nil: it is sent
}

func (b *batch) hold() { b.held = &bytes.Buffer{} }

func (b *batch) release() {
	held := b.held
	b.held = nil
	_, _ = b.Conn.Write(held.Bytes()) // of an error the next read tells
}

func (b *batch) Write(p []byte) (int, error) {
	if b.held != nil {
		return b.held.Write(p)
	}
	return b.Conn.Write(p)
}

// encrypted is a client by TLS, of a proxy of its own.
func (h *house) encrypted(t *testing.T) (*wired, *batch) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"here"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if cert, err := x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	} else {
		roots.AddCert(cert)
	}
	px, err := proxy.New(proxy.Config{
		Auth: pgserver.Trust(), Loops: newLoops(t), Lookup: func(context.Context, proxy.Client) (*proxy.Database, error) { return h.cluster.Database, nil },
		TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, px, ln)
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if _, err := nc.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil { // SSLRequest
		t.Fatal(err)
	}
	var answer [1]byte
	if _, err := io.ReadFull(nc, answer[:]); err != nil || answer[0] != 'S' {
		t.Fatalf("%q, %v", answer, err)
	}
	b := &batch{Conn: nc}
	over := tls.Client(b, &tls.Config{RootCAs: roots, ServerName: "here", DynamicRecordSizingDisabled: true})
	w := &wired{t, over, wire.NewReader(over, wire.Backend, 0)}
	w.send(&wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "u"}, {Name: "database", Value: "d"}}})
	w.answers(1)
	return w, b
}

// TestLookupByAnother has another client change where a key's rows are.
func TestLookupByAnother(t *testing.T) { transports(t, testLookupByAnother) }

func testLookupByAnother(t *testing.T) {
	h := newHouse(t, "CREATE TABLE directory (tenant text PRIMARY KEY, shard int); CREATE TABLE tenants (tenant text, v int)", func(c *shards.Config) {
		c.Layout = sharding.Config{Shards: houseShards, Tables: []sharding.Table{{
			Name: "tenants", Columns: []string{"tenant"}, Types: []hash.OID{hash.Text}, LookupQuery: "SELECT shard FROM directory WHERE tenant = $1",
		}}}
	})
	c, other := h.connect(), h.connect()
	mustExec(t, c, "INSERT INTO directory VALUES ('t1', 1)")
	for _, shard := range []int{1, 2, 0} {
		mustExec(t, other, fmt.Sprintf("UPDATE directory SET shard = %d WHERE tenant = 't1'", shard))
		for range 2 {
			mustExec(t, c, fmt.Sprintf("INSERT INTO tenants VALUES ('t1', %d)", shard), pgx.QueryExecModeSimpleProtocol)
		}
		if n := one[int](t, h.direct(shard), "SELECT count(*) FROM tenants WHERE v = $1", shard); n != 2 {
			t.Errorf("%d rows are on shard %d", n, shard)
		}
	}
}
