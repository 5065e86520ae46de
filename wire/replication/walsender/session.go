package walsender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// ServerVersion is the version whose ways a [Publisher] has. A server in front of it reports
// this as server_version, so that subscribers ask what such a server can answer.
const ServerVersion = "14.0"

// A Conn is a connection on which a client has been let in, with the startup parameter
// "replication" set to "database".
type Conn struct {
	Net      net.Conn
	Reader   *wire.Reader // of what the client sends
	Writer   *wire.Writer
	PID      uint32 // unique among the publisher's connections, and not 0
	Database string
	// Timeout is as in [StreamOptions].
	Timeout time.Duration
}

// A session is one connection to a publisher.
type session struct {
	p        *Publisher
	c        Conn
	status   wire.TxStatus
	snapshot map[uint32]*table // made by a slot with snapshot 'use', until the transaction ends
}

// Serve answers commands on c until the client leaves, which is no error, or ctx ends. It
// begins with ReadyForQuery. The caller closes the connection.
func (p *Publisher) Serve(ctx context.Context, c Conn) error {
	s := &session{p: p, c: c, status: wire.TxIdle}
	defer p.leave(c.PID)
	ready := true
	for {
		if ready {
			if err := c.Writer.Send(&wire.ReadyForQuery{TxStatus: s.status}); err != nil {
				return err
			}
			if err := c.Writer.Flush(); err != nil {
				return err
			}
		}
		f, err := s.read(ctx)
		if err == io.EOF || err == nil && f.Type == wire.TypeTerminate {
			return nil
		}
		if err != nil {
			return err
		}
		ready = true
		switch f.Type {
		case wire.TypeQuery:
			var q wire.Query
			if err = q.Decode(f.Body); err == nil {
				err = s.query(ctx, q.SQL)
			}
		case wire.TypeSync:
		case wire.TypeCopyData, wire.TypeCopyDone, wire.TypeCopyFail: // what is left of a stream
			ready = false
		default:
			err = s.skipToSync(ctx, f.Type)
		}
		if err != nil {
			if err := s.report(ctx, err); err != nil {
				return err
			}
		}
	}
}

func (s *session) read(ctx context.Context) (wire.Frame, error) {
	stop := interrupt(ctx, s.c.Net)
	defer stop()
	f, err := s.c.Reader.ReadFrame()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return f, err
}

// report tells the client of an error; it returns those that have ended the connection.
func (s *session) report(ctx context.Context, err error) error {
	var e *wire.Error
	var encode *wire.EncodeError
	if ctx.Err() != nil || !errors.As(err, &e) && !errors.As(err, &encode) {
		return err
	}
	if s.status == wire.TxActive {
		s.status = wire.TxFailed
	}
	return s.c.Writer.Send(wire.AsError(err).Response())
}

// skipToSync refuses the extended protocol.
func (s *session) skipToSync(ctx context.Context, t wire.Type) error {
	for {
		f, err := s.read(ctx)
		if err != nil {
			return err
		}
		if f.Type == wire.TypeSync {
			// As forbidden_in_wal_sender in tcop/postgres.c.
			return wire.Errorf(wire.CodeProtocolViolation, "extended query protocol not supported in a replication connection (%s)", wire.Frontend.Name(t))
		}
	}
}

// query answers one query string, without ReadyForQuery.
func (s *session) query(ctx context.Context, sql string) error {
	command, err := ParseCommand(sql)
	if err != nil {
		return err
	}
	switch c := command.(type) {
	case nil:
		return s.sql(sql)
	case *IdentifySystem:
		return s.rows("IDENTIFY_SYSTEM", fields("systemid", oidText, "timeline", oidInt4, "xlogpos", oidText, "dbname", oidText),
			row(s.p.systemID, "1", s.p.Position().String(), s.c.Database))
	case *Show:
		return s.show(c.Name)
	case *CreateSlot:
		return s.createSlot(c)
	case *DropSlot:
		if err := s.p.dropSlot(ctx, c.Slot, s.c.PID, c.Wait); err != nil {
			return err
		}
		return s.c.Writer.Send(&wire.CommandComplete{Tag: "DROP_REPLICATION_SLOT"})
	case *StartReplication:
		return s.start(ctx, c)
	}
	return wire.Errorf(wire.CodeFeatureNotSupported, "this server publishes changes only: %s is not supported", firstWord(sql))
}

func firstWord(sql string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(sql), " ")
	return word
}

