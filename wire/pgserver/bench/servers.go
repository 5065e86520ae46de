package main

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strconv"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
	psqlwire "github.com/jeroenrinzema/psql-wire"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// names are the columns of each row, all of them text but for the first.
func names() []string { return []string{"id", "name", "day", "price", "note"} }

// value is a row: 5 columns with 46 bytes, as a table of facts has them.
func value() [][]byte {
	return [][]byte{[]byte("1234567"), []byte("the name of it"), []byte("2024-02-29"), []byte("3.25"), []byte("some words")}
}

// servers answer the query "n" with n rows.
func servers() map[string]func(net.Listener) error {
	return map[string]func(net.Listener) error{
		"hand": byHand, "raw": ours(rawRows), "row": ours(anyRows), "pgproto3": bare, "psql-wire": psqlWire,
	}
}

func ours(send func(w pgserver.ResponseWriter, n int) error) func(net.Listener) error {
	return func(l net.Listener) error {
		cols := []pgserver.Column{pgserver.Int8("id")}
		for _, name := range names()[1:] {
			cols = append(cols, pgserver.Text(name))
		}
		srv := &pgserver.Server{MaxPreAuthConns: -1, Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
			n, err := count(q.SQL)
			if err != nil {
				return err
			}
			if err := w.Columns(cols...); err != nil {
				return err
			}
			return send(w, n)
		})}
		return srv.Serve(l)
	}
}

func rawRows(w pgserver.ResponseWriter, n int) error {
	row := value()
	for range n {
		if err := w.RawRow(row); err != nil {
			return err
		}
	}
	return nil
}

func anyRows(w pgserver.ResponseWriter, n int) error {
	for range n {
		if err := w.Row(1234567, "the name of it", "2024-02-29", "3.25", "some words"); err != nil {
			return err
		}
	}
	return nil
}

func accept(l net.Listener, serve func(net.Conn) error) error {
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer nc.Close()
			_ = serve(nc) // it ends when the client hangs up
		}()
	}
}

func description() []byte {
	m := wire.RowDescription{}
	for i, name := range names() {
		oid := uint32(pgtype.TextOID)
		if i == 0 {
			oid = pgtype.Int8OID
		}
		m.Fields = append(m.Fields, wire.Field{Name: name, TypeOID: oid, TypeSize: -1, TypeMod: -1})
	}
	return m.AppendTo(nil)
}

// byHand is as fast as it can be: one buffer, sent when 64 KiB are in it.
func byHand(l net.Listener) error {
	head, row := description(), value()
	return accept(l, func(nc net.Conn) error {
		buf := make([]byte, 0, 128<<10)
		in := make([]byte, 4096)
		if _, err := nc.Read(in); err != nil { // the startup packet comes whole from our client
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
			rows, err := count(string(in[5:n]))
			if err != nil {
				return err
			}
			buf = append(buf[:0], head...)
			for range rows {
				at := len(buf) + 1
				buf = append(buf, 'D', 0, 0, 0, 0, 0, byte(len(row)))
				for _, v := range row {
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
	})
}

// bare uses pgx's messages, and sends every 64 KiB and before it waits.
func bare(l net.Listener) error {
	return accept(l, func(nc net.Conn) error {
		be := pgproto3.NewBackend(nc, nc)
		if _, err := be.ReceiveStartupMessage(); err != nil {
			return err
		}
		be.Send(&pgproto3.AuthenticationOk{})
		be.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "15.0"})
		be.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if err := be.Flush(); err != nil {
			return err
		}
		s := &bareSession{be: be}
		for {
			m, err := be.Receive()
			if err == nil {
				err = s.answer(m)
			}
			if err != nil {
				return err
			}
		}
	})
}

type bareSession struct {
	be *pgproto3.Backend
	n  int
}

func (s *bareSession) answer(m pgproto3.FrontendMessage) error {
	var err error
	switch m := m.(type) {
	case *pgproto3.Query:
		if s.n, err = count(m.String); err != nil {
			return err
		}
		s.describe()
		if err := s.rows(); err != nil {
			return err
		}
		s.be.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		return s.be.Flush()
	case *pgproto3.Parse:
		s.n, err = count(m.Query)
		s.be.Send(&pgproto3.ParseComplete{})
		return err
	case *pgproto3.Bind:
		s.be.Send(&pgproto3.BindComplete{})
	case *pgproto3.Describe:
		if m.ObjectType == 'S' {
			s.be.Send(&pgproto3.ParameterDescription{})
		}
		s.describe()
	case *pgproto3.Execute:
		return s.rows()
	case *pgproto3.Sync:
		s.be.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		return s.be.Flush()
	default:
		return io.EOF
	}
	return nil
}

func (s *bareSession) describe() {
	m := &pgproto3.RowDescription{}
	for _, name := range names() {
		m.Fields = append(m.Fields, pgproto3.FieldDescription{Name: []byte(name), DataTypeOID: pgtype.TextOID, DataTypeSize: -1, TypeModifier: -1})
	}
	s.be.Send(m)
}

func (s *bareSession) rows() error {
	row := &pgproto3.DataRow{Values: value()}
	size := 0
	for range s.n {
		s.be.Send(row)
		if size += 73; size >= 64<<10 {
			if err := s.be.Flush(); err != nil {
				return err
			}
			size = 0
		}
	}
	s.be.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT " + strconv.Itoa(s.n))})
	return nil
}

func psqlWire(l net.Listener) error {
	cols := psqlwire.Columns{{Name: "id", Oid: pgtype.Int8OID, Width: 8}}
	for _, name := range names()[1:] {
		cols = append(cols, psqlwire.Column{Name: name, Oid: pgtype.TextOID, Width: -1})
	}
	parse := func(_ context.Context, q psqlwire.Query) (psqlwire.PreparedStatements, error) {
		n, err := count(q.Query)
		if err != nil {
			return nil, err
		}
		return psqlwire.Prepared(psqlwire.NewStatement(func(_ context.Context, w psqlwire.DataWriter, _ []psqlwire.Parameter) error {
			for range n {
				if err := w.Row([]any{int64(1234567), "the name of it", "2024-02-29", "3.25", "some words"}); err != nil {
					return err
				}
			}
			return w.Complete("SELECT " + strconv.Itoa(n))
		}, psqlwire.WithColumns(cols))), nil
	}
	srv, err := psqlwire.NewServer(parse, psqlwire.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	return srv.Serve(l)
}
