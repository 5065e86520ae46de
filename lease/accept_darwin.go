package lease

import (
	"errors"
	"net"
)

// A door listens on a unix socket.
type door struct{ l *net.UnixListener }

// openDoor binds a socket to path, with the mode that the umask gives, and listens.
func openDoor(path string) (*door, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return &door{l}, nil
}

// accept waits for the next client. The error wraps errClosed after close.
func (d *door) accept() (*caller, error) {
	conn, err := d.l.AcceptUnix()
	if errors.Is(err, net.ErrClosed) {
		return nil, errClosed
	} else if err != nil {
		return nil, err
	}
	c := &caller{conn: conn}
	c.pid, c.uid, c.err = PeerOf(conn)
	return c, nil
}

// close ends accept, and with it the listening.
func (d *door) close() error { return d.l.Close() }

// A caller is a client that has just connected. It becomes a stream, or is sent away.
type caller struct {
	conn     *net.UnixConn
	pid, uid int
	err      error // why pid and uid are not known
}

// stream makes the connection one that can be waited for.
func (c *caller) stream() stream { return c.conn }

func (c *caller) sendAway() { _ = c.conn.Close() }

// A hall serves the clients of one lease socket, each with a session.
type hall struct {
	server *Server
	pool   *Pool
	door   *door
}

func openHall(s *Server, p *Pool, d *door) (*hall, error) { return &hall{s, p, d}, nil }

// run serves until the door is closed.
func (h *hall) run() { h.server.accept(h.pool, h.door, false) }

func (h *hall) end() {}