func (s *session) createSlot(c *CreateSlot) error {
	if c.Plugin == "" {
		return wire.Errorf(wire.CodeFeatureNotSupported, "this server has no physical replication slots")
	}
	if c.Plugin != "pgoutput" {
		return wire.Errorf(wire.CodeUndefinedFile, "output plugin %q is not there: use pgoutput", c.Plugin)
	}
	use := false
	for _, o := range c.Options {
		switch {
		case o.Name == "snapshot" && o.Value == "use":
			if use = true; s.status != wire.TxActive {
				return wire.Errorf(wire.CodeInternalError, "CREATE_REPLICATION_SLOT ... (SNAPSHOT 'use') must be called inside a transaction")
			}
		case o.Name == "snapshot": // none is exported: nobody could import it
		default:
			return wire.Errorf(wire.CodeFeatureNotSupported, "option %q of replication slots is not supported", o.Name)
		}
	}
	at, snapshot, err := s.p.createSlot(c.Slot, c.Temporary, s.c.PID, use)
	if err != nil {
		return err
	}
	s.snapshot = snapshot
	return s.rows("CREATE_REPLICATION_SLOT",
		fields("slot_name", oidText, "consistent_point", oidText, "snapshot_name", oidText, "output_plugin", oidText),
		[][]byte{[]byte(c.Slot), []byte(at.String()), nil, []byte(c.Plugin)})
}

// start streams until the subscriber ends it.
func (s *session) start(ctx context.Context, c *StartReplication) error {
	if !c.Logical {
		return wire.Errorf(wire.CodeFeatureNotSupported, "this server streams logical changes only")
	}
	plugin, err := ParsePlugin(c.Options)
	if err != nil {
		return err
	}
	for _, name := range plugin.Publications {
		if !s.p.hasPublication(name) {
			return wire.Errorf(wire.CodeUndefinedObject, "publication %q does not exist", name)
		}
	}
	at, err := s.p.acquire(c.Slot, s.c.PID, c.Start)
	if err != nil {
		return err
	}
	defer s.p.release(c.Slot, s.c.PID)
	link := &connLink{nc: s.c.Net, r: s.c.Reader, w: s.c.Writer}
	if err := link.Send(&wire.CopyBothResponse{}); err != nil {
		return err
	}
	if err := link.Flush(); err != nil {
		return err
	}
	err = Stream(ctx, link, s.p.transactions(at, plugin.Publications), StreamOptions{
		Relation: s.p.relation, Start: at, Messages: plugin.Messages, Timeout: s.c.Timeout,
		Confirmed: func(m wire.StandbyStatus) { s.p.confirm(c.Slot, m.Flushed) },
	})
	if err != nil {
		return err
	}
	if err := link.finish(ctx); err != nil {
		return err
	}
	// One ends the COPY and one the command: libpqwalreceiver waits for both.
	if err := s.c.Writer.Send(&wire.CommandComplete{Tag: "COPY 0"}); err != nil {
		return err
	}
	return s.c.Writer.Send(&wire.CommandComplete{Tag: "START_REPLICATION"})
}

func (s *session) show(name string) error {
	value, ok := map[string]string{
		"server_version": ServerVersion, "server_encoding": "UTF8", "wal_level": "logical",
		"wal_segment_size": "16MB", "data_directory_mode": "0700",
	}[name]
	if !ok {
		return wire.Errorf(wire.CodeUndefinedObject, "unrecognized configuration parameter %q", name)
	}
	return s.rows("SHOW", fields(name, oidText), row(value))
}

// OIDs of the types that results have (pg_type.dat).
const (
	oidBool = 16
	oidName = 19
	oidInt2 = 21
	oidInt4 = 23
	oidText = 25
	oidOID  = 26
	oidChar = 18
)

// fields takes names and type OIDs in turn.
func fields(namesAndTypes ...any) []wire.Field {
	var fs []wire.Field
	for i := 0; i < len(namesAndTypes); i += 2 {
		fs = append(fs, wire.Field{Name: namesAndTypes[i].(string), TypeOID: uint32(namesAndTypes[i+1].(int)), TypeSize: -1, TypeMod: -1})
	}
	return fs
}

func row(values ...string) [][]byte {
	r := make([][]byte, len(values))
	for i, v := range values {
		r[i] = []byte(v)
	}
	return r
}

// rows sends a result.
func (s *session) rows(tag string, f []wire.Field, rows ...[][]byte) error {
	if err := s.c.Writer.Send(&wire.RowDescription{Fields: f}); err != nil {
		return err
	}
	for _, r := range rows {
		if err := s.c.Writer.Send(&wire.DataRow{Values: r}); err != nil {
			return err
		}
	}
	if tag == "SELECT" {
		tag = fmt.Sprintf("SELECT %d", len(rows))
	}
	return s.c.Writer.Send(&wire.CommandComplete{Tag: tag})
}
