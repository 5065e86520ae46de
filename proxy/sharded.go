package proxy

import (
	"context"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/wire"
)

// runSharded serves the client of a database on several shards until it goes.
func (s *session) runSharded(received []byte) error {
	if err := s.openSharded(); err != nil {
		return err
	}
	defer s.own.sharded.Close()
	return s.serveSharded(received)
}

// openSharded begins what serves the client.
func (s *session) openSharded() error {
	var base *scatter.Settings
	hint := route.NoHint()
	var path []string
	var list []scatter.Setting
	for _, p := range s.startup.All() {
		if known, err := hint.Set(p.Name, plainValue(p.Value)); err != nil {
			return err
		} else if known {
			continue
		}
		if p.Name == "search_path" {
			path = scatter.SearchPath(plainValue(p.Value))
		}
		list = append(list, scatter.Setting{Name: p.Name, SQL: effect.Statement(p)})
	}
	base = scatter.NewSettings(list)
	reported := map[string]string{}
	for _, p := range s.reported.All() {
		reported[statusName(p.Name)] = p.Value
	}
	out := wire.NewWriter(writerFunc(s.writePatiently))
	session := s.db.Sharded.NewSession(out, scatter.Options{Settings: base, Path: path, Hint: hint, Reported: reported})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakeUp()
	s.own.sharded = session
	return nil
}

// serveSharded serves the client: until it goes, or if a loop has its connection, until it has
// nothing that the loop could not go on with, where there is no error.
func (s *session) serveSharded(received []byte) error {
	session := s.own.sharded
	// Whoever ends the session also ends what its servers do for it.
	stop := context.AfterFunc(s.context(), func() {
		ctx, done := context.WithTimeout(context.Background(), cancelTimeout)
		defer done()
		session.Cancel(ctx)
	})
	defer stop()
	in := &rejoined{s: s, first: received}
	r := wire.NewReader(in, wire.Frontend, s.p.cfg.MaxMessage)
	var handling sync.Mutex // held while messages are dealt with, or notifications delivered
	var wg sync.WaitGroup
	gone := make(chan struct{})
	defer wg.Wait()
	defer close(gone)
	listening := false
	for {
		f, err := r.ReadFrame()
		if err != nil {
			return err
		}
		s.noteSharded(f)
		handling.Lock()
		s.working(true)
		err = session.Handle(s.context(), f.Type, f.Body)
		s.own.open = !session.Idle()
		s.working(false)
		s.keepSharded(f, err)
		handling.Unlock()
		if come := session.Notified(); come != nil && !listening {
			listening = true
			wg.Go(func() { s.notify(session, &handling, come, gone) })
		}
		if !s.own.open && (f.Type == wire.TypeQuery || f.Type == wire.TypeSync || f.Type == wire.TypeFunctionCall) {
			s.stats.transactions.Add(1)
		}
		switch {
		case scatter.Terminated(err):
			return errGoodbye
		case err != nil:
			return err
		case r.Buffered() > 0 || len(in.first) > 0:
		case s.p.closing.Load() && !s.own.open:
			return errShutdown
		case s.lc != nil && session.Resting():
			return nil
		}
	}
}

// notify sends the client what has come on the channels that it listens to, while it says
// nothing itself.
func (s *session) notify(session *scatter.Session, handling *sync.Mutex, come, gone <-chan struct{}) {
	for {
		select {
		case <-gone:
			return
		case <-come:
		}
		handling.Lock()
		err := session.Deliver()
		handling.Unlock()
		if err != nil {
			return // the client has gone, which its next message tells
		}
	}
}

// noteSharded notes what the client asks for.
func (s *session) noteSharded(f wire.Frame) {
	sql := ""
	s.long(f.Type, f.Body)
	switch f.Type {
	case wire.TypeQuery:
		sql, _ = text(f.Body)
	case wire.TypeParse:
		sql, _ = textOfParse(f.Body)
	}
	if f.Type == wire.TypeQuery || f.Type == wire.TypeExecute {
		s.stats.queries.Add(1)
	}
	if sql != "" {
		s.mu.Lock()
		s.sample(sql)
		s.mu.Unlock()
	}
}

