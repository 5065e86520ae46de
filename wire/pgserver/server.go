package pgserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Defaults of a Server's limits.
const (
	DefaultStartupTimeout = 60 * time.Second // PostgreSQL's authentication_timeout
	DefaultPreAuthConns   = 100
	DefaultMaxMessage     = 64 << 20
	DefaultMaxStatements  = 4096
	DefaultMaxPortals     = 1024
)

// ErrServerClosed is returned by Serve and ListenAndServe after Shutdown or Close.
var ErrServerClosed = errors.New("pgserver: server closed")

// A Server serves the PostgreSQL protocol. The zero value with a Handler is ready to use: it
// lets in everybody from this machine and nobody else. Its fields must not change once it
// serves. Its methods may be called by several goroutines.
type Server struct {
	Handler Handler

	// Auth decides who is let in. nil trusts clients on a Unix socket or a loopback address
	// and refuses all others.
	Auth Authenticator

	// TLS is used when a client asks for it, by SSLRequest or directly. A certificate that
	// is renewed is served through its GetCertificate. nil offers no TLS.
	TLS *tls.Config
	// RequireTLS refuses TCP clients without it.
	RequireTLS bool

	// Params are told to clients as ParameterStatus, over the defaults: server_version,
	// server_encoding, client_encoding, DateStyle and so on.
	Params map[string]string
	// Options are the protocol options ("_pq_." and a name) that the handler knows. Others
	// are reported to the client as unknown.
	Options []string

	// StartupTimeout is how long a client may take from connecting to being authenticated,
	// TLS included. 0 is DefaultStartupTimeout, negative is no limit.
	StartupTimeout time.Duration
	// IdleTimeout is how long a client may be silent between commands. 0 is no limit.
	IdleTimeout time.Duration
	// WriteTimeout is how long the client may take to receive one block. 0 is no limit.
	WriteTimeout time.Duration

	// MaxConns limits connections, MaxConnsPerAddr those of one address on TCP, and
	// MaxPreAuthConns those that are not authenticated yet. 0 is no limit for the first two
	// and DefaultPreAuthConns for the third; negative is no limit.
	MaxConns, MaxConnsPerAddr, MaxPreAuthConns int

	// MaxMessage limits the bytes of one message of a client; 0 is DefaultMaxMessage,
	// negative is the protocol's own limit of 1 GiB. MaxStatements and MaxPortals limit what
	// a session may keep; 0 is DefaultMaxStatements and DefaultMaxPortals, negative is no
	// limit.
	MaxMessage, MaxStatements, MaxPortals int

	// WholeStrings gives the handler the string of a simple query as it is, for languages
	// other than SQL. Otherwise ServeQuery gets one statement at a time.
	WholeStrings bool

	// Types returns a type map for a session that needs one; nil is pgtype.NewMap.
	Types func() *pgtype.Map

	// Notifier connects the sessions that listen and notify. nil is one of the server's own;
	// several servers may share one.
	Notifier *Broker

	// ErrorLog gets what goes wrong outside of a query. nil discards it.
	ErrorLog *slog.Logger
	// ErrorHook may log or replace each error before a client gets it. It cannot make an
	// error before authentication less than fatal.
	ErrorHook func(s *Session, err error) *wire.Error
	// ConnState is told of every connection's changes.
	ConnState func(c net.Conn, s ConnState)
	// Takeover gets each connection once it is authenticated, instead of the Handler, which
	// is not needed then. It returns when the session is over; Close closes the connection
	// under it. What the Server's fields say of the time after authentication is up to it.
	Takeover func(ctx context.Context, t *Takeover) error
	// Stays names sessions for which, Takeover or not, the Handler serves.
	Stays func(s *Session) bool
	// Cancel gets the cancel requests, where Takeover is set. The connection that a request
	// came by is closed when it returns.
	Cancel func(ctx context.Context, pid uint32, key []byte)
	// BaseContext is the parent of all contexts of a listener's sessions; nil is
	// context.Background.
	BaseContext func(l net.Listener) context.Context

	setup  sync.Once
	broker *Broker
	tls    *tls.Config
	keys   registry

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	detached  *Detached // the first one
	perAddr   map[netip.Addr]int
	admitted  int // connections that were not refused
	preAuth   int // those of them that are not authenticated
	closing   bool
	draining  bool          // no more are accepted
	drained   chan struct{} // closed when nothing is accepted and nobody is left
	wg        sync.WaitGroup
}

