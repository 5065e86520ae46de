package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/proxy/setting"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A session is one client. See the package's comment for who runs what. There may be very many
// that are idle: what only those need that are not is in busy.
type session struct {
	p      *Proxy
	db     *Database
	client *who
	nc     net.Conn
	in     []byte // bytes that came and are not dealt with; of the client's goroutine
	own    *own   // of a session that a goroutine serves, nearly always
	stats  stats
	since  instant // when it came

	lc       *loop.Conn        // of an evented session; nc is it, or TLS over it
	detached pgserver.Detached // the same

	// write is held by who writes to the client.
	write sync.Mutex

	mu sync.Mutex
	// server is the connection that the client has now. If there is one, or anything else that
	// is not as it is at first, there is busy.
	server *pool.Conn
	*busy

	want     setting.Set // parameters as the client has set them
	startup  setting.Set // and as it had them at first
	reported setting.Set // ParameterStatus as the client was told
	names    map[string]*statement
	unnamed  *unnamed
	answered instant // the last time
	doing    sample  // the beginning of what was asked for last

	id       uint32 // what the client knows as the process id
	longKey  bool   // it knows long keys
	admitted bool   // it is counted
	over     bool   // the client is gone or must go
	departed bool   // its end has begun
}

// An own is what a session has that a goroutine serves.
type own struct {
	ctx       context.Context // ends with the session, or a cancel request while it waits
	end       context.CancelCauseFunc
	delivered sync.Cond        // somebody is done with delivering; for evented sessions too, if they must wait
	through   *through         // of a client that replicates
	sharded   *scatter.Session // of a database on several shards
	open      bool             // of the client's goroutine: sharded holds server connections
	holds     bool             // the same, for others

	// Of a session on several shards whose connection a loop has.
	direct  *directly
	away    bool // a goroutine has the session
	patient *patient
}

// A busy is what a session has while its client asks for something or has a server connection.
type busy struct {
	out      []byte // for the server, not written yet; of the client's goroutine
	scanning bool   // that deals with what came
	express  bool   // all that there is was sent by sendExpress

	queue queue
	// unsynced says that there were extended messages since the last Sync.
	unsynced bool
	// skipping says that the server skips everything up to the next Sync.
	skipping  bool
	lastWords bool // the server has sent a fatal error
	failed    bool // there was an error since the last ReadyForQuery
	// copying is the server's response that began a COPY.
	copying wire.Type
	// pass is how much of the client's message, and serverPass how much of the server's, is
	// to be forwarded without a look.
	pass, serverPass int
	sendTo           bool // what pass counts goes to the server, rather than nowhere
	dropServer       bool // what serverPass counts goes nowhere
	// writing says that the client's goroutine writes to the server, delivering that the
	// server connection's writes to the client. Whoever is done last gives the connection
	// back.
	writing, delivering bool
	delivery            delivery    // of who delivers
	waiting             waiting     // for a connection; nil: it does not
	waiter              pool.Waiter // where a pool answers
	now                 time.Time   // of the client's goroutine: when what is dealt with came; zero: nobody has asked

	pending []op
	resync  bool // the connection's parameters must be set within the transaction

	real     map[string]struct{} // of names, those that the connection has under the client's own too
	portals  map[string]portal   // those whose statements have effects
	ddl      bool                // the transaction has changed a schema
	pinned   string              // why the connection stays with the client
	pins     uint64              // how often something pinned
	unsaid   bool                // the client has set parameters as no text tells: it stays pinned until DISCARD ALL
	probe    bool                // ask the server whether it still must
	asked    time.Time           // the oldest request that waits
	begun    time.Time           // the transaction; zero: there is none
	timedOut bool

	// Of an evented session.
	stalled   stall
	behind    bool       // the client has not taken what the server sent; delivering, too
	behindOut []byte     // for a server connection that no loop drives, while it is written to
	got       *pool.Conn // what it has waited for
	gotErr    error
	gotRole   route.Role
	waitFrom  time.Time

	held       *held   // the transaction that no server knows of yet
	heldPortal *string // what the unnamed portal stands for, if no server knows of that
	said       []byte  // for the client, before anything else
	aside      bool    // the transaction runs READ ONLY beside the primary, as its first statement wanted

	withheld bool // ReadyForQuery, until what was sent to a client that listens has come

	tape *tape // of a client that is mirrored
	ears *ears // of one that listens
}

