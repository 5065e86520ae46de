package proxy

import (
	"context"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/pubsub"
	"github.com/pgx-dev/pgx-dev/wire"
)

// LISTEN on a shared server connection: one connection of the proxy's own listens for all clients
// of a database (package pubsub). A LISTEN is sent to the server as the UNLISTEN of the same
// channel, which does nothing there and answers alike, so that its transaction decides whether it
// holds; the subscription is there before, so that nothing is missed. What came before the client
// asked for what commits is not for it. An UNLISTEN waits for what is under way.

// ears are what a client has that listens. The session's lock guards them.
type ears struct {
	hub  *pubsub.Hub
	mail *pubsub.Mailbox
	// channels are those that are subscribed to: true once the client's LISTEN has committed.
	channels map[string]bool
	list     []wire.NotificationResponse // for the client, not sent yet
	warnings []string
	failed   error // of the last subscription
	asking   bool  // a subscription is being made, or what is under way awaited
	flushed  bool  // what was under way when the next UNLISTEN came has come
}

// maxChannels bounds the channels that a client listens to.
const maxChannels = 1 << 12

// sharesListen says that LISTEN does not keep the connection.
func (s *session) sharesListen() bool {
	return s.db.Listener != nil && s.db.Mode != Session
}

// listens returns the first channel that a text listens to and that is not subscribed to.
func (s *session) unheard(t *effect.Text) (string, bool) {
	for i := range t.Effects {
		if e := &t.Effects[i]; e.Kind == effect.Listen {
			if s.ears == nil {
				return e.Name, true
			}
			if _, ok := s.ears.channels[e.Name]; !ok {
				return e.Name, true
			}
		}
	}
	return "", false
}

// hear subscribes to the channels that a text listens to. It is called with the lock held, which it
// gives up while it waits.
func (s *session) hear(t *effect.Text) error {
	if t == nil || len(t.Effects) == 0 || !s.sharesListen() {
		return nil
	}
	if err := s.hush(t); err != nil {
		return err
	}
	for {
		name, ok := s.unheard(t)
		if !ok {
			return nil
		}
		if s.ears == nil {
			e := &ears{hub: s.db.Listener(), mail: pubsub.NewMailbox(s.db.Notifications), channels: map[string]bool{}}
			e.mail.OnReady(s.rung)
			s.ears = e
		}
		e := s.ears
		if err := e.failed; err != nil {
			e.failed = nil
			return err
		}
		if len(e.channels) >= maxChannels {
			return wire.Errorf(wire.CodeConfigurationLimit, "more than %d channels are listened to", maxChannels)
		}
		subscribe := func() {
			ctx, cancel := context.WithTimeoutCause(s.context(), listenTimeout, wire.Errorf(wire.CodeConnectionFailure, "the server that would listen does not answer"))
			defer cancel()
			err := e.hub.Subscribe(ctx, name, e.mail)
			s.mu.Lock()
			switch {
			case err != nil:
				e.failed = wire.Errorf(wire.CodeConnectionFailure, "LISTEN: %w", err)
			case s.ears != e: // the client has gone
				e.hub.Unsubscribe(name, e.mail)
			default:
				e.channels[name] = false
			}
		}
		if s.lc != nil {
			if e.asking {
				s.stalled = forConn
				return errStalled
			}
			e.asking, s.stalled = true, forConn
			s.p.background(func() {
				subscribe()
				e.asking = false
				s.mu.Unlock()
				s.lc.Post(s.resume)
			})
			return errStalled
		}
		s.mu.Unlock()
		subscribe()
		if s.over {
			return errShutdown
		}
	}
}

// hush has what is under way to the channels that a text gives up come before they are, as it would
// from a server that the client listens on itself. It is called with the lock held, which it gives
// up while it waits.
func (s *session) hush(t *effect.Text) error {
	for s.ears != nil && !s.ears.flushed && s.ears.givesUp(t) {
		e := s.ears
		if s.owed() {
			// That, too, may have sent something.
			if err := s.delivered(); err != nil {
				return err
			}
			continue
		}
		if s.lc != nil && e.asking {
			s.stalled = forConn
			return errStalled
		}
		e.asking = true
		flush := func() {
			ctx, cancel := context.WithTimeoutCause(s.context(), listenTimeout, wire.Errorf(wire.CodeConnectionFailure, "the server that listens does not answer"))
			defer cancel()
			err := e.hub.Flush(ctx)
			s.mu.Lock()
			if e.asking, e.flushed = false, true; err != nil {
				e.warnings = append(e.warnings, "notifications that were under way at UNLISTEN may be missing: "+err.Error())
			}
		}
		if s.lc != nil {
			s.stalled = forConn
			s.p.background(func() {
				flush()
				s.mu.Unlock()
				s.lc.Post(s.resume)
			})
			return errStalled
		}
		s.mu.Unlock()
		flush()
		if s.over {
			return errShutdown
		}
	}
	e := s.ears
	if e == nil || !e.flushed {
		return nil
	}
	for s.delivering {
		if err := s.delivered(); err != nil {
			return err
		}
	}
	if s.server != nil && s.server.Status != wire.TxIdle {
		e.collect()
		return nil // it is told when its transaction is over
	}
	return s.hearOut()
}

// hearOut tells the client what has come. The lock is not held meanwhile.
func (s *session) hearOut() error {
	s.ears.collect()
	out := s.ears.news()
	if len(out) == 0 {
		return nil
	}
	s.mu.Unlock()
	err := s.toClient(out)
	s.mu.Lock()
	return err
}

// delivered returns when the server has said something, which the client has got. It is called with
// the lock held, which it gives up while it waits.
func (s *session) delivered() error {
	if s.lc != nil {
		s.stalled = forRelease
		return errStalled
	}
	if len(s.out) > 0 {
		s.flush()
		s.written()
		return nil
	}
	s.wait()
	if s.over {
		return errShutdown
	}
	return nil
}

