package pgserver_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// The rows of the benchmark: 5 columns, 46 bytes of data, as a table of facts has them.
const benchColumns = 5

var benchRow = [][]byte{[]byte("1234567"), []byte("the name of it"), []byte("2024-02-29"), []byte("3.25"), []byte("some words")}

func benchCols() []pgserver.Column {
	return []pgserver.Column{pgserver.Int8("id"), pgserver.Text("name"), pgserver.Text("day"), pgserver.Text("price"), pgserver.Text("note")}
}

// rowsOf makes a handler that sends n rows for the query "n".
func rowsOf(send func(w pgserver.ResponseWriter, n int) error) pgserver.Handler {
	return pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		n, err := strconv.Atoi(q.SQL)
		if err != nil {
			return err
		}
		if err := w.Columns(benchCols()...); err != nil {
			return err
		}
		return send(w, n)
	})
}

type benchEncoder struct{ n int64 }

func (e *benchEncoder) AppendColumn(dst []byte, i int) ([]byte, bool) {
	if i == 0 {
		return strconv.AppendInt(dst, e.n, 10), true
	}
	return append(dst, benchRow[i]...), true
}

// BenchmarkWireRows streams rows through a socket to a client that only counts bytes, from our
// server's three ways to send a row and, as baselines in the same run, from a hand-written
// writer and from a pgproto3 server. One iteration is one row.
func BenchmarkWireRows(b *testing.B) {
	servers := []struct {
		name string
		url  func(b *testing.B) string
	}{
		{"RawRow", ours(func(w pgserver.ResponseWriter, n int) error {
			for range n {
				if err := w.RawRow(benchRow); err != nil {
					return err
				}
			}
			return nil
		})},
		{"EncodeRow", ours(func(w pgserver.ResponseWriter, n int) error {
			e := &benchEncoder{}
			for i := range n {
				e.n = int64(i)
				if err := w.EncodeRow(e); err != nil {
					return err
				}
			}
			return nil
		})},
		{"Row", ours(func(w pgserver.ResponseWriter, n int) error {
			row := []any{nil, "the name of it", "2024-02-29", "3.25", "some words"}
			for i := range n {
				row[0] = i // the one allocation
				if err := w.Row(row...); err != nil {
					return err
				}
			}
			return nil
		})},
		{"baseline-raw-writer", func(b *testing.B) string { return listen(b, serveRaw) }},
		{"baseline-pgproto3", func(b *testing.B) string { return listen(b, servePgproto3) }},
	}
	for _, s := range servers {
		b.Run(s.name, func(b *testing.B) {
			p := open(b, s.url(b))
			_ = p.nc.SetDeadline(time.Now().Add(time.Minute))
			buf := make([]byte, 256<<10)
			b.ReportAllocs()
			b.ResetTimer()
			p.send(&wire.Query{SQL: strconv.Itoa(b.N)})
			drainRows(b, p.nc, buf)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// drainRows reads up to ReadyForQuery, which ends the stream with these six bytes.
func drainRows(b *testing.B, r io.Reader, buf []byte) {
	var tail [6]byte
	for {
		n, err := r.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		if n >= 6 {
			copy(tail[:], buf[n-6:n])
		} else {
			copy(tail[:], tail[n:])
			copy(tail[6-n:], buf[:n])
		}
		if tail == [6]byte{'Z', 0, 0, 0, 5, 'I'} {
			return
		}
	}
}

func ours(send func(w pgserver.ResponseWriter, n int) error) func(b *testing.B) string {
	return func(b *testing.B) string { return addrOf(start(b, &pgserver.Server{Handler: rowsOf(send)})) }
}

// listen serves one connection by a function.
func listen(b *testing.B, serve func(net.Conn) error) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			_ = serve(nc) // it ends when the client hangs up
			nc.Close()
		}
	}()
	b.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// serveRaw is as fast as it can be by hand: one buffer, sent when 64 KiB are in it.
func serveRaw(nc net.Conn) error {
	buf := make([]byte, 0, 128<<10)
	in := make([]byte, 4096)
	if _, err := nc.Read(in); err != nil { // the startup packet comes whole from this client
		return err
	}
	buf = (&wire.AuthenticationOk{}).AppendTo(buf)
	buf = (&wire.ReadyForQuery{TxStatus: 'I'}).AppendTo(buf)
	for {
		if _, err := nc.Write(buf); err != nil {
			return err
		}
		n, err := nc.Read(in)
		if err != nil || in[0] != 'Q' {
			return err
		}
		rows, err := strconv.Atoi(string(in[5 : n-1]))
		if err != nil {
			return err
		}
		buf = rowDescription(buf[:0])
		for range rows {
			at := len(buf) + 1
			buf = append(buf, 'D', 0, 0, 0, 0, 0, benchColumns)
			for _, v := range benchRow {
				buf = binary.BigEndian.AppendUint32(buf, uint32(len(v)))
				buf = append(buf, v...)
			}
			binary.BigEndian.PutUint32(buf[at:], uint32(len(buf)-at))
			if len(buf) >= 64<<10 {
				if _, err := nc.Write(buf); err != nil {
					return err
				}
				buf = buf[:0]
			}
		}
		buf = (&wire.CommandComplete{Tag: "SELECT " + strconv.Itoa(rows)}).AppendTo(buf)
		buf = (&wire.ReadyForQuery{TxStatus: 'I'}).AppendTo(buf)
	}
}

func rowDescription(b []byte) []byte {
	m := wire.RowDescription{}
	for _, c := range benchCols() {
		m.Fields = append(m.Fields, wire.Field{Name: c.Name, TypeOID: c.Type, TypeSize: -1, TypeMod: -1})
	}
	return m.AppendTo(b)
}

// servePgproto3 uses pgx's messages and sends every 64 KiB.
func servePgproto3(nc net.Conn) error {
	be := pgproto3.NewBackend(nc, nc)
	if _, err := be.ReceiveStartupMessage(); err != nil {
		return err
	}
	be.Send(&pgproto3.AuthenticationOk{})
	be.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for {
		if err := be.Flush(); err != nil {
			return err
		}
		m, err := be.Receive()
		if err != nil {
			return err
		}
		q, ok := m.(*pgproto3.Query)
		if !ok {
			return nil
		}
		rows, err := strconv.Atoi(q.String)
		if err != nil {
			return err
		}
		be.Send(&pgproto3.RowDescription{})
		row := &pgproto3.DataRow{Values: benchRow}
		size := 0
		for range rows {
			be.Send(row)
			if size += 73; size >= 64<<10 {
				if err := be.Flush(); err != nil {
					return err
				}
				size = 0
			}
		}
		be.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT")})
		be.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	}
}

// BenchmarkWireQuery is the round trip of a query with one row: simple and prepared, ours and a
// pgproto3 server's.
func BenchmarkWireQuery(b *testing.B) {
	handler := pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		if err := w.Columns(pgserver.Int4("n")); err != nil {
			return err
		}
		return w.Row(1)
	})
	simple := []wire.Message{&wire.Query{SQL: "1"}}
	prepared := []wire.Message{&wire.Bind{Statement: "s"}, &wire.Describe{Kind: 'P'}, &wire.Execute{}, &wire.Sync{}}
	for name, send := range map[string][]wire.Message{"simple": simple, "prepared": prepared} {
		b.Run(name, func(b *testing.B) {
			p := open(b, addrOf(start(b, &pgserver.Server{Handler: handler})))
			_ = p.nc.SetDeadline(time.Now().Add(time.Minute))
			p.send(&wire.Parse{Name: "s", SQL: "1"}, &wire.Sync{})
			p.until('Z')
			roundTrips(b, p, send)
		})
	}
	b.Run("baseline-pgproto3", func(b *testing.B) {
		p := open(b, listen(b, servePgproto3))
		_ = p.nc.SetDeadline(time.Now().Add(time.Minute))
		roundTrips(b, p, simple)
	})
}