// A ConnState is a moment in the life of a connection.
type ConnState int

// The states of a connection. ConnNew comes first and ConnClosed last; between them, from
// authentication on, are ConnIdle and ConnActive, any number of times.
const (
	ConnNew    ConnState = iota // accepted
	ConnActive                  // a message is being answered
	ConnIdle                    // authenticated, and waits for a command
	ConnClosed
)

// String names the state.
func (s ConnState) String() string { return [...]string{"new", "active", "idle", "closed"}[s] }

// ListenAndServe serves h on a TCP address, to clients of this machine.
func ListenAndServe(addr string, h Handler) error {
	return (&Server{Handler: h}).ListenAndServe(addr)
}

// ListenAndServe listens on a TCP address, or on a Unix socket when addr begins with a slash,
// and serves until Shutdown or Close.
func (s *Server) ListenAndServe(addr string) error {
	network := "tcp"
	if len(addr) > 0 && addr[0] == '/' {
		network = "unix"
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return err
	}
	return s.Serve(l)
}

// Serve accepts connections and serves each in a goroutine until Shutdown or Close, and then
// returns ErrServerClosed. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	if err := s.init(); err != nil {
		return errors.Join(err, l.Close())
	}
	if !s.track(l) {
		return errors.Join(ErrServerClosed, l.Close())
	}
	defer s.untrack(l)
	ctx := context.Background()
	if s.BaseContext != nil {
		ctx = s.BaseContext(l)
	}
	delay := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.isEnding() {
				return ErrServerClosed
			}
			if !isTemporary(err) {
				return fmt.Errorf("accept: %w", err)
			}
			// Out of descriptors or the like: as net/http, wait a little and try again.
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			s.log().Warn("accept a connection", "error", err, "retry", delay)
			select {
			case <-time.After(delay):
			case <-ctx.Done():
			}
			continue
		}
		delay = 0
		c := s.newConn(nc)
		if !s.admit(c) {
			nc.Close()
			return ErrServerClosed
		}
		go func() {
			defer s.wg.Done()
			deepen()
			_ = c.serve(ctx) // told to ErrorLog
		}()
	}
}

// deepen has the goroutine's stack as large as a login needs it, while it is empty: to be copied each
// time that it turns out too small takes longer.
//
//go:noinline
func deepen() {
	var room [5 << 10]byte
	runtime.KeepAlive(&room)
}

// ServeConn serves one connection and returns when its session has ended, with nil for an
// ordinary end. It closes the connection.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) error {
	if err := s.init(); err != nil {
		return errors.Join(err, nc.Close())
	}
	c := s.newConn(nc)
	if !s.admit(c) {
		return errors.Join(ErrServerClosed, nc.Close())
	}
	defer s.wg.Done()
	return c.serve(ctx)
}

// Shutdown stops accepting, ends idle sessions with FATAL 57P01, lets running commands finish
// and returns when all sessions are over. When ctx ends first, it closes what is left and
// returns ctx's error once that is over too.
func (s *Server) Shutdown(ctx context.Context) error {
	for c, stranger := range s.close() {
		if stranger {
			c.raw.Close() // whoever is not authenticated has nothing to finish
			continue
		}
		c.wake(wakeShutdown)
	}
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.kill()
	<-done
	return ctx.Err()
}

// Drain stops accepting, and returns when all sessions have ended by themselves, or with ctx's
// error when that ends first; then Shutdown or Close ends the rest. Every connection that has
// been accepted is served. A listener whose socket another process has too can so change hands
// without a client that is refused.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining {
		s.draining, s.drained = true, make(chan struct{})
		for l := range s.listeners {
			l.Close()
		}
		s.settle()
	}
	drained := s.drained
	s.mu.Unlock()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle notes that a drain is over. It is called with the lock held.
