package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A Server offers pools on sockets. Methods are safe for concurrent use.
type Server struct {
	log   *slog.Logger
	since time.Time
	uid   int // ours

	mu       sync.Mutex
	pools    []*served
	conns    map[stream]bool
	closed   bool
	draining chan struct{} // closed when somebody asked for it
	drainer  sync.Once

	work sync.WaitGroup
}

// served is a pool with its sockets.
type served struct {
	*Pool
	sockets []*socket
	hall    *hall
	listen  string
}

// NewServer returns a server without pools. logger may be nil.
func NewServer(logger *slog.Logger) *Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Server{log: logger, since: time.Now(), uid: os.Geteuid(), conns: map[stream]bool{}, draining: make(chan struct{})}
}

// Add starts a pool and offers it on the sockets path and path.ctl. The first pool is the
// one that a control request means when it names none. The error wraps engines.ErrLocked
// where another server is there; the pool has not been started then. Close closes the
// pool.
func (s *Server) Add(path string, p *Pool) error {
	sp := &served{Pool: p}
	for _, at := range []string{path, ControlPath(path)} {
		l, err := listen(at)
		if err != nil {
			for _, l := range sp.sockets {
				err = errors.Join(err, l.Close())
			}
			return err
		}
		sp.sockets = append(sp.sockets, l)
	}
	leases, control := sp.sockets[0], sp.sockets[1]
	var err error
	if sp.hall, err = openHall(s, p, leases.door); err != nil {
		return errors.Join(err, leases.Close(), control.Close())
	}
	s.mu.Lock()
	s.pools = append(s.pools, sp)
	s.mu.Unlock()
	p.Start()
	s.work.Go(sp.hall.run)
	s.work.Go(func() { s.accept(p, control.door, true) })
	return nil
}

// SetListen notes the URL of a pool's listening address, for a status.
func (s *Server) SetListen(pool, url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sp := range s.pools {
		if sp.cfg.Name == pool {
			sp.listen = url
		}
	}
}

// accept serves a socket, every client with a session. Requests are made here, in the order
// of connecting.
func (s *Server) accept(p *Pool, d *door, control bool) {
	for {
		in, err := d.accept()
		if err != nil {
			if errors.Is(err, errClosed) {
				return
			}
			// Out of descriptors, most likely; some will come back.
			s.log.Warn("accept", "err", err)
			timer := time.NewTimer(50 * time.Millisecond)
			select {
			case <-timer.C:
			case <-s.draining:
				timer.Stop()
			}
			continue
		}
		if in.err != nil || !s.welcome(in.uid) {
			s.log.Warn("refused", "pid", in.pid, "uid", in.uid, "err", in.err)
			in.sendAway()
			continue
		}
		c := newSession(s, p, in.pid)
		c.conn = in.stream()
		if !control {
			c.request(p, "")
		}
		s.serve(c)
	}
}

// welcome reports whether a user may have leases.
func (s *Server) welcome(uid int) bool { return uid == s.uid || uid == 0 }

// serve runs a session in the background.
func (s *Server) serve(c *session) {
	if !s.track(c.conn) {
		c.leave()
		_ = c.conn.Close()
		return
	}
	s.work.Go(func() {
		defer s.untrack(c.conn)
		c.run()
	})
}

func (s *Server) track(conn stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[conn] = true
	return true
}

func (s *Server) untrack(conn stream) {
	_ = conn.Close()
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
}

// Pool returns the pool of a name, "" being the first one's. The error lists what there
// is.
func (s *Server) Pool(name string) (*Pool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, sp := range s.pools {
		if name == "" || sp.cfg.Name == name {
			return sp.Pool, nil
		}
		names = append(names, sp.cfg.Name)
	}
	return nil, fmt.Errorf("there is no pool %q; there are %v", name, names)
}

// Status says what the server is at.
func (s *Server) Status() Status {
	st := Status{PID: os.Getpid(), Since: s.since, Pools: []PoolStatus{}}
	for _, sp := range s.list() {
		ps := sp.Status()
		s.mu.Lock()
		ps.Listen = sp.listen
		s.mu.Unlock()
		if len(sp.sockets) > 0 {
			ps.Socket = sp.sockets[0].path
		}
		st.Pools = append(st.Pools, ps)
	}
	return st
}

func (s *Server) list() []*served {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*served(nil), s.pools...)
}

// Kick ends a lease of any pool.
func (s *Server) Kick(id, why string) error {
	for _, sp := range s.list() {
		if sp.Kick(id, why) {
			return nil
		}
	}
	return fmt.Errorf("there is no lease %q", id)
}

// Draining is closed when a client asked the server to end.
func (s *Server) Draining() <-chan struct{} { return s.draining }

func (s *Server) askDrain() { s.drainer.Do(func() { close(s.draining) }) }

// Drain stops listening, refuses those who wait, and returns when the last lease has
// ended, or with ctx. Close has to follow.
func (s *Server) Drain(ctx context.Context) error {
	s.askDrain()
	s.closeSockets()
	var errs []error
	for _, sp := range s.list() {
		errs = append(errs, sp.Drain(ctx))
	}
	return errors.Join(errs...)
}

func (s *Server) closeSockets() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sp := range s.pools {
		for _, l := range sp.sockets {
			if err := l.Close(); err != nil {
				s.log.Warn("close socket", "path", l.path, "err", err)
			}
		}
		sp.sockets = nil
	}
}

// Close stops listening, ends all leases, removes their databases but for those that are
// kept, and waits for all of it; ctx bounds what the pools' sources do about it. A second
// Close does nothing.
func (s *Server) Close(ctx context.Context) error {
	s.askDrain()
	s.closeSockets()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	var wg sync.WaitGroup
	pools := s.list()
	errs := make([]error, len(pools))
	for i, sp := range pools {
		wg.Go(func() { errs[i] = sp.Close(ctx) })
	}
	wg.Wait()
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	for _, sp := range pools {
		sp.hall.end()
	}
	s.work.Wait()
	return errors.Join(errs...)
}
