package proxy_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

// An exchange is what a client sends, one write after the other, and how many ReadyForQuery it waits for
// after each.
type exchange []struct {
	send    []byte
	readies int
}

func (e exchange) then(readies int, send ...[]byte) exchange {
	return append(e, struct {
		send    []byte
		readies int
	}{bytes.Join(send, nil), readies})
}

// TestExpress compares what clients are told on the short way with what they are told on the long one,
// byte for byte, and what is counted of both.
func TestExpress(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	direct, err := engines.Connect(t.Context(), srv, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = direct.Close(context.Background()) }()
	if _, err := direct.Exec(t.Context(), "CREATE TABLE kept (a int); INSERT INTO kept SELECT generate_series(1, 5); CREATE TABLE gathers (a int); CREATE TABLE changes AS TABLE kept",
		pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	list := exchanges(t)
	names := slices.Sorted(maps.Keys(list))
	// One after the other: two loops would leave no processor for the client.
	all := func(way string, change func(*proxy.Config, *proxy.Database)) (answers [][]byte, figures [][13]int64) {
		t.Run(way+"/epoll", func(t *testing.T) {
			b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, change)
			for _, name := range names {
				before := counted(b)
				answers = append(answers, told(t, b, list[name]))
				after := counted(b)
				for i := range after {
					after[i] -= before[i]
				}
				figures = append(figures, after)
			}
		})
		return answers, figures
	}
	short, counts := all("short", nil)
	long, wanted := all("long", func(c *proxy.Config, _ *proxy.Database) { c.MaxMessage = 1 << 29 })
	if len(short) != len(names) || len(long) != len(names) {
		t.FailNow()
	}
	for i, name := range names {
		if !bytes.Equal(short[i], long[i]) {
			t.Errorf("%s: on the short way the client is told\n%.2000q\non the long one\n%.2000q", name, short[i], long[i])
		}
		if counts[i] != wanted[i] && name != behind { // whether it waits for the first answer nobody knows
			t.Errorf("%s: on the short way is counted\n%d\non the long one\n%d", name, counts[i], wanted[i])
		}
	}
}

// TestExpressWithinRow has an answer come in pieces, of which one looks like a whole answer but is within
// a row: it must not be taken for one.
func TestExpressWithinRow(t *testing.T) {
	loops, err := loop.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer loops.Close()
	const end = "C\x00\x00\x00\x0dSELECT 1\x00Z\x00\x00\x00\x05I"
	pieces := []string{"D\x00\x00\x00" + string(rune(4+2+4+len("begin")+len(end))) + "\x00\x01\x00\x00\x00" + string(rune(len("begin")+len(end))) + "begin", end, end}
	more := make(chan struct{})
	p := pool.New(&pool.Backend{Name: "fake", Dial: func(context.Context) (net.Conn, error) {
		a, b := pair(t)
		go func() {
			defer func() { _ = b.Close() }()
			r := wire.NewReader(b, wire.Frontend, 0)
			if _, err := r.ReadStartup(); err != nil {
				return
			}
			_, _ = b.Write(encoded(t, &wire.AuthenticationOk{}, &wire.BackendKeyData{PID: 1, Key: []byte("abcd")}, &wire.ReadyForQuery{TxStatus: wire.TxIdle}))
			for {
				if f, err := r.ReadFrame(); err != nil || f.Type != wire.TypeQuery {
					return
				}
				for _, piece := range pieces {
					_, _ = io.WriteString(b, piece)
					if _, ok := <-more; !ok {
						return
					}
				}
			}
		}()
		return a, nil
	}, Login: pool.Credentials{User: "u", Database: "d"}}, pool.Config{Size: 1, Loops: loops}, nil)
	db := &proxy.Database{Name: "d", Servers: proxy.One{Pool: p}}
	px, err := proxy.New(proxy.Config{Loops: loops, Lookup: func(context.Context, proxy.Client) (*proxy.Database, error) { return db, nil }})
	if err != nil {
		t.Fatal(err)
	}
	ln := newPipes()
	served := make(chan error, 1)
	go func() { served <- px.Serve(context.Background(), ln) }()
	a, b := pair(t)
	nc := ln.offer(a, b)
	defer func() {
		close(more)
		_ = nc.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := px.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		p.Close(ctx)
	}()
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write(encoded(t, &wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "u"}}})); err != nil {
		t.Fatal(err)
	}
	upToReady(t, nc, 1)
	for range 3 { // the first one goes the long way, since there is no connection yet
		if _, err := nc.Write(encoded(t, &wire.Query{SQL: "SELECT 1"})); err != nil {
			t.Fatal(err)
		}
		for i, piece := range pieces {
			got := make([]byte, len(piece))
			if _, err := io.ReadFull(nc, got); err != nil || string(got) != piece {
				t.Fatalf("%q, %v", got, err)
			}
			if n := p.Active(); i < len(pieces)-1 && n != 1 {
				t.Fatalf("after piece %d the connection is given back", i+1)
			}
			more <- struct{}{}
		}
	}
}

