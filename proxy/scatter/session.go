package scatter

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/claim"
	"github.com/pgx-dev/pgx-dev/proxy/pubsub"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Session is one client's. Handle and Close must not be called at the same time; Cancel
// may be called at any.
type Session struct {
	ex       *Executor
	out      *wire.Writer
	state    route.Session
	settings *Settings
	base     *Settings // what RESET ALL goes back to, and what RESET of our own parameters does
	baseHint route.Hint
	sticky   int     // the shard that answers what any shard could
	links    []*link // by shard; nil if none is held
	holder   claim.Holder
	tx       transaction
	pinned   bool // connections are kept until the end: they have what cannot be carried over

	statements map[string]*statement
	portals    map[string]*portal
	prepared   map[string]*statement // by SQL's PREPARE
	cursors    map[string]*cursor
	reported   map[string]string // ParameterStatus, as the client knows it

	queue    []expect // what was sent on the extended protocol and is not answered yet
	skip     bool     // an error: messages up to Sync are dropped
	copying  *copyIn
	rest     []string // statements of a simple query that wait for a COPY to end
	restPart bool     // they are part of a string of several

	staging   int // how many statements that go in steps are under way, each in one of the other
	found     sessionLookups
	lookingUp bool
	wrote     map[int]time.Time // when the session last wrote on a shard
	mail      *pubsub.Mailbox   // nil until the session listens
	listening map[string]int    // the shards of the channels
	twoPhased atomic.Int64
	told      []string // what the client is to be warned of

	decision route.Decision
	direct   directRequest
	routed   []string // what an EXPLAIN is to say
	scratch  []byte

	// beats is odd while a server is waited for; victim is why the session was chosen to fail.
	beats  atomic.Uint64
	victim atomic.Pointer[doom]

	mu     sync.Mutex
	active map[Conn]int // the shards on whose primaries they are, -1 for others
}

// Options are what a session starts with.
type Options struct {
	// Settings are those of the startup packet.
	Settings *Settings
	// Path is the search_path; nil is the default.
	Path []string
	// Hint is manual routing by startup options.
	Hint route.Hint
	// Reported are the parameters that the client has been told.
	Reported map[string]string
}

// NewSession starts a session whose client is authenticated and has been told that the
// server is ready. Answers go to out, which Handle flushes.
func (e *Executor) NewSession(out *wire.Writer, o Options) *Session {
	s := &Session{
		ex: e, out: out, settings: o.Settings, base: o.Settings, baseHint: o.Hint,
		sticky: int(e.next.Add(1) % uint64(e.cfg.Layout.Shards)),
		links:  make([]*link, e.cfg.Layout.Shards),
		state:  route.Session{Path: o.Path, Hint: o.Hint},

		statements: map[string]*statement{}, portals: map[string]*portal{},
		prepared: map[string]*statement{}, cursors: map[string]*cursor{}, reported: map[string]string{},
		active: map[Conn]int{}, listening: map[string]int{},
		found: sessionLookups{shared: e.lookups, own: map[lookupKey][]byte{}},
	}
	for name, value := range o.Reported {
		s.report(name, value)
	}
	if s.settings == nil {
		s.settings, s.base = &Settings{}, &Settings{}
	}
	return s
}

// report keeps a parameter of the session, as a server has reported it.
func (s *Session) report(name, value string) {
	if s.reported[name] = value; name == "client_encoding" {
		s.state.Encoding = route.EncodingOf(value)
	}
}

// TwoPhased is how many of the session's transactions were committed in two phases. Any goroutine may
// call it.
func (s *Session) TwoPhased() int64 { return s.twoPhased.Load() }

// Handle takes one message of the client. An error ends the session: the client is gone, or
// has broken the protocol. SQL errors are answered.
func (s *Session) Handle(ctx context.Context, typ wire.Type, body []byte) error {
	if s.copying != nil {
		switch typ {
		case wire.TypeCopyData, wire.TypeCopyDone, wire.TypeCopyFail:
			return s.copyMessage(ctx, typ, body)
		case wire.TypeFlush, wire.TypeSync:
			return nil // as PostgreSQL does: they come behind the Execute
		}
		if err := s.copyMessage(ctx, wire.TypeCopyFail, []byte("unexpected message during COPY from stdin\x00")); err != nil {
			return err
		}
	}
	var err error
	switch typ {
	case wire.TypeQuery:
		var m wire.Query
		if err := m.Decode(body); err != nil {
			return err
		}
		s.skip = false
		if err = s.settle(); err == nil {
			err = s.simple(ctx, m.SQL)
		}
	case wire.TypeCopyData, wire.TypeCopyDone, wire.TypeCopyFail:
		return nil // what is left of a COPY that has failed
	case wire.TypeTerminate:
		return errTerminated
	case wire.TypeSync:
		err = s.sync(ctx)
	case wire.TypeFunctionCall:
		s.fail(refuse("function calls by the fast-path protocol cannot be routed", "call the function by SELECT"))
		return s.ready()
	default:
		if s.skip {
			return nil
		}
		err = s.extended(ctx, typ, body)
		if err != nil && !broken(err) {
			// The answers to what came before it go first.
			if before := s.settle(); before != nil {
				err = before
			}
			if broken(err) {
				return err
			}
			s.skip = true
			s.queue = s.queue[:0]
			s.fail(err)
			err = nil
		}
	}
	return err
}