// keepSharded keeps what was asked for, to be mirrored.
func (s *session) keepSharded(f wire.Frame, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tape == nil || err != nil {
		return
	}
	m := appendHeader(nil, f.Type, len(f.Body))
	s.keep(f.Type, append(m, f.Body...))
	if f.Type == wire.TypeQuery || f.Type == wire.TypeSync || f.Type == wire.TypeFunctionCall {
		status := wire.TxIdle
		if s.own.open {
			status = wire.TxActive
		}
		s.tapeReady(status, false)
	}
}

// textOfParse is the query of a Parse message.
func textOfParse(body []byte) (string, bool) {
	_, rest, _ := cut(body)
	sql, _, ok := cut(rest)
	return string(sql), ok
}

// working notes that a message of the client's is being dealt with, for timeouts.
func (s *session) working(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if yes {
		s.works(time.Now())
		return
	}
	s.worked(time.Now())
}

// works is the beginning of that. The lock is held.
func (s *session) works(now time.Time) {
	s.delivering = true
	if s.p.instant(s.asked) <= s.answered {
		s.asked = now
	}
	if s.begun.IsZero() {
		s.begun = now
	}
}

// worked is its end. The lock is held.
func (s *session) worked(now time.Time) {
	s.delivering = false
	s.stats.queryTime.Add(int64(max(0, now.Sub(s.asked))))
	if !s.own.open {
		s.stats.xactTime.Add(int64(max(0, now.Sub(s.begun))))
		s.begun = time.Time{}
	}
	s.own.holds = s.own.open
	s.timedOut = false
	s.answered, s.asked = s.p.instant(now), now
	s.wakeAll()
}

// overdueSharded does what the timeouts of a session on several shards demand.
func (s *session) overdueSharded(now time.Time) {
	over := func(limit time.Duration, since time.Time) bool { return limit > 0 && now.Sub(since) > limit }
	cfg := &s.p.cfg
	var why error
	s.mu.Lock()
	switch {
	case !s.begun.IsZero() && over(cfg.TransactionTimeout, s.begun):
		why = errTransactionTimeout
	case s.delivering && over(cfg.QueryTimeout, s.asked) && !s.timedOut:
		s.timedOut = true
		s.p.background(s.cancelSharded)
	case s.delivering:
	case s.own.holds && over(cfg.IdleInTransactionTimeout, s.p.time(s.answered)):
		why = &wire.Error{
			Severity: wire.SeverityFatal, Code: wire.CodeIdleInTransactionTimeout,
			Message: "terminating connection due to idle-in-transaction timeout",
		}
	case !s.own.holds && over(cfg.IdleTimeout, s.p.time(s.answered)):
		why = &wire.Error{
			Severity: wire.SeverityFatal, Code: wire.CodeIdleSessionTimeout,
			Message: "terminating connection due to idle-session timeout",
		}
	}
	s.mu.Unlock()
	if why != nil {
		s.kill(why)
	}
}

// cancelSharded cancels what a session on several shards does.
func (s *session) cancelSharded() {
	if c := s.holdDirect(); c != nil {
		s.cancelQuery(c)
		return
	}
	s.mu.Lock()
	if s.waiting != nil {
		s.waiting.GiveUp(errCancelled)
	}
	s.mu.Unlock()
	ctx, done := context.WithTimeout(context.Background(), cancelTimeout)
	defer done()
	s.own.sharded.Cancel(ctx)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// rejoined reads what came before, then what comes.
type rejoined struct {
	s     *session
	first []byte
}

func (r *rejoined) Read(b []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(b, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	return r.s.readPatiently(b)
}
