package pgserver

import (
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
	}
	c.r, c.w = nil, nil // an idle session costs little
	return c.srv.Takeover(s.ctx, t)
}

// Options splits the startup parameter "options" as pg_split_opts does, and returns the
// settings in it: -c name=value and --name=value.
func Options(text string) ([][2]string, error) { return options(text) }