func (s *Server) settle() {
	if !s.draining || len(s.listeners)+len(s.conns) > 0 || s.detached != nil {
		return
	}
	select {
	case <-s.drained: // a connection by ServeConn came and went since
	default:
		close(s.drained)
	}
}

// Close ends everything at once and waits for the handlers to return.
func (s *Server) Close() error {
	s.close()
	s.kill()
	s.wg.Wait()
	return nil
}

// close stops accepting and returns the connections, each with whether it is not
// authenticated.
func (s *Server) close() map[*conn]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
	conns := make(map[*conn]bool, len(s.conns))
	for c := range s.conns {
		conns[c] = c.stranger
	}
	return conns
}

func (s *Server) kill() {
	for c := range s.close() {
		c.current.Load().cancel(errShutdown)
		c.raw.Close()
	}
	s.mu.Lock()
	var left []net.Conn
	for d := s.detached; d != nil; d = d.next {
		left = append(left, d.nc)
	}
	s.mu.Unlock()
	for _, nc := range left {
		nc.Close()
	}
}

func (s *Server) init() error {
	s.setup.Do(func() {
		if s.broker = s.Notifier; s.broker == nil {
			s.broker = &Broker{}
		}
		if s.TLS != nil {
			s.tls = serverTLS(s.TLS)
		}
	})
	if s.Handler == nil && s.Takeover == nil {
		return errors.New("pgserver: the server has no Handler")
	}
	if s.RequireTLS && s.TLS == nil {
		return errors.New("pgserver: RequireTLS is set, but TLS is not")
	}
	return nil
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.draining {
		return false
	}
	if s.listeners == nil {
		s.listeners = map[net.Listener]struct{}{}
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) untrack(l net.Listener) {
	l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	s.settle()
}

// admit counts a connection and decides about its limits; a refusal is told by the
// connection's own goroutine.
func (s *Server) admit(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if s.conns == nil {
		s.conns, s.perAddr = map[*conn]struct{}{}, map[netip.Addr]int{}
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	c.stranger = true
	switch {
	case s.MaxConns > 0 && s.admitted >= s.MaxConns,
		over(s.preAuth+1, s.MaxPreAuthConns, DefaultPreAuthConns):
		c.refusal = &wire.Error{Code: wire.CodeTooManyConnections, Message: "sorry, too many clients already"}
	case c.host.IsValid() && s.MaxConnsPerAddr > 0 && s.perAddr[c.host] >= s.MaxConnsPerAddr:
		c.refusal = &wire.Error{Code: wire.CodeTooManyConnections, Message: "too many connections from this address"}
	default:
		// Who is refused does not count, or a flood would keep everybody out.
		s.admitted++
		s.preAuth++
		if c.host.IsValid() {
			s.perAddr[c.host]++
		}
	}
	return true
}

func over(n, limit, byDefault int) bool {
	if limit == 0 {
		limit = byDefault
	}
	return limit > 0 && n > limit
}

// authenticated takes a connection out of those that are not.
func (s *Server) authenticated(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known(c)
}

func (s *Server) known(c *conn) {
	if c.stranger && c.refusal == nil {
		s.preAuth--
	}
	c.stranger = false
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known(c)
	delete(s.conns, c)
	s.settle()
	if c.refusal != nil || c.detached {
		return
	}
	s.discount(c.host)
}

// discount takes a connection that was admitted out of the counts.
func (s *Server) discount(host netip.Addr) {
	s.admitted--
	if !host.IsValid() {
		return
	}
	if s.perAddr[host]--; s.perAddr[host] == 0 {
		delete(s.perAddr, host)
	}
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// isEnding reports whether no more connections are accepted.
func (s *Server) isEnding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing || s.draining
}

func (s *Server) log() *slog.Logger {
	if s.ErrorLog == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.ErrorLog
}

func (s *Server) newTypes() *pgtype.Map {
	if s.Types != nil {
		return s.Types()
	}
	return pgtype.NewMap()
}

// isTemporary says that accepting may work again later (EMFILE and the like).
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}
