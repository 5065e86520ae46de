package pgserver

import (
	"fmt"
	"sync"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Limits of notifications (NAMEDATALEN, NOTIFY_PAYLOAD_MAX_LENGTH in commands/async.c).
const (
	maxChannel = 63
	maxPayload = 7999
	// maxPending bounds what a session that never becomes idle may pile up; it is ended then.
	maxPending = 65536
)

// A Broker brings notifications from sessions, or from the program, to the sessions that
// listen. The zero value is ready. It is safe for concurrent use.
type Broker struct {
	mu       sync.Mutex
	channels map[string]map[*Session]struct{}
}

// Notify sends a notification to all who listen on the channel. pid says who sent it; a
// program may use 0.
func (b *Broker) Notify(pid uint32, channel, payload string) error {
	if err := checkChannel(channel); err != nil {
		return err
	}
	if len(payload) > maxPayload {
		return wire.Errorf(wire.CodeInvalidParameterValue, "payload string too long")
	}
	b.mu.Lock()
	listeners := make([]*Session, 0, len(b.channels[channel]))
	for s := range b.channels[channel] {
		listeners = append(listeners, s)
	}
	b.mu.Unlock()
	for _, s := range listeners {
		s.notify(wire.NotificationResponse{PID: pid, Channel: channel, Payload: payload})
	}
	return nil
}

func checkChannel(name string) error {
	if name == "" {
		return wire.Errorf(wire.CodeInvalidParameterValue, "channel name cannot be empty")
	}
	if len(name) > maxChannel {
		return wire.Errorf(wire.CodeInvalidParameterValue, "channel name too long")
	}
	return nil
}

func (b *Broker) listen(s *Session, channel string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.channels == nil {
		b.channels = map[string]map[*Session]struct{}{}
	}
	if b.channels[channel] == nil {
		b.channels[channel] = map[*Session]struct{}{}
	}
	b.channels[channel][s] = struct{}{}
}

// unlisten takes a session off a channel, or off all of them when channel is "".
func (b *Broker) unlisten(s *Session, channel string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, sessions := range b.channels {
		if channel != "" && channel != name {
			continue
		}
		delete(sessions, s)
		if len(sessions) == 0 {
			delete(b.channels, name)
		}
	}
}

// Listen makes the session hear notifications of a channel once the transaction commits.
// They reach the client when it is idle and in no transaction.
func (s *Session) Listen(channel string) error {
	if err := checkChannel(channel); err != nil {
		return err
	}
	s.AtCommit(func() { s.conn.srv.broker.listen(s, channel) })
	return nil
}

// Unlisten ends Listen for a channel, or for all when channel is "".
func (s *Session) Unlisten(channel string) {
	s.AtCommit(func() { s.conn.srv.broker.unlisten(s, channel) })
}

// Notify sends a notification when the transaction commits. The session itself hears it, too,
// if it listens.
func (s *Session) Notify(channel, payload string) error {
	if err := checkChannel(channel); err != nil {
		return err
	}
	if len(payload) > maxPayload {
		return wire.Errorf(wire.CodeInvalidParameterValue, "payload string too long")
	}
	s.AtCommit(func() {
		if err := s.conn.srv.broker.Notify(s.pid, channel, payload); err != nil {
			s.conn.srv.log().Error("notify", "error", fmt.Errorf("channel %q: %w", channel, err))
		}
	})
	return nil
}
