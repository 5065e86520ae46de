package pubsub

import (
	"context"
	"errors"
)

// Who wants to be sure that he has been told asks the server that listens something: its answer comes
// after what it knew of. One such question is under way at a time, and those who come meanwhile share
// the next one, so many cost it little more than one does.

// flushes are those who wait for what is under way. The hub's lock guards them.
type flushes struct {
	asking bool
	next   []chan<- error // those who have come since it was asked
	stuck  bool           // the last one was given up, and has not been answered since
}

// errStuck says that the server that listens does not answer in time.
var errStuck = errors.New("the server that listens does not answer in time")

// Flush returns when whatever was sent, by a transaction whose end was known before the call, to
// channels that are listened to has come to the mailboxes. It is an error that it may not have.
func (h *Hub) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	h.mu.Lock()
	if h.conn == nil {
		h.mu.Unlock()
		return nil // nothing is under way: what was is lost, and everyone is told
	}
	if h.flush.next = append(h.flush.next, done); !h.flush.asking {
		h.askNext()
	}
	h.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Barrier is Flush for who comes often and would rather be late than wait: after one that was given up
// it returns an error at once, until the server has answered that.
func (h *Hub) Barrier(ctx context.Context) error {
	h.mu.Lock()
	stuck := h.flush.stuck
	h.mu.Unlock()
	if stuck {
		return errStuck
	}
	err := h.Flush(ctx)
	if err != nil && ctx.Err() != nil {
		h.mu.Lock()
		h.flush.stuck = h.conn != nil && h.flush.asking
		h.mu.Unlock()
	}
	return err
}

// askNext asks the server for those who have come. The lock is held.
func (h *Hub) askNext() {
	list := h.flush.next
	h.flush.asking, h.flush.next = len(list) > 0, nil
	if len(list) == 0 {
		return
	}
	answer := func(err error) {
		for _, done := range list {
			done <- err
		}
		h.flush.stuck = false
		if h.conn == nil {
			// Those who have come since had the same connection.
			for _, done := range h.flush.next {
				done <- errClosed
			}
			h.flush.next = nil
		}
		h.askNext()
	}
	// The server says what it knows of before it is ready again (PostgresMain in postgres.c). Until
	// PostgreSQL 12 it does so when it waits for the next query, which the second one is.
	h.query("", func(err error) {
		if err == nil && h.conn == nil {
			err = errClosed
		}
		if err != nil {
			answer(err)
			return
		}
		h.query("", answer)
	})
}
