package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
)

// A Server is a shared server as one of its users sees it. It implements engines.Server.
type Server struct {
	m    *Manager
	f    files
	run  *running
	conn *controlConn

	done  chan struct{} // closed by watch
	reply chan response // the answer to release

	mu     sync.Mutex
	ended  Ended // why, once done is closed
	closed bool
}

var _ engines.Server = (*Server)(nil)

func newServer(m *Manager, f files, run *running, conn *controlConn) *Server {
	s := &Server{m: m, f: f, run: run, conn: conn, done: make(chan struct{}), reply: make(chan response, 1)}
	go s.watch() // ends with the connection, which Close ends
	return s
}

// watch reads what the supervisor says until the connection ends.
func (s *Server) watch() {
	defer close(s.done)
	for {
		var resp response
		if err := s.conn.receive(&resp); err != nil {
			s.mu.Lock()
			if s.ended == (Ended{}) {
				s.ended.Err = "the supervisor was killed" + logTail(s.f.log())
			}
			s.mu.Unlock()
			return
		}
		if resp.Ended != nil {
			s.mu.Lock()
			s.ended = *resp.Ended
			s.mu.Unlock()
			continue
		}
		s.reply <- resp
	}
}

// Dial connects to the server's unix socket.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	path := filepath.Join(s.run.Info.Socket, ".s.PGSQL."+strconv.Itoa(s.run.Info.Port))
	return d.DialContext(ctx, "unix", path)
}

// Info describes the server.
func (s *Server) Info() engines.Info { return s.run.Info }

// Spec is what the server was started with, perhaps by another process.
func (s *Server) Spec() engines.Spec { return s.run.Spec }

// Since is when the server was ready.
func (s *Server) Since() time.Time { return s.run.Since }

// Done is closed when the server has ended, or after Close.
func (s *Server) Done() <-chan struct{} { return s.done }

// Ended says why the server ended; it is empty until Done is closed.
func (s *Server) Ended() Ended {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Err is nil while the server runs, after Close, and after an orderly end; see Ended.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ended.Err == "" {
		return nil
	}
	return fmt.Errorf("the server in %s ended: %s", s.f.dir, s.ended.Err)
}

// Pin keeps the server running when its last user has gone, until Stop, or until no client
// has been connected for idle; 0 is no limit.
func (s *Server) Pin(ctx context.Context, idle time.Duration) error {
	_, err := s.run.askOnce(ctx, request{Cmd: "pin", Idle: idle})
	return err
}

// Close ends this use of the server. The last user's Close returns when the server has
// stopped, and, if it is temporary, has been destroyed. When ctx ends first, the
// supervisor does the same without this process.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()

	defer func() {
		_ = s.conn.Close()
		<-s.done
	}()
	if err := s.conn.send(request{Cmd: "release"}); err != nil {
		return s.sweep(ctx) // ended before
	}
	select {
	case resp := <-s.reply:
		if resp.Err != "" {
			return errors.New(resp.Err)
		}
		return nil
	case <-s.done:
		return s.sweep(ctx)
	case <-ctx.Done():
		return nil
	}
}

// sweep removes a temporary cluster whose supervisor cannot do it any more.
func (s *Server) sweep(ctx context.Context) error {
	if !s.run.Destroy {
		return nil
	}
	if err := s.m.Destroy(ctx, s.f.dir, false); err != nil && !errors.Is(err, engines.ErrNotExist) && !errors.Is(err, engines.ErrLocked) {
		return err
	}
	return nil
}