// givesUp says that a text ends listening to a channel that is subscribed to.
func (e *ears) givesUp(t *effect.Text) bool {
	for i := range t.Effects {
		switch x := &t.Effects[i]; x.Kind {
		case effect.DiscardAll:
			return len(e.channels) > 0
		case effect.Unlisten:
			// Whether its LISTEN holds may not be known yet.
			if _, ok := e.channels[x.Name]; ok || x.Name == "" && len(e.channels) > 0 {
				return true
			}
		}
	}
	return false
}

// owed says that the client will get an answer of the server's without saying more.
func (s *session) owed() bool {
	if s.delivering {
		return true
	}
	if s.server == nil || s.copying == wire.TypeCopyInResponse {
		return false
	}
	for i := s.queue.head; i < len(s.queue.items); i++ {
		switch s.queue.items[i].kind {
		case askedQuery, askedSync, askedFunction:
			return true
		}
	}
	return false
}

// listenTimeout is how long a LISTEN may take.
const listenTimeout = 10 * time.Second

// unlistened is a text with UNLISTEN in the place of LISTEN.
func unlistened(sql string, t *effect.Text) string {
	for i := len(t.Effects) - 1; i >= 0; i-- {
		if e := &t.Effects[i]; e.Kind == effect.Listen {
			sql = sql[:e.Start] + "UNLISTEN" + sql[e.End:]
		}
	}
	return sql
}

// listening says that the statement that is complete now was a LISTEN which the server knows as
// another.
func (s *session) listening(r *request) bool {
	if r.text == nil || !s.sharesListen() {
		return false
	}
	for i := range r.text.Effects {
		if e := &r.text.Effects[i]; e.Kind == effect.Listen && e.Statement == r.at {
			return true
		}
	}
	return false
}

// listened is CommandComplete of LISTEN.
func listened() []byte {
	b, err := wire.Append(nil, &wire.CommandComplete{Tag: "LISTEN"})
	if err != nil {
		panic(err) // it is always the same
	}
	return b
}

// heard does what a LISTEN or UNLISTEN means once it has committed.
func (s *session) heard(o op) {
	e := s.ears
	if e == nil {
		return
	}
	switch {
	case o.kind == effect.Listen:
		if _, ok := e.channels[o.name]; ok {
			e.channels[o.name] = true
		}
	case o.name == "":
		for name := range e.channels {
			e.drop(name)
		}
	default:
		e.drop(o.name)
	}
}

// tidy ends subscriptions whose LISTEN came to nothing. No transaction is open.
func (s *session) tidy() {
	e := s.ears
	if e == nil || e.asking {
		return
	}
	for name, on := range e.channels {
		if !on {
			e.drop(name)
		}
	}
	if len(e.channels) == 0 && len(e.list) == 0 && e.failed == nil {
		s.ears = nil
	}
}

func (e *ears) drop(name string) {
	if _, ok := e.channels[name]; ok {
		e.hub.Unsubscribe(name, e.mail)
		delete(e.channels, name)
	}
}

// collect takes what has come and is for the client.
func (e *ears) collect() {
	list, warnings := e.mail.Take()
	for _, n := range list {
		if e.channels[n.Channel] {
			e.list = append(e.list, n)
		}
	}
	e.warnings = append(e.warnings, warnings...)
}

// deafen ends all that a client listens to.
func (s *session) deafen() {
	if e := s.ears; e != nil {
		for name := range e.channels {
			e.drop(name)
		}
		s.ears = nil
	}
}

// rung is called when something has come. It must not wait.
func (s *session) rung() {
	if s.lc != nil {
		s.lc.Post(s.tell)
		return
	}
	s.p.background(s.tell)
}

// tell sends the client what has come, unless it is being served or in a transaction: then it gets
// that afterwards.
func (s *session) tell() {
	s.mu.Lock()
	if s.busy == nil || s.ears == nil || s.over || !s.quiet() {
		s.mu.Unlock()
		return
	}
	e := s.ears
	e.collect()
	if len(e.list)+len(e.warnings) == 0 {
		s.mu.Unlock()
		return
	}
	if !s.write.TryLock() {
		s.mu.Unlock()
		s.p.background(s.tellLater) // its last message is still being taken
		return
	}
	out := e.news()
	s.mu.Unlock()
	n, err := s.nc.Write(out)
	s.write.Unlock()
	s.stats.sent.Add(int64(n))
	if err != nil {
		_ = s.nc.Close()
	}
}

// tellLater tells the client after a while.
func (s *session) tellLater() {
	select {
	case <-time.After(50 * time.Millisecond):
		s.rung()
	case <-s.context().Done():
	}
}

// news are the messages that tell a client what has been collected for it.
func (e *ears) news() []byte {
	var out []byte
	for _, w := range e.warnings {
		warning := wire.NoticeResponse{Error: wire.Error{Severity: wire.SeverityWarning, Code: wire.CodeWarning, Message: w}}
		if b, err := wire.Append(out, &warning); err == nil {
			out = b
		}
	}
	for i := range e.list {
		if b, err := wire.Append(out, &e.list[i]); err == nil {
			out = b
		}
	}
	e.list, e.warnings = nil, nil
	return out
}

// quiet says that nothing is being said to the client, and that it takes what it is told.
func (s *session) quiet() bool {
	if s.held != nil || s.delivering || s.serverPass > 0 || s.behind || s.queue.len() > 0 || s.lc != nil && s.lc.Pending() > 0 {
		return false
	}
	return s.server == nil || s.server.Status == wire.TxIdle && !s.unsynced
}