func roundTrips(b *testing.B, p *peer, send []wire.Message) {
	b.ReportAllocs()
	var request []byte
	for _, m := range send {
		request = m.AppendTo(request)
	}
	buf := make([]byte, 64<<10)
	for b.Loop() {
		if _, err := p.nc.Write(request); err != nil {
			b.Fatal(err)
		}
		drainRows(b, p.nc, buf)
	}
}

// BenchmarkWireConnect is connecting, one query and goodbye.
func BenchmarkWireConnect(b *testing.B) {
	for name, addr := range map[string]func(b *testing.B) string{
		"ours":              ours(func(w pgserver.ResponseWriter, n int) error { return nil }),
		"baseline-pgproto3": func(b *testing.B) string { return listen(b, servePgproto3) },
	} {
		b.Run(name, func(b *testing.B) {
			target := addr(b)
			hello := startup(wire.Version30)
			buf := make([]byte, 4096)
			request := (&wire.Query{SQL: "0"}).AppendTo(nil)
			bye := (&wire.Terminate{}).AppendTo(nil)
			for b.Loop() {
				nc, err := net.Dial("tcp", target)
				if err != nil {
					b.Fatal(err)
				}
				for _, m := range [][]byte{hello, request} {
					if _, err := nc.Write(m); err != nil {
						b.Fatal(err)
					}
					drainRows(b, nc, buf)
				}
				if _, err := nc.Write(bye); err != nil {
					b.Fatal(err)
				}
				nc.Close()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "conns/s")
		})
	}
}

// TestIdleMemory holds the promise of 16 KiB of heap for an idle connection, after it has been
// busy.
func TestIdleMemory(t *testing.T) {
	const n = 200
	addr := addrOf(start(t, &pgserver.Server{MaxPreAuthConns: -1, Handler: rowsOf(func(w pgserver.ResponseWriter, n int) error {
		for range n {
			if err := w.RawRow(benchRow); err != nil {
				return err
			}
		}
		return nil
	})}))
	hello, request := startup(wire.Version30), (&wire.Query{SQL: "2000"}).AppendTo(nil)
	again := (&wire.Query{SQL: "1"}).AppendTo(nil)
	buf := make([]byte, 64<<10)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	conns := make([]net.Conn, n)
	before := heap()
	for i := range conns {
		nc, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		conns[i] = nc
		for _, m := range [][]byte{hello, request, again} {
			if _, err := nc.Write(m); err != nil {
				t.Fatal(err)
			}
			if err := readyForQuery(nc, buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	per := (int64(heap()) - int64(before)) / n
	t.Logf("%d bytes of heap for an idle connection, both ends", per)
	if per > 16<<10 {
		t.Errorf("%d bytes of heap for an idle connection", per)
	}
	runtime.KeepAlive(conns)
}

func readyForQuery(nc net.Conn, buf []byte) error {
	for {
		n, err := nc.Read(buf)
		if err != nil {
			return fmt.Errorf("wait for ReadyForQuery: %w", err)
		}
		if n >= 6 && string(buf[n-6:n]) == "Z\x00\x00\x00\x05I" {
			return nil
		}
	}
}
