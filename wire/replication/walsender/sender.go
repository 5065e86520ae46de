package walsender

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// A Link is the server's end of a stream in both directions, after CopyBothResponse. Send,
// Flush and Close are called by one goroutine at a time, and Receive by another.
type Link interface {
	// Send queues what goes into one CopyData.
	Send(data []byte) error
	// Flush sends what is queued.
	Flush() error
	// Receive waits for the next CopyData and returns what is in it, until the next call.
	// CopyDone is io.EOF.
	Receive() ([]byte, error)
	// Close sends CopyDone. The other side may go on until it has sent its own.
	Close() error
}

// An Interrupter is a [Link] whose Receive can be made to return an error at once. A link
// that is none is closed when a stream ends before the subscriber wants it, which then is
// waited for.
type Interrupter interface{ Interrupt() }

// A Transaction is what a subscriber gets at once.
type Transaction struct {
	XID        uint32
	CommitLSN  wire.LSN // where it committed
	EndLSN     wire.LSN // behind that: a later transaction commits here or further on
	CommitTime wire.Timestamp
	// Changes are Insert, Update, Delete and Truncate, and transactional LogicalMessages. A
	// transaction without changes is not sent, but it moves the stream's position.
	Changes []pgoutput.Message
}

// StreamOptions are what [Stream] needs to know besides the transactions.
type StreamOptions struct {
	// Relation describes a table. It is sent before the table's first change.
	Relation func(oid uint32) (*pgoutput.Relation, bool)
	// Start is where the stream begins: what comes before is confirmed.
	Start wire.LSN
	// Confirmed is called with each status that the subscriber sends. What it has flushed
	// need not be kept for it any longer.
	Confirmed func(wire.StandbyStatus)
	// Messages lets LogicalMessages through.
	Messages bool
	// Timeout is how long a subscriber may be silent (wal_sender_timeout). Default: one
	// minute. It is asked to say something after half of that.
	Timeout time.Duration
}

var errSubscriberDone = errors.New("the subscriber has ended the stream")

