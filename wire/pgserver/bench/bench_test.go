package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
	psqlwire "github.com/jeroenrinzema/psql-wire"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// names are the columns of each row; the first one is a number.
var names = []string{"id", "name", "day", "price", "note"}

func row(i int) []any {
	return []any{int64(i), "the name of it", "2024-02-29", "3.25", "some words"}
}

func listen(b *testing.B) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// ours serves "n" with n rows.
func ours(b *testing.B) string {
	srv := &pgserver.Server{Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		n, err := strconv.Atoi(q.SQL)
		if err != nil {
			return err
		}
		cols := []pgserver.Column{pgserver.Int8(names[0])}
		for _, name := range names[1:] {
			cols = append(cols, pgserver.Text(name))
		}
		if err := w.Columns(cols...); err != nil {
			return err
		}
		for i := range n {
			if err := w.Row(row(i)...); err != nil {
				return err
			}
		}
		return nil
	})}
	l := listen(b)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	b.Cleanup(func() {
		if err := srv.Close(); err != nil {
			b.Error(err)
		}
		<-done
	})
	return l.Addr().String()
}

func theirs(b *testing.B) string {
	cols := psqlwire.Columns{{Name: names[0], Oid: pgtype.Int8OID, Width: 8}}
	for _, name := range names[1:] {
		cols = append(cols, psqlwire.Column{Name: name, Oid: pgtype.TextOID, Width: -1})
	}
	parse := func(_ context.Context, q psqlwire.Query) (psqlwire.PreparedStatements, error) {
		n, err := strconv.Atoi(q.Query)
		if err != nil {
			return nil, err
		}
		return psqlwire.Prepared(psqlwire.NewStatement(func(_ context.Context, w psqlwire.DataWriter, _ []psqlwire.Parameter) error {
			for i := range n {
				if err := w.Row(row(i)); err != nil {
					return err
				}
			}
			return w.Complete("SELECT " + strconv.Itoa(n))
		}, psqlwire.WithColumns(cols))), nil
	}
	srv, err := psqlwire.NewServer(parse, psqlwire.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		b.Fatal(err)
	}
	l := listen(b)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	b.Cleanup(func() {
		if err := srv.Close(); err != nil {
			b.Error(err)
		}
		<-done
	})
	return l.Addr().String()
}

// client is a connection that reads no more than it must.
type client struct {
	nc  net.Conn
	buf []byte
}

func dial(addr string) (*client, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{nc: nc, buf: make([]byte, 256<<10)}
	m := wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "u"}}}
	return c, c.roundTrip(m.AppendTo(nil))
}

// roundTrip sends and reads up to ReadyForQuery.
func (c *client) roundTrip(b []byte) error {
	if _, err := c.nc.Write(b); err != nil {
		return err
	}
	var tail []byte
	for {
		n, err := c.nc.Read(c.buf)
		if err != nil {
			return fmt.Errorf("wait for ReadyForQuery: %w", err)
		}
		tail = append(tail, c.buf[max(0, n-6):n]...)
		tail = tail[max(0, len(tail)-6):]
		if string(tail) == "Z\x00\x00\x00\x05I" {
			return nil
		}
	}
}

var servers = []struct {
	name  string
	serve func(b *testing.B) string
}{{"ours", ours}, {"psql-wire", theirs}}

// BenchmarkWireRows streams rows of 5 values to a client that counts bytes. One iteration is one
// row; its allocations are those of server and handler.
func BenchmarkWireRows(b *testing.B) {
	for _, s := range servers {
		b.Run(s.name, func(b *testing.B) {
			c, err := dial(s.serve(b))
			if err != nil {
				b.Fatal(err)
			}
			defer c.nc.Close()
			b.ReportAllocs()
			b.ResetTimer()
			if err := c.roundTrip((&wire.Query{SQL: strconv.Itoa(b.N)}).AppendTo(nil)); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// BenchmarkWireQuery is the round trip of a query with one row.
func BenchmarkWireQuery(b *testing.B) {
	for _, s := range servers {
		b.Run(s.name, func(b *testing.B) {
			c, err := dial(s.serve(b))
			if err != nil {
				b.Fatal(err)
			}
			defer c.nc.Close()
			request := (&wire.Query{SQL: "1"}).AppendTo(nil)
			b.ReportAllocs()
			for b.Loop() {
				if err := c.roundTrip(request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWireConnect is a connection with one query.
func BenchmarkWireConnect(b *testing.B) {
	for _, s := range servers {
		b.Run(s.name, func(b *testing.B) {
			addr := s.serve(b)
			request := (&wire.Query{SQL: "1"}).AppendTo(nil)
			for b.Loop() {
				c, err := dial(addr)
				if err == nil {
					err = c.roundTrip(request)
				}
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.WriteString(c.nc, "X\x00\x00\x00\x04")
				c.nc.Close()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "conns/s")
		})
	}
}
