package walsender

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// ServerVersion is the version whose ways a [Publisher] has. A server in front of it reports
// this as server_version, so that subscribers ask what such a server can answer.
const ServerVersion = "14.0"

// SessionOptions describe a client's connection.
type SessionOptions struct {
	PID      uint32 // unique among the publisher's sessions, and not 0
	Database string
	// Timeout is as in [StreamOptions].
	Timeout time.Duration
}

// A Session answers the queries of one replication connection, of the simple protocol. It
// is not safe for concurrent use.
type Session struct {
	p        *Publisher
	o        SessionOptions
	out      Response // of the current query
	status   wire.TxStatus
	snapshot map[uint32]*table // made by a slot with snapshot 'use', until the transaction ends
}

// Session returns a session for a client that has been let in. The caller closes it.
func (p *Publisher) Session(o SessionOptions) *Session {
	return &Session{p: p, o: o, status: wire.TxIdle}
}

// TxStatus returns what ReadyForQuery says.
func (s *Session) TxStatus() wire.TxStatus { return s.status }

// Close drops what goes with the connection.
func (s *Session) Close() { s.p.leave(s.o.PID) }

// Query answers one query string. What is sent to the client, but for ReadyForQuery and the
// error, goes through out. An error that is a [*wire.Error] is for the client; after
// others the connection is of no more use. START_REPLICATION returns when the stream ends.
func (s *Session) Query(ctx context.Context, sql string, out Response) error {
	s.out = out
	err := s.query(ctx, sql)
	if err != nil && s.status == wire.TxActive {
		s.status = wire.TxFailed
	}
	return err
}

func (s *Session) query(ctx context.Context, sql string) error {
	command, err := ParseCommand(sql)
	if err != nil {
		return err
	}
	switch c := command.(type) {
	case nil:
		return s.sql(sql)
	case *IdentifySystem:
		return s.rows("IDENTIFY_SYSTEM", fields("systemid", oidText, "timeline", oidInt4, "xlogpos", oidText, "dbname", oidText),
			row(s.p.systemID, "1", s.p.Position().String(), s.o.Database))
	case *Show:
		return s.show(c.Name)
	case *CreateSlot:
		return s.createSlot(c)
	case *DropSlot:
		if err := s.p.dropSlot(ctx, c.Slot, s.o.PID, c.Wait); err != nil {
			return err
		}
		return s.out.Complete("DROP_REPLICATION_SLOT")
	case *StartReplication:
		return s.start(ctx, c)
	}
	return wire.Errorf(wire.CodeFeatureNotSupported, "this server publishes changes only: %s is not supported", firstWord(sql))
}

func firstWord(sql string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(sql), " ")
	return word
}

func (s *Session) createSlot(c *CreateSlot) error {
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
	at, snapshot, err := s.p.createSlot(c.Slot, c.Temporary, s.o.PID, use)
	if err != nil {
		return err
	}
	s.snapshot = snapshot
	return s.rows("CREATE_REPLICATION_SLOT",
		fields("slot_name", oidText, "consistent_point", oidText, "snapshot_name", oidText, "output_plugin", oidText),
		[][]byte{[]byte(c.Slot), []byte(at.String()), nil, []byte(c.Plugin)})
}

// start streams until the subscriber ends it.
func (s *Session) start(ctx context.Context, c *StartReplication) error {
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
	at, err := s.p.acquire(c.Slot, s.o.PID, c.Start)
	if err != nil {
		return err
	}
	defer s.p.release(c.Slot, s.o.PID)
	link, err := s.out.CopyBoth()
	if err != nil {
		return err
	}
	err = Stream(ctx, link, s.p.transactions(at, plugin.Publications), StreamOptions{
		Relation: s.p.relation, Start: at, Messages: plugin.Messages, Timeout: s.o.Timeout,
		Confirmed: func(m wire.StandbyStatus) { s.p.confirm(c.Slot, m.Flushed) },
	})
	if err != nil {
		return err
	}
	if err := link.Close(); err != nil {
		return err
	}
	// One ends the COPY and one the command: libpqwalreceiver waits for both.
	if err := s.out.Complete("COPY 0"); err != nil {
		return err
	}
	return s.out.Complete("START_REPLICATION")
}

func (s *Session) show(name string) error {
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
func (s *Session) rows(tag string, f []wire.Field, rows ...[][]byte) error {
	if err := s.out.Columns(f); err != nil {
		return err
	}
	for _, r := range rows {
		if err := s.out.Row(r); err != nil {
			return err
		}
	}
	if tag == "SELECT" {
		tag = fmt.Sprintf("SELECT %d", len(rows))
	}
	return s.out.Complete(tag)
}
