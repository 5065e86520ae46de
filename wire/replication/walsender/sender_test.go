package walsender

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// A fakeLink is a link that cannot be interrupted, and whose other end answers CopyDone.
type fakeLink struct {
	in     chan []byte
	closed bool

	mu   sync.Mutex
	sent [][]byte
}

func (l *fakeLink) Send(data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, append([]byte(nil), data...))
	return nil
}

func (l *fakeLink) messages() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

func (l *fakeLink) Flush() error { return nil }

func (l *fakeLink) Receive() ([]byte, error) {
	data, ok := <-l.in
	if !ok {
		return nil, io.EOF
	}
	return data, nil
}

func (l *fakeLink) Close() error {
	if !l.closed {
		l.closed = true
		close(l.in)
	}
	return nil
}

func status(flushed wire.LSN, reply bool) []byte {
	m := &wire.StandbyStatus{Flushed: flushed, ReplyRequested: reply}
	return m.AppendTo(nil)[wire.HeaderLen:]
}

// TestStreamEndsBySource has the source fail: the link is closed, the subscriber waited for,
// and the source's error returned.
func TestStreamEndsBySource(t *testing.T) {
	broken := errors.New("the disk is gone")
	link := &fakeLink{in: make(chan []byte)}
	err := Stream(t.Context(), link, func(context.Context) iter.Seq2[*Transaction, error] {
		return func(yield func(*Transaction, error) bool) {
			if yield(&Transaction{XID: 1, CommitLSN: 10, EndLSN: 20, Changes: []pgoutput.Message{&pgoutput.LogicalMessage{Transactional: true}}}, nil) {
				yield(nil, broken)
			}
		}
	}, StreamOptions{Messages: true})
	if !errors.Is(err, broken) || !link.closed || len(link.sent) != 3 {
		t.Errorf("%v; closed %v; %d messages", err, link.closed, len(link.sent))
	}
}

// TestStreamTimes runs a stream in false time: an asked-for reply comes at once, a silent
// subscriber is asked after half the time-out and given up after all of it.
func TestStreamTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := &fakeLink{in: make(chan []byte)}
		var confirmed wire.LSN
		began := time.Now()
		done := make(chan error, 1)
		go func() {
			done <- Stream(t.Context(), link, func(ctx context.Context) iter.Seq2[*Transaction, error] {
				return func(yield func(*Transaction, error) bool) {
					if yield(&Transaction{CommitLSN: 10, EndLSN: 20}, nil) { // nothing of it is published
						<-ctx.Done()
					}
				}
			}, StreamOptions{Timeout: 10 * time.Second, Start: 5, Confirmed: func(m wire.StandbyStatus) { confirmed = m.Flushed }})
		}()
		keepalive := func(i int) (k wire.PrimaryKeepalive) {
			synctest.Wait()
			sent := link.messages()
			if len(sent) != i+1 {
				t.Fatalf("%d messages after %v, want %d", len(sent), time.Since(began), i+1)
			}
			if err := k.Decode(sent[i]); err != nil {
				t.Fatal(err)
			}
			return k
		}
		<-time.After(4 * time.Second)
		link.in <- status(7, true)
		if k := keepalive(0); k.ReplyRequested || k.ServerEnd != 20 || confirmed != 7 {
			t.Errorf("%+v, confirmed %v", k, confirmed)
		}
		<-time.After(5 * time.Second)
		if k := keepalive(1); !k.ReplyRequested {
			t.Errorf("%+v", k)
		}
		var e *wire.Error
		if err := <-done; !errors.As(err, &e) || e.Code != wire.CodeConnectionFailure {
			t.Error(err)
		}
		if d := time.Since(began); d != 14*time.Second {
			t.Errorf("given up after %v", d)
		}
	})
}

// TestStreamRefuses has a subscriber that says what it must not.
func TestStreamRefuses(t *testing.T) {
	for _, data := range []string{"", "x", "r", "r\x00"} {
		link := &fakeLink{in: make(chan []byte, 1)}
		link.in <- []byte(data)
		err := Stream(t.Context(), link, func(ctx context.Context) iter.Seq2[*Transaction, error] {
			return func(func(*Transaction, error) bool) { <-ctx.Done() }
		}, StreamOptions{})
		var e *wire.Error
		if !errors.As(err, &e) || e.Code != wire.CodeProtocolViolation {
			t.Errorf("%q: %v", data, err)
		}
	}
}
