package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// DefaultStatusInterval is how often a [Stream] tells the server where it stands
// (wal_receiver_status_interval). The server gives up a client that it has not heard of
// for wal_sender_timeout, one minute by default.
const DefaultStatusInterval = 10 * time.Second

// A Stream is a stream of write-ahead log or of logical changes. It tells the server by
// itself how far it is, also while nobody calls Next.
//
// Next and Stop are for one goroutine; Acknowledge may be called from others.
type Stream struct {
	c        *Conn
	stopping chan struct{}
	finished sync.Once
	ticking  sync.WaitGroup

	mu     sync.Mutex // guards writing and what follows
	status wire.StandbyStatus
	werr   error // of the last write

	open  bool // the connection is in copy mode
	ended bool // nothing comes any more
	xlog  wire.XLogData
	alive wire.PrimaryKeepalive
}

// A StreamEvent is what [Stream.Next] returns: exactly one of its fields is set. It is
// valid until the next call.
type StreamEvent struct {
	XLogData  *wire.XLogData
	Keepalive *wire.PrimaryKeepalive
}

// PhysicalOptions say where a physical stream begins.
type PhysicalOptions struct {
	Slot     string   // empty: none
	Start    wire.LSN // should be the beginning of a segment
	Timeline uint32   // 0: the current one
	// StatusInterval is how often the server is told where the stream stands. Default:
	// [DefaultStatusInterval].
	StatusInterval time.Duration
}

// StartPhysical begins to stream write-ahead log. Until the stream has ended the connection
// does nothing else. If the requested timeline ends where the stream would begin, the
// stream has ended when it begins.
func (c *Conn) StartPhysical(ctx context.Context, o PhysicalOptions) (*Stream, error) {
	command := "START_REPLICATION "
	if o.Slot != "" {
		command += "SLOT " + QuoteIdent(o.Slot) + " "
	}
	command += "PHYSICAL " + o.Start.String()
	if o.Timeline != 0 {
		command += fmt.Sprintf(" TIMELINE %d", o.Timeline)
	}
	return c.startStream(ctx, command, o.StatusInterval)
}

// LogicalOptions say where a logical stream begins and what the output plugin is told.
type LogicalOptions struct {
	Slot string
	// Start is where to begin; a position before the slot's own stands for that one.
	Start wire.LSN
	// Plugin are the output plugin's options in order. An empty value is left out.
	Plugin []wire.Param
	// StatusInterval is as in [PhysicalOptions].
	StatusInterval time.Duration
}

// StartLogical begins to stream the changes of the database that the connection belongs to.
func (c *Conn) StartLogical(ctx context.Context, o LogicalOptions) (*Stream, error) {
	list := &optionList{named: true} // in parentheses since there has been logical decoding
	for _, p := range o.Plugin {
		if p.Value == "" {
			list.flag(true, QuoteIdent(p.Name))
		} else {
			list.add(QuoteIdent(p.Name), QuoteLiteral(p.Value))
		}
	}
	command := list.command("START_REPLICATION SLOT " + QuoteIdent(o.Slot) + " LOGICAL " + o.Start.String())
	return c.startStream(ctx, command, o.StatusInterval)
}

func (c *Conn) startStream(ctx context.Context, command string, interval time.Duration) (*Stream, error) {
	stop := c.watch(ctx)
	defer stop()
	s, err := c.openStream(command, interval)
	if err != nil {
		return nil, fmt.Errorf("start replication: %w", ctxError(ctx, err))
	}
	return s, nil
}

