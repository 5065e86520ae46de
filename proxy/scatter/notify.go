package scatter

import (
	"context"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/pubsub"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A deferral is a LISTEN, UNLISTEN or NOTIFY that takes effect when its transaction commits.
type deferral struct {
	verb, channel string // UNLISTEN's channel is empty for all
	sql           string
	shard         int
}

// maxPayload is how long a payload must be to be refused (NOTIFY_PAYLOAD_MAX_LENGTH in
// async.c), maxChannel the same for a channel's name (NAMEDATALEN).
const (
	maxPayload = 8000 - 64 - 1
	maxChannel = 64
)

// channel carries out LISTEN, UNLISTEN and NOTIFY, outside of a transaction at once. A
// channel is on the shard that its name hashes to.
func (s *Session) channel(ctx context.Context, d *route.Decision, q *request) error {
	w, err := scan(q.sql)
	if err != nil {
		return err
	}
	x := deferral{verb: strings.ToUpper(w.ident(0)), channel: d.Plan.Word, sql: trim(q.sql), shard: d.Shards.Lowest()}
	switch {
	case len(s.ex.cfg.Listeners) == 0 && x.verb != "NOTIFY":
		return refuse("LISTEN is not possible here, since the proxy has no connection of its own for it", "connect to the server of the shard for LISTEN")
	case x.channel == "" && x.verb != "UNLISTEN":
		return wire.Errorf(wire.CodeSyntaxError, "syntax error at end of input")
	case len(x.channel) >= maxChannel:
		return wire.Errorf(wire.CodeInvalidParameterValue, "channel name too long")
	case x.verb == "NOTIFY" && w.is(2, ",") && len(w.value(3)) >= maxPayload:
		return wire.Errorf(wire.CodeInvalidParameterValue, "payload string too long")
	}
	if q.extended {
		// What a pipeline does takes effect at its end, if at all.
		if _, err := s.implicitly(); err != nil {
			return err
		}
	}
	if !s.tx.open() {
		if err := s.takeEffect(ctx, x); err != nil {
			return err
		}
		return s.tagged(x.verb)
	}
	if !s.tx.has(x) {
		s.tx.deferred = append(s.tx.deferred, x)
	}
	return s.tagged(x.verb)
}

// has reports whether a transaction will send the same notification already; PostgreSQL sends
// it once, too.
func (t *transaction) has(x deferral) bool {
	for _, y := range t.deferred {
		if x.verb == "NOTIFY" && x == y {
			return true
		}
	}
	return false
}

// takeEffect does what was deferred.
func (s *Session) takeEffect(ctx context.Context, x deferral) error {
	switch x.verb {
	case "LISTEN":
		if _, ok := s.listening[x.channel]; ok {
			return nil
		}
		if err := s.ex.cfg.Listeners[x.shard].Subscribe(ctx, x.channel, s.mailbox()); err != nil {
			return acquireError(x.shard, err)
		}
		if _, err := s.notified(); err != nil { // what came before is not for the client
			return err
		}
		s.listening[x.channel] = x.shard
		return nil
	case "UNLISTEN":
		if err := s.hush(ctx, x.channel); err != nil {
			return err
		}
		s.unlisten(x.channel)
		return nil
	}
	l, err := s.acquire(ctx, x.shard, route.Primary)
	if err != nil {
		return err
	}
	_, err = l.exec(x.sql)
	return err
}

// committed does what the transaction has deferred. It cannot fail any more; what does is told.
func (s *Session) committed(ctx context.Context, list []deferral) error {
	for _, x := range list {
		err := s.takeEffect(ctx, x)
		if broken(err) {
			return err
		}
		if err != nil {
			err = s.notice(wire.SeverityWarning, wire.CodeWarning, "the transaction is committed, but its "+x.verb+" has failed: "+err.Error())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mailbox is where notifications for the session come in.
func (s *Session) mailbox() *pubsub.Mailbox {
	if s.mail == nil {
		s.mail = pubsub.NewMailbox(s.ex.cfg.Notifications)
	}
	return s.mail
}

// flushTimeout is how long is waited for what is under way to a channel that is given up.
const flushTimeout = 10 * time.Second

// hush tells the client what is under way to a channel that it is about to give up, or to all.
func (s *Session) hush(ctx context.Context, channel string) error {
	asked := map[int]bool{}
	for name, shard := range s.listening {
		if channel != "" && channel != name || asked[shard] {
			continue
		}
		asked[shard] = true
		ctx, cancel := context.WithTimeout(ctx, flushTimeout)
		err := s.ex.cfg.Listeners[shard].Flush(ctx)
		cancel()
		if err != nil {
			if err := s.notice(wire.SeverityWarning, wire.CodeWarning, "notifications that were under way at UNLISTEN may be missing: "+err.Error()); err != nil {
				return err
			}
		}
	}
	if len(asked) == 0 {
		return nil
	}
	_, err := s.notified()
	return err
}

// unlisten ends listening to a channel, or to all.
func (s *Session) unlisten(channel string) {
	for name, shard := range s.listening {
		if channel == "" || channel == name {
			s.ex.cfg.Listeners[shard].Unsubscribe(name, s.mail)
			delete(s.listening, name)
		}
	}
}

// Notified has something when [Session.Deliver] should be called. It is nil until the session
// has listened to something.
func (s *Session) Notified() <-chan struct{} {
	if s.mail == nil {
		return nil
	}
	return s.mail.Ready()
}

// Deliver sends the client the notifications that have come, unless it is in a transaction: it
// gets them when that is over. It must not be called while Handle is.
func (s *Session) Deliver() error {
	if sent, err := s.deliver(); err != nil || !sent {
		return err
	}
	return s.flush()
}

// deliver writes the notifications that have come.
func (s *Session) deliver() (sent bool, err error) {
	if s.mail == nil || s.tx.open() || s.copying != nil || len(s.queue) > 0 || s.skip {
		return false, nil
	}
	return s.notified()
}

// notified writes the notifications that have come, whatever else is under way.
func (s *Session) notified() (sent bool, err error) {
	list, warnings := s.mail.Take()
	for _, w := range warnings {
		if err := s.notice(wire.SeverityWarning, wire.CodeWarning, w); err != nil {
			return true, err
		}
	}
	for i := range list {
		if _, ok := s.listening[list[i].Channel]; !ok {
			continue
		}
		if err := s.send(&list[i]); err != nil {
			return true, err
		}
	}
	return len(list)+len(warnings) > 0, nil
}
