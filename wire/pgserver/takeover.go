package pgserver

import (
	"crypto/tls"
	"net"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Takeover is an authenticated connection that is handed to whoever speaks the protocol for
// himself, as a proxy does. The client has been told AuthenticationOk, or will be with the
// first write: nothing else.
type Takeover struct {
	// Session says who the client is. Of its methods only those that tell what was known at
	// the start may be used.
	Session *Session
	// Conn is the connection, with TLS if the client asked for it. It is closed when
	// Server.Takeover returns.
	Conn net.Conn
	// Received are bytes that the client sent behind its last answer.
	Received []byte
	// Params are the startup message's, in its order.
	Params []wire.Param
	// Unsent is what has to be written before anything else.
	Unsent []byte

	conn *conn
}

// A Detached is a connection that goes on after Server.Takeover has returned. It is meant to be
// part of what keeps the connection; it must not be copied once Detach has got it.
type Detached struct {
	srv        *Server
	nc         net.Conn
	prev, next *Detached // of the server's list, under its lock
}

// Detach lets the connection go on after Server.Takeover has returned, as nc, which the Server
// closes when it is closed itself and which has the client's address. The Server counts it until
// d.Done is called: its limits include it and Shutdown waits for it. Detach may be called once,
// before Server.Takeover returns.
func (t *Takeover) Detach(d *Detached, nc net.Conn) {
	c := t.conn
	s := c.srv
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wg.Add(1)
	d.srv, d.nc, d.next = s, nc, s.detached
	if d.next != nil {
		d.next.prev = d
	}
	s.detached = d
	c.detached = true
}

// Done says that the connection is closed. It may be called once; of one that was never detached
// it does nothing.
func (d *Detached) Done() {
	s := d.srv
	if s == nil {
		return
	}
	host := hostOf(d.nc)
	s.mu.Lock()
	if d.next != nil {
		d.next.prev = d.prev
	}
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		s.detached = d.next
	}
	d.prev, d.next = nil, nil
	s.discount(host)
	s.settle()
	s.mu.Unlock()
	s.wg.Done()
}

// Swap puts another connection in the place of Conn, or of the one under its TLS, where that has
// read nothing that it has not given. swap gets the one there is and returns what takes its
// place; if that is nil there is no change.
func (t *Takeover) Swap(swap func(net.Conn) net.Conn) bool {
	tc, ok := t.Conn.(*tls.Conn)
	if !ok {
		if nc := swap(t.Conn); nc != nil {
			t.Conn = nc
			return true
		}
		return false
	}
	under, ok := tc.NetConn().(*captured)
	if !ok {
		return false
	}
	inner := under.Conn
	if p, ok := inner.(*prefixed); ok {
		if len(p.head) > 0 {
			return false
		}
		inner = p.Conn
	}
	nc := swap(inner)
	if nc == nil {
		return false
	}
	under.Conn, under.leaf = nc, nil
	return true
}

// handsOver reports whether a session is handed over.
func (s *Server) handsOver(sess *Session) bool {
	return s.Takeover != nil && (s.Stays == nil || s.Handler == nil || !s.Stays(sess))
}

// takeover hands the connection over.
func (c *conn) takeover(s *Session) error {
	t := &Takeover{
		Session: s, Conn: c.nc, Received: append([]byte(nil), c.r.Detach()...),
		Params: s.startup.Params, Unsent: append([]byte(nil), c.w.Buffer()...),
		conn: c,
	}
	c.r, c.w = nil, nil // an idle session costs little
	clear(c.first[:])   // there may be a password in it
	return c.srv.Takeover(s.ctx, t)
}

// Options splits the startup parameter "options" as pg_split_opts does, and returns the
// settings in it: -c name=value and --name=value.
func Options(text string) ([][2]string, error) { return options(text) }