func (c *Conn) openStream(command string, interval time.Duration) (*Stream, error) {
	if err := c.send(&wire.Query{SQL: command}); err != nil {
		return nil, err
	}
	s := &Stream{c: c, stopping: make(chan struct{})}
	t, body, err := c.receive()
	switch {
	case err != nil:
		return nil, err
	case t == wire.TypeErrorResponse:
		return nil, c.failed(body)
	case t == wire.TypeRowDescription:
		// The timeline ends here: a row with the next one instead of a stream. It is of no
		// use that TIMELINE_HISTORY would not be.
		if _, err := c.untilReady(); err != nil {
			return nil, err
		}
		s.ended = true
		return s, nil
	case t != wire.TypeCopyBothResponse:
		return nil, c.unexpected(t, "starting replication")
	}
	if interval <= 0 {
		interval = DefaultStatusInterval
	}
	s.open = true
	s.ticking.Go(func() { s.tick(interval) })
	c.stream.Store(s)
	return s, nil
}

// tick sends a status at every interval until the stream stops.
func (s *Stream) tick(interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-s.stopping:
			return
		case <-ticker.C:
			if s.sendStatus(nil) != nil {
				return // Next finds the connection broken
			}
		}
	}
}

// sendStatus sends where the stream stands, after change has been applied to that.
func (s *Stream) sendStatus(change func(*wire.StandbyStatus)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if change != nil {
		change(&s.status)
	}
	return s.writeStatus()
}

// writeStatus is called with the mutex held.
func (s *Stream) writeStatus() error {
	if s.werr != nil {
		return s.werr
	}
	s.status.SendTime = wire.TimestampOf(time.Now())
	if s.werr = s.c.w.Send(&s.status); s.werr == nil {
		s.werr = s.c.w.Flush()
	}
	return s.werr
}

// Acknowledge tells the server, at the latest after the status interval, that all before
// lsn has been written and flushed (and applied): it need not be kept any more. Positions
// never move back. With now the server is told at once.
func (s *Stream) Acknowledge(lsn wire.LSN, now bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Written = max(s.status.Written, lsn)
	s.status.Flushed = max(s.status.Flushed, lsn)
	s.status.Applied = max(s.status.Applied, lsn)
	if !now {
		return s.werr
	}
	return s.writeStatus()
}

// received remembers up to where data has come.
func (s *Stream) received(lsn wire.LSN) {
	s.mu.Lock()
	s.status.Written = max(s.status.Written, lsn)
	s.mu.Unlock()
}

// Next waits for the next event. The end of ctx while it waits does no harm: the stream goes
// on with the next call. io.EOF is the server's end of the stream: a physical one's timeline
// is over, and Stop ends it in order, or the server shuts down. Another error
// has broken the connection, or is a [*wire.Error] that has ended the stream and left the
// connection as it was before.
//
// Keepalives that ask for an answer have got it.
func (s *Stream) Next(ctx context.Context) (StreamEvent, error) {
	if s.ended {
		return StreamEvent{}, io.EOF
	}
	stop := s.interrupt(ctx)
	defer stop()
	f, err := s.frame()
	if err != nil {
		if isTimeout(err) && ctx.Err() != nil {
			return StreamEvent{}, context.Cause(ctx)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = ErrClosed
		}
		return StreamEvent{}, s.broken(err)
	}
	switch f.Type {
	case wire.TypeCopyData:
		e, err := s.event(f.Body)
		if err != nil {
			return StreamEvent{}, s.broken(err)
		}
		return e, nil
	case wire.TypeCopyDone:
		s.ended = true
		return StreamEvent{}, io.EOF
	case wire.TypeCommandComplete:
		// A server that shuts down says no more than this (WalSndDone in walsender.c).
		s.open, s.ended = false, true
		_ = s.broken(ErrClosed)
		return StreamEvent{}, io.EOF
	case wire.TypeErrorResponse:
		e, err := decodeError(f.Body)
		if err != nil {
			return StreamEvent{}, s.broken(err)
		}
		if e.Severity == wire.SeverityFatal || e.Severity == wire.SeverityPanic {
			return StreamEvent{}, s.broken(e)
		}
		s.finish()
		s.open, s.ended = false, true
		if _, err := s.c.untilReady(); err != nil {
			return StreamEvent{}, err
		}
		return StreamEvent{}, e
	}
	return StreamEvent{}, s.broken(s.c.unexpected(f.Type, "streaming"))
}

