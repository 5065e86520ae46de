package replication

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// SubscribeOptions say what a [Subscriber] asks for.
type SubscribeOptions struct {
	Slot         string
	Publications []string
	// Start is where to begin: what comes before has been dealt with. A position before
	// the slot's own stands for that one, so 0 goes on where the last subscriber has
	// acknowledged.
	Start wire.LSN
	// Version is the version of pgoutput, 1 to 4. Default: the newest that the server has.
	Version int
	// Streaming is "on" to get large transactions while they run (from PostgreSQL 14 on), or
	// "parallel" to be told more of those that are rolled back (16).
	Streaming string
	// TwoPhase gets transactions when they are prepared (15). The slot has to be made so.
	TwoPhase bool
	// Binary gets values in binary format where their types have one (14).
	Binary bool
	// Messages gets what pg_logical_emit_message wrote (14).
	Messages bool
	// Origin is "none" to leave out what came to the server by replication itself (16).
	Origin string
	// StatusInterval is as in [PhysicalOptions].
	StatusInterval time.Duration
}

// A Change is one message of a subscription.
type Change struct {
	// Message is what happened. [pgoutput.Relation], [pgoutput.Type] and
	// [pgoutput.StreamStop] come too, though their effect is in the other fields.
	Message pgoutput.Message
	// Relation describes the table of an Insert, Update or Delete.
	Relation *pgoutput.Relation
	// XID is the transaction that the change is part of. Inside a segment of a streamed
	// transaction it may be a subtransaction of [Change.Stream].
	XID uint32
	// Stream is the streamed transaction whose segment is open, or 0.
	Stream uint32
	// LSN is the change's position.
	LSN wire.LSN
	// Ack is what to acknowledge once this change and all before it are safe. It is 0 where
	// that is not possible, which is within a transaction.
	Ack wire.LSN
}

// A Subscriber receives the changes of tables that are in publications.
//
// A change comes again, after the connection was lost and made anew, until it has been
// acknowledged, or the server has heard of it at the latest a status interval later; so
// nothing is lost, and a subscriber that keeps the position together with what it makes
// of the changes, and passes it as Start, gets everything once.
type Subscriber struct {
	stream    *Stream
	dec       pgoutput.Decoder
	relations map[uint32]*pgoutput.Relation
	xid       uint32 // of the open transaction
	segment   uint32 // of the open segment

	mu        sync.Mutex
	delivered wire.LSN // Ack of the last change that had one
	acked     wire.LSN
}

// slotPatience is how long Subscribe waits for a slot that is in use: the server notices only
// at its next write that a subscriber was killed.
const slotPatience = 10 * time.Second