// Stream sends transactions to a subscriber by version 1 of pgoutput, which every
// subscriber understands whatever version it has asked for, until the subscriber ends the
// stream, which is no error, or ctx or the source ends. The source yields transactions in
// the order of their commits, waits for the next one, and ends when its ctx does.
//
// When it returns nil the link is still to be closed.
func Stream(ctx context.Context, link Link, source func(context.Context) iter.Seq2[*Transaction, error], o StreamOptions) error {
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &sender{link: link, o: o, sent: o.Start, relations: map[uint32]bool{}, heard: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	wg.Go(func() { cancel(s.receive()) })
	wg.Go(func() {
		if err := s.keepAlive(ctx); err != nil {
			cancel(err)
		}
	})
	err := s.send(ctx, source)
	cancel(err)
	if !errors.Is(context.Cause(ctx), errSubscriberDone) {
		s.interrupt()
	}
	wg.Wait()
	cause := context.Cause(ctx)
	if errors.Is(cause, errSubscriberDone) {
		return nil
	}
	if err == nil || errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}

// A sender is one run of Stream.
type sender struct {
	link      Link
	o         StreamOptions
	relations map[uint32]bool // that have been sent
	buf       []byte          // of a change
	frame     []byte          // of the message that has it
	heard     chan struct{}   // the subscriber has said something

	mu   sync.Mutex // guards sending and what follows; held for a whole transaction
	sent wire.LSN   // all before it has been sent
}

func (s *sender) send(ctx context.Context, source func(context.Context) iter.Seq2[*Transaction, error]) error {
	for tx, err := range source(ctx) {
		if err != nil {
			return err
		}
		if err := s.transaction(tx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// transaction sends one transaction. No keepalive comes in between: its position would
// confirm changes whose commit is still to come.
func (s *sender) transaction(tx *Transaction) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := false
	begin := func() error {
		if open {
			return nil
		}
		open = true
		return s.message(tx.CommitLSN, &pgoutput.Begin{FinalLSN: tx.CommitLSN, CommitTime: tx.CommitTime, XID: tx.XID})
	}
	for _, m := range tx.Changes {
		if _, ok := m.(*pgoutput.LogicalMessage); ok && !s.o.Messages {
			continue
		}
		err := begin()
		for _, oid := range relationsOf(m) {
			if err == nil {
				err = s.relation(tx.CommitLSN, oid)
			}
		}
		if err == nil {
			err = s.message(tx.CommitLSN, m)
		}
		if err != nil {
			return err
		}
	}
	if open {
		err := s.message(tx.EndLSN, &pgoutput.Commit{CommitLSN: tx.CommitLSN, EndLSN: tx.EndLSN, CommitTime: tx.CommitTime})
		if err == nil {
			err = s.link.Flush()
		}
		if err != nil {
			return err
		}
	}
	s.sent = max(s.sent, tx.EndLSN)
	return nil
}

func relationsOf(m pgoutput.Message) []uint32 {
	switch m := m.(type) {
	case *pgoutput.Insert:
		return []uint32{m.RelationOID}
	case *pgoutput.Update:
		return []uint32{m.RelationOID}
	case *pgoutput.Delete:
		return []uint32{m.RelationOID}
	case *pgoutput.Truncate:
		return m.RelationOIDs
	}
	return nil
}

func (s *sender) relation(at wire.LSN, oid uint32) error {
	if s.relations[oid] {
		return nil
	}
	r, ok := s.o.Relation(oid)
	if !ok {
		return wire.Errorf(wire.CodeInternalError, "change of relation %d, which is not there", oid)
	}
	s.relations[oid] = true
	return s.message(at, r)
}

func (s *sender) message(at wire.LSN, m pgoutput.Message) error {
	var err error
	if s.buf, err = pgoutput.Append(s.buf[:0], m); err != nil {
		return err
	}
	return s.write(&wire.XLogData{Start: at, ServerEnd: at, SendTime: wire.TimestampOf(time.Now()), Data: s.buf})
}

// write sends a message that goes into CopyData, whose frame the link makes.
func (s *sender) write(m wire.Message) error {
	var err error
	if s.frame, err = wire.Append(s.frame[:0], m); err != nil {
		return err
	}
	return s.link.Send(s.frame[wire.HeaderLen:])
}

// interrupt ends receive.
func (s *sender) interrupt() {
	if i, ok := s.link.(Interrupter); ok {
		i.Interrupt()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.link.Close() // if the connection is broken, receive ends by that
}

// receive takes what the subscriber says.
func (s *sender) receive() error {
	for {
		data, err := s.link.Receive()
		if errors.Is(err, io.EOF) {
			return errSubscriberDone
		}
		if err != nil {
			return err
		}
		select {
		case s.heard <- struct{}{}:
		default:
		}
		if len(data) == 0 {
			return wire.Errorf(wire.CodeProtocolViolation, "empty message in a replication stream")
		}
		switch data[0] {
		case wire.SubStandbyStatus:
			var m wire.StandbyStatus
			if err := m.Decode(data); err != nil {
				return err
			}
			if s.o.Confirmed != nil {
				s.o.Confirmed(m)
			}
			if m.ReplyRequested {
				if err := s.keepalive(false); err != nil {
					return err
				}
			}
		case wire.SubHotStandbyFeedback: // there are no rows to keep for it
		default:
			// As ProcessStandbyMessage in walsender.c.
			return wire.Errorf(wire.CodeProtocolViolation, "unexpected message type %q", data[0])
		}
	}
}

// keepAlive asks a silent subscriber to say something, and gives it up in the end.
func (s *sender) keepAlive(ctx context.Context) error {
	timer := time.NewTimer(s.o.Timeout / 2)
	defer timer.Stop()
	asked := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.heard:
			asked = false
		case <-timer.C:
			if asked {
				return wire.Errorf(wire.CodeConnectionFailure, "terminating walsender process due to replication timeout")
			}
			asked = true
			if err := s.keepalive(true); err != nil {
				return err
			}
		}
		timer.Reset(s.o.Timeout / 2)
	}
}

func (s *sender) keepalive(reply bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.write(&wire.PrimaryKeepalive{ServerEnd: s.sent, SendTime: wire.TimestampOf(time.Now()), ReplyRequested: reply})
	if err != nil {
		return err
	}
	return s.link.Flush()
}