// interrupt makes the end of ctx interrupt reading, and only that.
func (s *Stream) interrupt(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		_ = s.c.nc.SetReadDeadline(time.Unix(1, 0))
		close(done)
	})
	return func() {
		if !cancel() {
			<-done
			_ = s.c.nc.SetReadDeadline(time.Time{})
		}
	}
}

// frame reads the next message that is not asynchronous. Unlike the connection's receive it
// leaves the connection whole when it is interrupted.
func (s *Stream) frame() (wire.Frame, error) {
	for {
		if s.c.err != nil {
			return wire.Frame{}, s.c.err
		}
		f, err := s.c.r.ReadFrame()
		if err != nil {
			return f, err
		}
		switch f.Type {
		case wire.TypeNoticeResponse:
			var m wire.NoticeResponse
			if err := m.Decode(f.Body); err != nil {
				return f, err
			}
			if s.c.notice != nil {
				s.c.notice(&m.Error)
			}
		case wire.TypeParameterStatus, wire.TypeNotificationResponse:
		default:
			return f, nil
		}
	}
}

func (s *Stream) event(data []byte) (StreamEvent, error) {
	if len(data) == 0 {
		return StreamEvent{}, wire.Errorf(wire.CodeProtocolViolation, "empty message in a replication stream")
	}
	switch data[0] {
	case wire.SubXLogData:
		if err := s.xlog.Decode(data); err != nil {
			return StreamEvent{}, err
		}
		s.received(s.xlog.Start + wire.LSN(len(s.xlog.Data)))
		return StreamEvent{XLogData: &s.xlog}, nil
	case wire.SubPrimaryKeepalive:
		if err := s.alive.Decode(data); err != nil {
			return StreamEvent{}, err
		}
		if s.alive.ReplyRequested {
			if err := s.sendStatus(nil); err != nil {
				return StreamEvent{}, err
			}
		}
		return StreamEvent{Keepalive: &s.alive}, nil
	}
	return StreamEvent{}, wire.Errorf(wire.CodeProtocolViolation, "unknown message %q in a replication stream", data[0])
}

// Feedback sends a standby's transaction ids, so that the server keeps the rows that its
// queries need.
func (s *Stream) Feedback(m *wire.HotStandbyFeedback) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.werr == nil {
		if s.werr = s.c.w.Send(m); s.werr == nil {
			s.werr = s.c.w.Flush()
		}
	}
	return s.werr
}

// broken marks the connection and stops telling the server anything.
func (s *Stream) broken(err error) error {
	s.finish()
	return s.c.breakWith(err)
}

// finish stops the status goroutine. Several goroutines may call it.
func (s *Stream) finish() {
	s.finished.Do(func() { close(s.stopping) })
	s.ticking.Wait()
}

// Stop tells the server a last time where the stream stands, ends it and waits for the
// server's agreement; the connection is then free for other commands. What has come
// meanwhile is dropped: the server will send it again. [Conn.Close] ends a stream, too.
func (s *Stream) Stop(ctx context.Context) error {
	s.finish()
	if !s.open || s.c.err != nil {
		return nil // there is nobody to tell
	}
	stop := s.c.watch(ctx)
	defer stop()
	if err := s.stop(); err != nil {
		return fmt.Errorf("stop replication: %w", ctxError(ctx, err))
	}
	return nil
}

func (s *Stream) stop() error {
	if !s.ended {
		if err := s.sendStatus(nil); err != nil {
			return s.c.breakWith(err)
		}
	}
	s.open, s.ended = false, true
	if err := s.c.send(&wire.CopyDone{}); err != nil {
		return err
	}
	e, err := s.c.untilReady()
	if err != nil {
		return err
	}
	if e != nil {
		return e
	}
	return nil
}