// Subscribe begins to receive changes on a [Logical] connection, from an existing slot. It
// waits some seconds for a slot that another connection still has (55006).
func (c *Conn) Subscribe(ctx context.Context, o SubscribeOptions) (*Subscriber, error) {
	plugin, err := o.plugin(c.version)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	s := &Subscriber{relations: map[uint32]*pgoutput.Relation{}, delivered: o.Start, acked: o.Start}
	for began := time.Now(); ; {
		s.stream, err = c.StartLogical(ctx, LogicalOptions{
			Slot: o.Slot, Start: o.Start, Plugin: plugin, StatusInterval: o.StatusInterval,
		})
		if e, ok := errors.AsType[*wire.Error](err); !ok || e.Code != wire.CodeObjectInUse || time.Since(began) > slotPatience {
			break
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("subscribe: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return s, nil
}

// NewestVersion returns the newest version of pgoutput that a server has.
func NewestVersion(serverVersion int) int {
	switch {
	case serverVersion >= 160000:
		return 4
	case serverVersion >= 150000:
		return 3
	case serverVersion >= 140000:
		return 2
	}
	return 1
}

// plugin returns the options for a server of the given version, or what it cannot do.
func (o SubscribeOptions) plugin(server int) ([]wire.Param, error) {
	version := o.Version
	if version == 0 {
		version = NewestVersion(server)
	}
	var errs []error
	need := func(want bool, what string, major, pgoutput int) {
		if want && (server < major*10000 || version < pgoutput) {
			errs = append(errs, fmt.Errorf("%s needs PostgreSQL %d and pgoutput version %d", what, major, pgoutput))
		}
	}
	need(true, "pgoutput", 10, 1)
	need(version > NewestVersion(server), fmt.Sprintf("pgoutput version %d", version), version+12, version)
	need(o.Streaming == "on", "streaming", 14, 2)
	need(o.Streaming == "parallel", "streaming in parallel", 16, 4)
	need(o.TwoPhase, "two-phase", 15, 3)
	need(o.Binary, "binary", 14, 1)
	need(o.Messages, "messages", 14, 1)
	need(o.Origin != "", "origin", 16, 1)
	if len(o.Publications) == 0 {
		errs = append(errs, errors.New("no publication is named"))
	}
	switch o.Streaming {
	case "", "on", "parallel":
	default:
		errs = append(errs, fmt.Errorf("streaming %q: use on or parallel", o.Streaming))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	names := make([]string, len(o.Publications))
	for i, p := range o.Publications {
		names[i] = QuoteIdent(p)
	}
	params := []wire.Param{
		{Name: "proto_version", Value: strconv.Itoa(version)},
		{Name: "publication_names", Value: strings.Join(names, ",")},
	}
	add := func(on bool, name, value string) {
		if on {
			params = append(params, wire.Param{Name: name, Value: value})
		}
	}
	add(o.Streaming != "", "streaming", o.Streaming)
	add(o.TwoPhase, "two_phase", "on")
	add(o.Binary, "binary", "true")
	add(o.Messages, "messages", "true")
	add(o.Origin != "", "origin", o.Origin)
	return params, nil
}

// Next waits for the next change. It is valid until the next call. Errors are as those of
// [Stream.Next].
func (s *Subscriber) Next(ctx context.Context) (Change, error) {
	for {
		e, err := s.stream.Next(ctx)
		if err != nil {
			return Change{}, err
		}
		if e.Keepalive != nil {
			s.idle(e.Keepalive.ServerEnd)
			continue
		}
		m, err := s.dec.Decode(e.XLogData.Data)
		if err != nil {
			return Change{}, s.stream.broken(err)
		}
		ch := Change{Message: m, LSN: e.XLogData.Start}
		if err := s.follow(&ch); err != nil {
			return Change{}, s.stream.broken(err)
		}
		if ch.Ack != 0 {
			s.mu.Lock()
			s.delivered = max(s.delivered, ch.Ack)
			s.mu.Unlock()
		}
		return ch, nil
	}
}

// follow keeps track of transactions and relations, and fills in what ch has of them.
func (s *Subscriber) follow(ch *Change) error {
	relation := func(oid uint32) error {
		if ch.Relation = s.relations[oid]; ch.Relation == nil {
			return wire.Errorf(wire.CodeProtocolViolation, "change of relation %d, which was not described", oid)
		}
		return nil
	}
	var xid uint32
	var err error
	switch m := ch.Message.(type) {
	case *pgoutput.Begin:
		s.xid = m.XID
	case *pgoutput.BeginPrepare:
		s.xid = m.XID
	case *pgoutput.StreamStart:
		s.segment = m.XID
	case *pgoutput.Relation:
		s.relations[m.OID], xid = m, m.XID
	case *pgoutput.Type:
		xid = m.XID
	case *pgoutput.Insert:
		xid, err = m.XID, relation(m.RelationOID)
	case *pgoutput.Update:
		xid, err = m.XID, relation(m.RelationOID)
	case *pgoutput.Delete:
		xid, err = m.XID, relation(m.RelationOID)
	case *pgoutput.Truncate:
		xid = m.XID
	case *pgoutput.LogicalMessage:
		xid = m.XID
		if !m.Transactional && s.xid == 0 && s.segment == 0 {
			// Its position is that of its beginning; one further on it is not sent again.
			ch.Ack = m.LSN + 1
		}
	case *pgoutput.Commit:
		ch.Ack = m.EndLSN
	case *pgoutput.Prepare:
		ch.Ack = m.EndLSN
	case *pgoutput.StreamCommit:
		xid, ch.Ack = m.XID, m.EndLSN
	case *pgoutput.StreamAbort:
		xid = m.XID
	case *pgoutput.StreamPrepare:
		xid, ch.Ack = m.XID, m.EndLSN
	case *pgoutput.CommitPrepared:
		xid, ch.Ack = m.XID, m.EndLSN
	case *pgoutput.RollbackPrepared:
		xid, ch.Ack = m.XID, m.EndLSN
	}
	ch.Stream = s.segment
	if ch.XID = xid; xid == 0 {
		ch.XID = max(s.xid, s.segment) // only one of them is open
	}
	switch ch.Message.(type) {
	case *pgoutput.Commit, *pgoutput.Prepare:
		s.xid = 0
	case *pgoutput.StreamStop:
		s.segment = 0
	}
	return err
}

// idle lets the server forget what did not concern the subscription, when all that did has
// been acknowledged.
func (s *Subscriber) idle(serverEnd wire.LSN) {
	s.mu.Lock()
	ok := s.xid == 0 && s.acked >= s.delivered && serverEnd > s.acked
	if ok {
		s.acked = serverEnd
	}
	s.mu.Unlock()
	if ok {
		_ = s.stream.Acknowledge(serverEnd, false) // Next tells of an error
	}
}

// Acknowledge says that all changes up to [Change.Ack] are safe. The server hears of it at
// the latest after the status interval; with now at once. It may be called from any
// goroutine.
func (s *Subscriber) Acknowledge(lsn wire.LSN, now bool) error {
	s.mu.Lock()
	s.acked = max(s.acked, lsn)
	s.mu.Unlock()
	return s.stream.Acknowledge(lsn, now)
}

// Acknowledged returns the last position that was acknowledged.
func (s *Subscriber) Acknowledged() wire.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

// Stop ends the subscription in order; the connection is then free for other commands.
func (s *Subscriber) Stop(ctx context.Context) error { return s.stream.Stop(ctx) }
