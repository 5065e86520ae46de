package scatter

import (
	"context"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Conn is an authenticated server connection at rest. One session uses it at a time, but
// for Cancel.
type Conn interface {
	// Send sends bytes that are whole messages.
	Send(messages []byte) error
	// Receive returns the next message, whatever it is. The body is valid until the next
	// call, and may be changed.
	Receive() (wire.Type, []byte, error)
	// Buffered returns how many bytes have been received already.
	Buffered() int
	// Cancel asks the server to cancel what the connection runs, and returns when it has
	// taken note. Any goroutine may call it, as long as the session has the connection.
	Cancel(ctx context.Context) error
	// Hold keeps the connection from being lent to another session until release is called.
	Hold() (release func())
	// Statements is a memory of what has been prepared on the connection, which lasts as
	// long as it does.
	Statements() *Statements
}

// Servers lends server connections. It is safe for concurrent use.
type Servers interface {
	// Acquire returns a connection to a server of a shard that has exactly the given
	// settings, or an error for the client (a *wire.Error, or one that is wrapped in 08006).
	Acquire(ctx context.Context, shard int, role route.Role, settings *Settings) (Conn, error)
	// Release takes back a connection that is at rest, outside of any transaction, and has
	// the given settings now; nil if they are not known.
	Release(c Conn, settings *Settings)
	// Discard closes a connection that is not.
	Discard(c Conn)
}

// A Committer makes a transaction that wrote on several shards take effect on all of them or
// none.
type Committer interface {
	// Commit commits. Each part is a connection in an open transaction, and is at rest
	// afterwards. A nil error says that the transaction is durable and will be committed
	// everywhere; pending names the shards where it is not yet. Any other error says that
	// the transaction is rolled back everywhere, or will be.
	Commit(ctx context.Context, parts []Part) (pending []int, err error)
}

// A Part is a shard's part of a transaction.
type Part interface {
	Shard() int
	// Start sends SQL that returns no rows, and Wait waits for its end. An error that Lost
	// reports leaves open whether it was carried out. All calls are from one goroutine.
	Start(sql string) error
	Wait() error
	Lost() bool
}

// maxStatements is how many statements stay prepared on one connection.
const maxStatements = 500

// Statements are those prepared on one connection. The zero value is empty. It is not safe
// for concurrent use.
type Statements struct {
	names map[string]uint64
	tick  uint64
}

// use reports whether the statement is prepared. If not, it is taken down as prepared, and
// drop is a statement to be closed for it, if any.
func (s *Statements) use(name string) (known bool, drop string) {
	s.tick++
	if _, known = s.names[name]; !known {
		if s.names == nil {
			s.names = map[string]uint64{}
		}
		if len(s.names) >= maxStatements {
			oldest := s.tick
			for n, at := range s.names {
				if at < oldest {
					drop, oldest = n, at
				}
			}
			delete(s.names, drop)
		}
	}
	s.names[name] = s.tick
	return known, drop
}

// forget takes back a use whose Parse has failed.
func (s *Statements) forget(name string) { delete(s.names, name) }

// Clear says that the connection has no statement any more, as after DEALLOCATE ALL.
func (s *Statements) Clear() { clear(s.names) }