// An unnamed is a client's unnamed prepared statement.
type unnamed struct {
	id   uint64 // what it is called; 0: there is none
	msg  []byte // the rest of its Parse
	text effect.Text
	role roleHint
}

// A waiting can be ended. It is while the lock is held: the next one is another's.
type waiting interface{ GiveUp(why error) }

// A cancelling is a wait that ends with a context.
type cancelling context.CancelCauseFunc

// GiveUp implements waiting.
func (c cancelling) GiveUp(why error) { c(why) }

// A portal is what is bound.
type portal struct {
	text *effect.Text
	args *[]effectArgs
	// explains says that it is an EXPLAIN that is to say where it ran.
	explains bool
}

type stats struct {
	queries, transactions, received, sent atomic.Int64
	wait, queryTime, xactTime             atomic.Int64 // nanoseconds
}

// Errors that end a session in good order.
var (
	errGoodbye            = errors.New("the client said goodbye")
	errShutdown           = &wire.Error{Severity: wire.SeverityFatal, Code: wire.CodeAdminShutdown, Message: "terminating connection due to administrator command"}
	errTransactionTimeout = &wire.Error{Severity: wire.SeverityFatal, Code: wire.CodeTransactionTimeout, Message: "terminating connection due to transaction timeout"}
	errIdleInTransaction  = &wire.Error{Severity: wire.SeverityFatal, Code: wire.CodeIdleInTransactionTimeout, Message: "terminating connection due to idle-in-transaction timeout"}
	errBlock              = &wire.Error{Code: wire.CodeFeatureNotSupported, Message: "transaction blocks are not allowed in statement pooling mode"}
	errCancelled          = &wire.Error{Code: wire.CodeQueryCanceled, Message: "canceling statement due to user request"}
)

// run serves the client until it goes.
func (s *session) run(received []byte) error {
	r := newReader(s.nc, &s.p.buffers)
	have := len(received)
	s.in = append(make([]byte, 0, max(bufferSize, have)), received...)
	s.in = s.in[:cap(s.in)]
	for {
		if have > 0 {
			n, err := s.clientBytes(s.in[:have], time.Time{})
			if err != nil {
				return err
			}
			have = copy(s.in, s.in[n:have])
		}
		if have == 0 && r != nil {
			// A client that has nothing to say costs no buffer.
			s.p.buffers.put(s.in)
			var err error
			if s.in, have, err = r.read(); err != nil {
				return err
			}
			s.stats.received.Add(int64(have))
			continue
		}
		switch {
		case have == len(s.in):
			// A message that is wanted whole: no more is believed than has come.
			bigger := make([]byte, 2*len(s.in))
			copy(bigger, s.in)
			s.p.buffers.put(s.in)
			s.in = bigger
		case have == 0 && len(s.in) > maxIdleBuffer:
			s.in = make([]byte, bufferSize)
		}
		n, err := s.nc.Read(s.in[have:])
		if n > 0 {
			s.stats.received.Add(int64(n))
			have += n
			continue
		}
		if err != nil {
			return err
		}
	}
}

// maxIdleBuffer is how large a read buffer may stay when its session is idle.
const maxIdleBuffer = 32 << 10

// toClient writes to the client. Before the server connection's goroutine does so again the
// caller must know that it has nothing to say.
func (s *session) toClient(b []byte) error {
	s.write.Lock()
	n, err := s.nc.Write(b)
	s.write.Unlock()
	s.stats.sent.Add(int64(n))
	return err
}

