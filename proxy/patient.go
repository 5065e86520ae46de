package proxy

import (
	"errors"

	"github.com/pgx-dev/pgx-dev/proxy/loop"
)

// A patient is how a goroutine that has a session, whose connection a loop drives, waits for the
// client: what comes meanwhile the loop reads for it. The session's lock guards it.
type patient struct {
	heard              []byte // read, and not taken yet
	err                error  // that came behind it
	readable, writable bell
}

func newPatient() *patient { return &patient{readable: newBell(), writable: newBell()} }

// A bell rings for one goroutine that waits for it.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// maxHeard is how much is read that nobody has taken, and maxPending how much may wait for the client
// until a goroutine waits, too.
const (
	maxHeard   = 128 << 10
	maxPending = 64 << 10
)

// overhear reads for the goroutine that has the session. The client's loop calls it.
func (s *session) overhear(buf []byte) {
	for {
		n, err := s.nc.Read(buf)
		s.stats.received.Add(int64(n))
		s.mu.Lock()
		p := s.own.patient
		p.heard = append(p.heard, buf[:n]...)
		if err != nil && !errors.Is(err, loop.ErrAgain) {
			p.err = err
		}
		full := len(p.heard) > maxHeard
		if full || p.err != nil {
			s.lc.Pause()
		}
		s.mu.Unlock()
		p.readable.ring()
		if err != nil || full || !s.encrypted() {
			return
		}
	}
}

// hearOn has the loop read again for the goroutine that has the session. Any goroutine may call it.
func (s *session) hearOn() {
	if s.encrypted() && s.lc.Paused() {
		defer s.lc.Again() // TLS may have read more than it has given
	}
	s.lc.Resume()
}

// takeHeard takes what was read for the goroutine and that it has left. The lock is held; the
// client's loop calls it.
func (s *session) takeHeard() error {
	if s.own == nil || s.own.patient == nil {
		return nil
	}
	p := s.own.patient
	if len(p.heard) > 0 {
		s.in = append(s.in, p.heard...)
	}
	p.heard = nil
	return p.err
}

// readPatiently reads from the client, and waits until something comes.
func (s *session) readPatiently(b []byte) (int, error) {
	if s.lc == nil {
		n, err := s.nc.Read(b)
		s.stats.received.Add(int64(n))
		return n, err
	}
	p := s.own.patient
	for {
		s.mu.Lock()
		n, err := copy(b, p.heard), p.err
		full := len(p.heard) > maxHeard
		if p.heard = p.heard[n:]; len(p.heard) == 0 {
			p.heard = nil
		}
		if full && len(p.heard) <= maxHeard && err == nil {
			s.hearOn()
		}
		s.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case err != nil:
			return 0, err
		}
		<-p.readable
	}
}

// writePatiently writes to the client.
func (s *session) writePatiently(b []byte) (int, error) {
	err := s.toClient(b)
	for err == nil && s.lc != nil && s.lc.Pending() > maxPending {
		<-s.own.patient.writable
	}
	return len(b), err
}
