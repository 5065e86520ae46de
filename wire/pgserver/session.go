package pgserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Session is one client's connection after authentication. Its methods are for the
// goroutine that serves the session, in a handler's call, except where they say otherwise.
type Session struct {
	conn     *conn
	ctx      context.Context
	identity Identity
	startup  *wire.StartupMessage
	version  wire.Version
	pid      uint32
	params   params
	types    *pgtype.Map
	style    style

	tx         wire.TxStatus
	atCommit   []func()
	atRollback []func() // in reverse
	atEnd      []func() // of the transaction, in reverse, before the others

	mu     sync.Mutex
	values map[any]any
	notes  []wire.NotificationResponse
}

// Context returns a context that ends with the session. Any goroutine may call it.
func (s *Session) Context() context.Context { return s.ctx }

// User returns the role the client asked for and was let in as.
func (s *Session) User() string { return s.identity.User }

// Identity returns who the client is and how that was found out.
func (s *Session) Identity() Identity { return s.identity }

// Database returns the database the client asked for; it defaults to the user's name.
func (s *Session) Database() string { return s.startup.Database() }

// PID returns the number by which the client knows this session.
func (s *Session) PID() uint32 { return s.pid }

// Version returns the protocol version that was agreed on.
func (s *Session) Version() wire.Version { return s.version }

// Startup returns a parameter of the startup message as it came.
func (s *Session) Startup(name string) (string, bool) { return s.startup.Get(name) }

// Replication returns the startup parameter of that name: "" for an ordinary session, "true"
// for physical and "database" for logical replication.
func (s *Session) Replication() string {
	v, _ := s.startup.Get("replication")
	switch v {
	case "", "false", "off", "no", "0":
		return ""
	case "database":
		return v
	}
	return "true"
}

// RemoteAddr returns the client's address.
func (s *Session) RemoteAddr() net.Addr { return s.conn.raw.RemoteAddr() }

// TLS returns the state of the TLS connection, or nil without one.
func (s *Session) TLS() *tls.ConnectionState { return s.conn.tlsState }

// Types returns the session's type map, which knows PostgreSQL's own types. A handler may
// register more.
func (s *Session) Types() *pgtype.Map {
	if s.types == nil {
		s.types = s.conn.srv.newTypes()
	}
	return s.types
}

// TxStatus returns the state of the transaction, as the client will be told.
func (s *Session) TxStatus() wire.TxStatus {
	if t, ok := find[TxStater](s.conn.srv.Handler); ok {
		return t.TxStatus(s)
	}
	return s.tx
}

// AtCommit calls f when the current transaction commits, or with the end of the current
// command if there is none. After a rollback it is not called.
func (s *Session) AtCommit(f func()) { s.atCommit = append(s.atCommit, f) }

// settle runs or drops what waits for the end of the transaction.
func (s *Session) settle(committed bool) {
	commit, rollback, end := s.atCommit, s.atRollback, s.atEnd
	s.atCommit, s.atRollback, s.atEnd = nil, nil, nil
	for _, f := range slices.Backward(end) {
		f()
	}
	if committed {
		for _, f := range commit {
			f()
		}
		return
	}
	for _, f := range slices.Backward(rollback) {
		f()
	}
}

// A Key names a value of type T that sessions carry. Make one with NewKey and keep it in a
// variable of the package that uses it.
type Key[T any] struct{ name string }

// NewKey returns a key that is equal to no other. The name is for people.
func NewKey[T any](name string) *Key[T] { return &Key[T]{name} }

// String returns the key's name.
func (k *Key[T]) String() string { return k.name }

// Get returns the session's value, or false. Any goroutine may call it.
func (k *Key[T]) Get(s *Session) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[k].(T)
	return v, ok
}

// Set gives the session a value. Any goroutine may call it.
func (k *Key[T]) Set(s *Session, v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = map[any]any{}
	}
	s.values[k] = v
}

// Delete takes the value away. Any goroutine may call it.
func (k *Key[T]) Delete(s *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, k)
}

// notify queues a notification and wakes the session if it is idle. Any goroutine may call it.
func (s *Session) notify(n wire.NotificationResponse) {
	s.mu.Lock()
	full := len(s.notes) >= maxPending
	if !full {
		s.notes = append(s.notes, n)
	}
	s.mu.Unlock()
	if full {
		s.conn.srv.log().Warn("end a session that does not take its notifications", "pid", s.pid)
		s.conn.raw.Close()
		return
	}
	s.conn.wake(wakeNotify)
}

func (s *Session) takeNotes() []wire.NotificationResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.notes
	s.notes = nil
	return out
}

// Statements returns the names of the session's prepared statements, sorted.
func (s *Session) Statements() []string {
	var out []string
	for name := range s.conn.stmts {
		if name != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Deallocate drops a prepared statement, as Close does; it serves DEALLOCATE. It reports
// whether there was one.
func (s *Session) Deallocate(name string) bool { return s.conn.closeStatement(name) }

// addrOf returns a client's IP address; the zero Addr for a Unix socket or a pipe. The text is
// parsed, so that a listener that wraps its connections does not make strangers look local.
func addrOf(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	if p, err := netip.ParseAddrPort(a.String()); err == nil {
		return p.Addr().Unmap()
	}
	return netip.Addr{}
}

// isLocal reports a connection that no network is part of.
func isLocal(nc net.Conn) bool {
	a := nc.LocalAddr()
	return a != nil && (strings.HasPrefix(a.Network(), "unix") || a.Network() == "pipe")
}