// counted are the figures that do not depend on time.
func counted(b *bench) [13]int64 {
	n := &b.pool.Counters
	return [...]int64{
		n.Xacts.Load(), n.Queries.Load(), n.Errors.Load(), n.Binds.Load(), n.Parses.Load(), n.ClientParses.Load(), n.Reads.Load(), n.Writes.Load(),
		n.RowsInserted.Load(), n.RowsUpdated.Load(), n.RowsDeleted.Load(), n.Query.Count(), n.Xact.Count(),
	}
}

// told is what a new client is told in an exchange.
func told(t *testing.T, b *bench, e exchange) []byte {
	t.Helper()
	nc, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	hello := encoded(t, &wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: b.srv.Info().User}, {Name: "database", Value: "postgres"}}})
	if _, err := nc.Write(hello); err != nil {
		t.Fatal(err)
	}
	upToReady(t, nc, 1) // whose key is another one each time
	var out []byte
	for _, step := range e {
		if _, err := nc.Write(step.send); err != nil {
			t.Fatal(err)
		}
		out = append(out, upToReady(t, nc, step.readies)...)
	}
	// So what is counted at the client's end is, before it is looked at.
	_ = nc.(*net.TCPConn).CloseWrite()
	rest, err := io.ReadAll(nc)
	if err != nil {
		t.Fatal(err)
	}
	return append(out, rest...)
}

