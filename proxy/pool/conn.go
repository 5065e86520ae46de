package pool

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/setting"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Sink takes what a server sends on a connection that is attached to it. The connection's
// own goroutine calls it.
type Sink interface {
	// Data is given all bytes that have come and were not consumed yet, and returns how many
	// of them it is done with; the rest comes again, with more. It may keep none of b.
	// ErrDetached says that the sink has nothing to do with the connection any more. Any other
	// error closes the connection, and Lost is called with it.
	Data(c *Conn, b []byte) (consumed int, err error)
	// Lost says that the connection has ended. It is the last call.
	Lost(c *Conn, err error)
}

// A Conn is one connection that has logged in. The exported fields belong to whoever has it:
// they are guarded by his own lock, if several goroutines look at them.
type Conn struct {
	// Status is the transaction status of the last ReadyForQuery.
	Status wire.TxStatus
	// Reported is what the server last told by ParameterStatus, as plain texts.
	Reported setting.Set
	// Have is what SET has made of the session. Unknown says that there may be more: it must
	// be reset before somebody else relies on it.
	Have    setting.Set
	Unknown bool
	// Statements are the prepared statements that this connection has.
	Statements Statements
	// Unnamed says whose the unnamed prepared statement is; 0 is nothing that anybody knows.
	Unnamed uint64

	// Kept is what whoever had the connection last has left for the next one.
	Kept any

	// BytesIn and BytesOut count what came from the server and went to it.
	BytesIn, BytesOut atomic.Int64
	// Tally is what whoever has the connection counts.
	Tally Tally

	pool    *Pool
	nc      net.Conn
	pid     uint32
	key     []byte
	born    time.Time
	expires time.Time // zero: never
	wave    int       // the pool's wave of connections that this one is of

	refs   atomic.Int32
	broken atomic.Bool
	why    atomic.Pointer[string] // it was closed

	lc   *loop.Conn // of a connection that a loop drives; nc is it, or TLS over it
	rest []byte     // of the loop: what came and was not consumed
	came time.Time  // of the loop: when that did which it deals with

	mu    sync.Mutex
	sink  Sink // nil while it is idle in the pool
	ended bool // nothing more comes

	// Of the pool, under its lock.
	idleSince, checked time.Time
	resting            bool // it is among the idle ones
}

// Backend returns the server that the connection leads to.
func (c *Conn) Backend() *Backend { return c.pool.backend }

// Pool returns the pool that the connection belongs to.
func (c *Conn) Pool() *Pool { return c.pool }

// PID returns the number of the server's process.
func (c *Conn) PID() uint32 { return c.pid }

// Born returns when the connection was opened.
func (c *Conn) Born() time.Time { return c.born }

// Net returns the network connection, for deadlines and addresses. Do not read from it.
func (c *Conn) Net() net.Conn { return c.nc }

// Attach makes s the one who gets what the server sends. The connection must be held. It
// returns false if the connection has ended already, of which s is not told then.
func (c *Conn) Attach(s Sink) bool {
	if c.lc != nil {
		return c.attachEvented(s)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sink = s
	return !c.ended
}

// Write sends bytes, which must be whole messages in the end. An error breaks the connection.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.nc.Write(b)
	c.BytesOut.Add(int64(n))
	if err != nil {
		c.fall("write to the server: " + err.Error())
	}
	return n, err
}

// Break closes the connection; it will not be used again. Whoever holds it still has to
// release it. Any goroutine may call it.
func (c *Conn) Break(why string) {
	c.why.CompareAndSwap(nil, &why)
	if !c.broken.Swap(true) && c.refs.Load() > 0 {
		c.pool.forced.Add(1)
	}
	_ = c.nc.Close()
}

// fall is Break of a connection that the server, or the network, has ended.
func (c *Conn) fall(why string) {
	c.why.CompareAndSwap(nil, &why)
	c.broken.Store(true)
	_ = c.nc.Close()
}

// Spoil is Break because of the state that the connection is in.
func (c *Conn) Spoil(why string) {
	if !c.broken.Load() {
		c.pool.outOfSync.Add(1)
	}
	c.Break(why)
}

// Broken reports that the connection is closed.
func (c *Conn) Broken() bool { return c.broken.Load() }

// Why says why it is.
func (c *Conn) Why() string {
	if w := c.why.Load(); w != nil {
		return *w
	}
	return ""
}

// Hold counts one more who holds the connection, so that nobody else gets it before he has
// released it too.
func (c *Conn) Hold() { c.refs.Add(1) }

// Release gives the connection up. The last one to do so gives it back to the pool: it must be
// idle, with everything asked for answered and no transaction open, or it must be broken.
func (c *Conn) Release() { c.ReleaseAt(time.Time{}) }

// ReleaseAt is Release for who knows the time.
func (c *Conn) ReleaseAt(now time.Time) {
	if c.refs.Add(-1) > 0 {
		return
	}
	if !c.broken.Load() && c.Status != wire.TxIdle {
		c.Spoil("released in a transaction")
	}
	c.Attach(nil)
	c.pool.put(c, now)
}

// idle takes what the server says while nobody uses the connection.
func (c *Conn) idle(b []byte) (consumed int, err error) {
	for len(b)-consumed >= wire.HeaderLen {
		m := b[consumed:]
		n := frameLen(m)
		if n < 4 || n > wire.MaxLargeMessage {
			return consumed, wire.Errorf(wire.CodeProtocolViolation, "the server sent a message of %d bytes", n)
		}
		if len(m) < n+1 {
			break
		}
		switch typ, body := wire.Type(m[0]), m[wire.HeaderLen:n+1]; typ {
		case wire.TypeParameterStatus:
			var p wire.ParameterStatus
			if err := p.Decode(body); err != nil {
				return consumed, err
			}
			c.Reported = c.Reported.With(p.Name, p.Value)
		case wire.TypeNoticeResponse, wire.TypeNotificationResponse:
		case wire.TypeErrorResponse:
			var e wire.ErrorResponse
			if err := e.Decode(body); err != nil {
				return consumed, err
			}
			return consumed, &e.Error
		default:
			return consumed, wire.Errorf(wire.CodeProtocolViolation, "the server sent %s, which nobody asked for", wire.Backend.Name(typ))
		}
		consumed += n + 1
	}
	return consumed, nil
}

func frameLen(m []byte) int {
	return int(uint32(m[1])<<24 | uint32(m[2])<<16 | uint32(m[3])<<8 | uint32(m[4]))
}