// errTerminated says that the client has said goodbye.
var errTerminated = errors.New("the client has terminated the session")

// Terminated reports whether an error of Handle is the client's regular end.
func Terminated(err error) bool { return errors.Is(err, errTerminated) }

// A brokenError is an error of the client's connection.
type brokenError struct{ error }

func (e brokenError) Unwrap() error { return e.error }

func broken(err error) bool {
	var b brokenError
	return errors.As(err, &b) || errors.Is(err, errTerminated)
}

// Close rolls back what is open and gives all connections back.
func (s *Session) Close() {
	s.unlisten("")
	if s.copying != nil {
		s.copying = nil
		for _, l := range s.links {
			if l != nil {
				l.dead = true
			}
		}
	}
	for _, l := range s.links {
		if l == nil {
			continue
		}
		if l.inTx || l.busy() || l.unsynced || s.pinned {
			l.dead = true // closing rolls back
		}
		s.release(l)
	}
}

// Cancel asks the servers to cancel what the session runs.
func (s *Session) Cancel(ctx context.Context) {
	type held struct {
		Conn
		release func()
	}
	s.mu.Lock()
	conns := make([]held, 0, len(s.active))
	for c := range s.active {
		conns = append(conns, held{c, c.Hold()})
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			defer c.release()
			if err := c.Cancel(ctx); err != nil {
				s.ex.cfg.Log.Debug("cancel", "error", err)
			}
		})
	}
	wg.Wait()
}

// Idle reports that the session holds no server connection.
func (s *Session) Idle() bool {
	for _, l := range s.links {
		if l != nil {
			return false
		}
	}
	return true
}

// Settings returns what the session has set.
func (s *Session) Settings() *Settings { return s.settings }

// send writes a message to the client.
func (s *Session) send(m wire.Message) error {
	if err := s.out.Send(m); err != nil {
		return brokenError{err}
	}
	return nil
}

// explain has the next EXPLAIN that is complete say where it ran.
func (s *Session) explain(d *route.Decision, sql string) (lines []string) {
	if s.ex.cfg.Explain && d.Plan.Class == route.Explain && route.ExplainsAsText(sql) {
		return d.Summary()
	}
	return nil
}

// explained writes what explain has returned.
func (s *Session) explained(lines []string) error {
	for _, l := range lines {
		if err := s.send(&wire.DataRow{Values: [][]byte{[]byte(l)}}); err != nil {
			return err
		}
	}
	return nil
}

// raw writes a message to the client.
func (s *Session) raw(typ wire.Type, body []byte) error {
	b := wire.Header{Type: typ, Len: len(body)}.AppendTo(s.out.Buffer())
	if err := s.out.Commit(append(b, body...)); err != nil {
		return brokenError{err}
	}
	return nil
}

// fail tells the client of an error, which fails the transaction.
func (s *Session) fail(err error) {
	if s.tx.block {
		s.tx.failed = true
	}
	e := wire.AsError(err)
	if e.Severity == wire.SeverityFatal || e.Severity == wire.SeverityPanic {
		c := *e
		c.Severity, c.LocalSeverity = wire.SeverityError, ""
		e = &c
	}
	_ = s.send(e.Response())
}

// notice tells the client something.
func (s *Session) notice(severity wire.Severity, code wire.Code, message string) error {
	return s.send((&wire.Error{Severity: severity, Code: code, Message: message}).Notice())
}

// ready ends a request of the client: connections that are not needed are given back.
func (s *Session) ready() error {
	s.settleLookups()
	s.unlock()
	s.spare()
	if err := s.tell(); err != nil {
		return err
	}
	if s.tx.none() && !s.pinned {
		for _, l := range s.links {
			if l != nil {
				s.release(l)
			}
		}
	}
	if _, err := s.deliver(); err != nil {
		return err
	}
	if err := s.send(&wire.ReadyForQuery{TxStatus: s.tx.status()}); err != nil {
		return err
	}
	return s.flush()
}

func (s *Session) flush() error {
	if err := s.out.Flush(); err != nil {
		return brokenError{err}
	}
	return nil
}

// refuse is an error of SQLSTATE 0A000.
func refuse(reason, hint string) error {
	return &wire.Error{Code: wire.CodeFeatureNotSupported, Message: reason, Hint: hint}
}