// upToReady reads up to so many ReadyForQuery, or the end.
func upToReady(t *testing.T, r io.Reader, n int) (out []byte) {
	t.Helper()
	for n > 0 {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err == io.EOF {
			return append(out, "the end"...)
		} else if err != nil {
			t.Fatalf("after %q: %v", out, err)
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(r, body); err != nil {
			t.Fatal(err)
		}
		out = append(append(out, head[:]...), body...)
		if wire.Type(head[0]) == wire.TypeReadyForQuery {
			n--
		}
	}
	return out
}

const behind = "behind a query"

func exchanges(t *testing.T) map[string]exchange {
	query := func(sql string) []byte { return encoded(t, &wire.Query{SQL: sql}) }
	enc := func(m ...wire.Message) []byte { return encoded(t, m...) }
	sync := enc(&wire.Sync{})
	series := func(sql string) []byte {
		return enc(&wire.Parse{SQL: sql}, &wire.Bind{}, &wire.Describe{Kind: wire.PortalKind}, &wire.Execute{}, &wire.Sync{})
	}
	all := map[string]exchange{
		"named portal":         exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT 1"}, &wire.Bind{Portal: "p"}, &wire.Describe{Kind: wire.PortalKind, Name: "p"}, &wire.Execute{Portal: "p"}, &wire.Sync{})),
		"described statement":  exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT $1::int"}, &wire.Describe{Kind: wire.StatementKind}, &wire.Sync{})),
		"parsed, then bound":   exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT 1"}, &wire.Sync{})).then(1, enc(&wire.Bind{}, &wire.Execute{}, &wire.Sync{})),
		"bound twice":          exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT 1"}, &wire.Bind{}, &wire.Execute{}, &wire.Bind{}, &wire.Execute{}, &wire.Sync{})),
		"bound after a query":  exchange{}.then(1, series("SELECT 1")).then(1, query("SELECT 2")).then(1, enc(&wire.Bind{}, &wire.Execute{}, &wire.Sync{})),
		"bound after a series": exchange{}.then(1, series("SELECT 1")).then(1, series("SELECT 2")).then(1, enc(&wire.Bind{}, &wire.Execute{}, &wire.Sync{})),
		"bound without":        exchange{}.then(1, enc(&wire.Bind{}, &wire.Execute{}, &wire.Sync{})),
		"other names":          exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT 1"}, &wire.Bind{Statement: "x"}, &wire.Execute{}, &wire.Sync{})).then(1, series("SELECT 1")),
		"rows left":            exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT a FROM kept"}, &wire.Bind{}, &wire.Execute{MaxRows: 2}, &wire.Sync{})).then(1, query("SELECT 1")),
		"executed twice":       exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT a FROM kept"}, &wire.Bind{}, &wire.Execute{MaxRows: 2}, &wire.Execute{}, &wire.Sync{})),
		"no portal":            exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT 1"}, &wire.Execute{Portal: "x"}, &wire.Sync{})).then(1, query("SELECT 1")),
		"wrong parameters":     exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT $1::int"}, &wire.Bind{}, &wire.Execute{}, &wire.Sync{})).then(1, series("SELECT 1")),
		"parameters":           exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT $1::int + 1"}, &wire.Bind{Params: [][]byte{[]byte("41")}}, &wire.Execute{}, &wire.Sync{})),
		"closed":               exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT 1"}, &wire.Bind{}, &wire.Execute{}, &wire.Close{Kind: wire.StatementKind}, &wire.Sync{})).then(1, enc(&wire.Bind{}, &wire.Sync{})),
		"flushed":              exchange{}.then(0, enc(&wire.Parse{SQL: "SELECT 1"}, &wire.Flush{})).then(1, enc(&wire.Bind{}, &wire.Execute{}, &wire.Sync{})),
		"named statement":      exchange{}.then(1, enc(&wire.Parse{Name: "n", SQL: "SELECT 1"}, &wire.Sync{})).then(1, series("SELECT 2")).then(1, enc(&wire.Bind{Statement: "n"}, &wire.Execute{}, &wire.Sync{})),
		"syncs only":           exchange{}.then(1, sync).then(2, sync, sync),
		"many at once":         exchange{}.then(6, query("SELECT 1"), series("SELECT 2"), query("SELECT 1/0"), series("SELECT 1/0"), query("SELECT 3"), sync),
		"behind a series":      exchange{}.then(1, series("SELECT 1"), query("SELECT 2")[:7]).then(1, query("SELECT 2")[7:]),
		behind:                 exchange{}.then(0, query("SELECT pg_sleep(0.05)")).then(2, query("SELECT 2")),
		"by the byte":          exchange{}.then(0, series("SELECT 1")[:3]).then(0, series("SELECT 1")[3:20]).then(1, series("SELECT 1")[20:]).then(1, query("SELECT 1")),
		"transaction":          exchange{}.then(1, query("BEGIN")).then(1, query("SELECT 1")).then(1, series("SELECT 2")).then(1, query("SELECT 1/0")).then(1, series("SELECT 3")).then(1, query("COMMIT")).then(1, query("SELECT 4")),
		"begun in a series":    exchange{}.then(1, series("BEGIN")).then(1, series("INSERT INTO gathers VALUES (-1)")).then(1, series("ROLLBACK")),
		"parameter status":     exchange{}.then(1, query("SET TimeZone TO 'Asia/Tokyo'")).then(1, query("SELECT 1")).then(1, query("SHOW TimeZone")).then(1, query("SELECT set_config('TimeZone', 'UTC', false)")).then(1, query("SHOW TimeZone")),
		"copies":               exchange{}.then(1, query("COPY kept TO STDOUT")).then(1, query("COPY gathers FROM STDIN"), enc(&wire.CopyFail{Message: "no"})).then(1, query("SELECT 1")),
		"copies in a series":   exchange{}.then(1, series("COPY kept TO STDOUT")).then(1, query("SELECT 1")),
		"wrong length":         exchange{}.then(1, []byte("Q\x00\x00\x00\x03SELECT 1\x00")),
		"no end":               exchange{}.then(1, []byte("Q\x00\x00\x00\x0cSELECT 1")),
		"an end within":        exchange{}.then(1, []byte("Q\x00\x00\x00\x0dSEL\x00CT 1\x00")),
		"empty":                exchange{}.then(1, []byte("Q\x00\x00\x00\x04")),
		"a long Sync":          exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT 1"}), []byte("S\x00\x00\x00\x05x")),
		"an endless name":      exchange{}.then(1, enc(&wire.Parse{SQL: "SELECT 1"}), []byte("B\x00\x00\x00\x06xx"), sync),
		"an unknown message":   exchange{}.then(1, []byte("y\x00\x00\x00\x04")),
	}
	for _, sql := range []string{
		"SELECT 1", "select 1;", "SELECT 1; SELECT 2", "SELECT", "SELECT 1/0", "SELEC 1", "", ";", "SELECT a FROM kept WHERE a > 3", "TABLE kept", "VALUES (1), (2)",
		"SELECT repeat('x', 300000)", "SELECT generate_series(1, 30000)", "SELECT NULL WHERE false", "UPDATE changes SET a = a", "DELETE FROM changes WHERE a > 100",
		"UPDATE changes SET a = a WHERE a = 3 RETURNING a", "INSERT INTO gathers VALUES (1), (2)", "INSERT INTO gathers SELECT 1 WHERE false", "INSERT INTO kept VALUES ('x')", "SHOW server_version",
		"WITH x AS (SELECT 1) SELECT * FROM x", "DO $$ BEGIN RAISE NOTICE 'hear'; END $$", "SELECT pg_notify('nobody', 'x')", "EXPLAIN SELECT 1", "START TRANSACTION; COMMIT",
		"FETCH 1 FROM nothing", "COMMIT", "SELECT pg_advisory_xact_lock(1)", "SELECT 1 INTO TEMP x; DROP TABLE x", "CREATE TABLE y (); DROP TABLE y", "SELECT E'\\x00'",
		"SELECT '" + strings.Repeat("y", 70000) + "'", "MERGE INTO kept USING gathers ON false WHEN MATCHED THEN DELETE", "SELECT 'é', U&\"a\" FROM (SELECT 1 AS a) x",
	} {
		// Each twice, and something behind it: what is left of it would be found by that.
		all["query "+sql] = exchange{}.then(1, query(sql)).then(1, query(sql)).then(1, query("SELECT 1"))
		all["series "+sql] = exchange{}.then(1, series(sql)).then(1, series(sql)).then(1, series("SELECT 1"))
	}
	return all
}
