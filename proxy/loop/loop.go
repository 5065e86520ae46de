package loop

import (
	"errors"
	"net"
)

// ErrUnsupported is what New returns where there are no loops, and Adopt for connections that
// are not the system's.
var ErrUnsupported = errors.New("loop: not supported")

// ErrAgain is what Read returns when nothing has come. It is a net.Error and temporary, so that
// crypto/tls can go on after it.
var ErrAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "nothing has come yet" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// A Handler is told what happens to a connection.
type Handler interface {
	// Readable says that a Read will find something. buf is the loop's own and may be used
	// until the call returns.
	Readable(c *Conn, buf []byte)
	// Drained says that all that was written has been taken, after it had not been at once.
	Drained(c *Conn)
	// Closed says that the connection was closed, by whomever.
	Closed(c *Conn)
}

// A Task is done by a loop.
type Task interface{ Do() }

// bufferSize is how large the buffer of a loop is.
const bufferSize = 64 << 10