// fail tells the client that a request failed which no server has seen.
func (s *session) fail(err error) error {
	s.doing.errors.Add(1)
	b, encodeErr := wire.Append(nil, wire.AsError(err).Response())
	if encodeErr != nil {
		return encodeErr
	}
	return s.toClient(b)
}

// goodbye tells the client why its session ends, as far as it can be told.
func (s *session) goodbye(err error) {
	e := *wire.AsError(err)
	e.Severity = wire.SeverityFatal
	_ = s.nc.SetWriteDeadline(time.Now().Add(time.Second))
	if b, encodeErr := wire.Append(nil, e.Response()); encodeErr == nil {
		_ = s.toClient(b)
	}
}

// kill ends the session from outside: its goroutine finds the connection closed. Nothing is
// told to a client that an answer is on its way to.
func (s *session) kill(why error) {
	s.mu.Lock()
	quiet := s.busy == nil || s.queue.len() == 0 && !s.delivering && s.serverPass == 0
	over := s.over
	s.over = true
	s.wakeAll()
	s.mu.Unlock()
	if over {
		return
	}
	if quiet {
		s.goodbye(why)
	}
	s.finished(why)
	_ = s.nc.Close()
}

// leave gives back what the session has when its client is gone.
func (s *session) leave() {
	_ = s.nc.Close()
	s.finished(errGoodbye)
	s.mu.Lock()
	s.over = true
	if s.busy == nil { // which it stays, as it stays busy otherwise
		s.forgetStatements()
		s.mu.Unlock()
		return
	}
	s.tape.end()
	s.tape = nil
	s.deafen()
	s.leaveDirect()
	if s.behind {
		s.behind = false // it takes nothing more
		if s.server != nil && s.server.Evented() {
			s.delivering = false
		}
		s.wakeAll()
	}
	for s.delivering {
		s.wait()
	}
	if s.waiting != nil && s.lc != nil {
		s.waiting.GiveUp(errGoodbye)
	}
	if s.got != nil {
		s.giveUp(s.got)
		s.got = nil
	}
	c := s.server
	s.server = nil
	a := s.abandoned(c)
	s.forgetStatements()
	s.mu.Unlock()
	if c == nil {
		return
	}
	clean := a == (pool.Abandoned{}) && c.Status == wire.TxIdle
	switch {
	case s.pass > 0 || c.Broken():
		c.Spoil("the client is gone in the middle of a message")
		c.Release()
	case clean:
		c.Release()
	default:
		c.Recover(a)
	}
}

// abandoned says what state the client leaves the connection in.
func (s *session) abandoned(c *pool.Conn) (a pool.Abandoned) {
	if c == nil {
		return a
	}
	forget := false
	for i := s.queue.head; i < len(s.queue.items); i++ {
		r := &s.queue.items[i]
		switch r.kind {
		case askedQuery, askedFunction, askedSync:
			a.Readies++
		}
		// Whether the server comes to it nobody will know: all its statements have to go.
		forget = forget || r.added || r.removed
		s.undo(c, r)
	}
	a.Skip = s.serverPass
	a.Sync = s.unsynced
	a.CopyIn = s.copying == wire.TypeCopyInResponse || a.Readies > 0 || a.Sync
	a.Cancel = a.Readies > 0
	// What pins has to go, and so has what cannot be told.
	a.Reset = forget || s.pinned != "" || s.db.Mode == Session
	if len(s.pending) > 0 {
		c.Unknown = true
	}
	if s.queue.len() > 0 {
		c.Unnamed = 0
	}
	s.queue = queue{}
	return a
}

// forgetStatements lets go of the client's prepared statements.
func (s *session) forgetStatements() {
	for _, st := range s.names {
		s.p.statements.release(st)
	}
	clear(s.names)
	if s.busy != nil {
		clear(s.real)
	}
}
