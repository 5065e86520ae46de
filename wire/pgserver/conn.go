package pgserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// conn is the protocol machine of one connection. One goroutine, serve's, reads and writes;
// a suspended portal's handler does so in its place while that goroutine waits for it.
type conn struct {
	srv      *Server
	raw      net.Conn   // as accepted
	nc       net.Conn   // raw, or TLS over it
	host     netip.Addr // the client's, for limits; the zero one without
	refusal  *wire.Error
	stranger bool // not authenticated yet; guarded by srv.mu
	detached bool // it goes on without this
	tlsState *tls.ConnectionState
	leaf     *x509.Certificate

	first [512]byte // what r reads first: nearly always all before a client is authenticated
	in    input
	r     *wire.Reader
	w     *wire.Writer
	dec   wire.FrontendDecoder

	state     state
	sess      *Session
	run       running                 // of commands that are not suspended
	current   atomic.Pointer[running] // what a cancel request is for
	stmts     map[string]*statement
	portals   map[string]*portal
	failed    bool // an error came up since the last ReadyForQuery
	mustFlush bool // something waits that the client was promised
	watcher   *time.Timer

	wakeMu   sync.Mutex
	woken    wakeup
	reading  bool // blocked in a read that a wake-up may interrupt
	deadline bool // a read deadline is set
}

// errTerminate is the orderly end of a session.
var errTerminate = errors.New("the client said goodbye")

func (s *Server) newConn(nc net.Conn) *conn {
	c := &conn{srv: s, raw: nc, nc: nc}
	c.host = hostOf(nc)
	c.in = input{nc: nc, flush: c.flushIfPromised}
	c.r = wire.NewReader(&c.in, wire.Frontend, 0)
	c.r.Lend(c.first[:])
	c.w = wire.NewWriter(timedWriter{c})
	return c
}

// hostOf is the client's IP address, for limits.
func hostOf(nc net.Conn) netip.Addr { return addrOf(nc.RemoteAddr()).WithZone("") }

// timedWriter writes with the server's WriteTimeout.
type timedWriter struct{ c *conn }

func (t timedWriter) Write(p []byte) (int, error) {
	if d := t.c.srv.WriteTimeout; d > 0 && t.c.sess != nil {
		if err := t.c.nc.SetWriteDeadline(time.Now().Add(d)); err != nil {
			return 0, lost(err)
		}
	}
	n, err := t.c.nc.Write(p)
	return n, lost(err)
}

// serve runs the connection from its first byte to its end.
func (c *conn) serve(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	c.tell(ConnNew)
	err := c.session(ctx)
	c.close()
	c.tell(ConnClosed)
	if errors.Is(err, errTerminate) || errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		c.srv.log().Info("connection ended", "remote", c.raw.RemoteAddr(), "error", err)
	}
	return err
}

func (c *conn) session(ctx context.Context) error {
	if err := c.start(ctx); err != nil {
		if !errors.Is(err, errTerminate) {
			c.fatal(err)
		}
		return err
	}
	if c.srv.handsOver(c.sess) {
		return c.takeover(c.sess)
	}
	defer func() {
		c.srv.keys.remove(c.sess.pid)
		c.srv.broker.unlisten(c.sess, "")
		c.dropPortals(nil)
		for name := range c.stmts {
			c.closeStatement(name)
		}
		c.run.finish()
	}()
	if h, ok := find[SessionStarter](c.srv.Handler); ok {
		if err := c.guard(func() error { return h.StartSession(c.sess) }); err != nil {
			c.fatal(err)
			return err
		}
	}
	if h, ok := find[SessionEnder](c.srv.Handler); ok {
		defer h.EndSession(c.sess)
	}
	if err := c.sendReady(); err != nil {
		return err
	}
	for {
		err := c.step()
		if err == nil {
			continue
		}
		if !isOver(err) {
			c.fatal(err)
		} else if errors.Is(err, errTerminate) {
			_ = c.flushIfPromised() // to what came before the goodbye
		}
		return err
	}
}

// step takes one message. An error ends the session.
func (c *conn) step() error {
	f, err := c.next()
	if err != nil {
		if errors.Is(err, io.EOF) && c.state == ready {
			return errTerminate // without a word, as many clients do
		}
		return err
	}
	return c.dispatch(f)
}

func (c *conn) dispatch(f wire.Frame) error {
	switch actionFor(c.state, f.Type) {
	case ignore, skip:
		return nil
	case leave:
		return errTerminate
	case refuse:
		return &wire.Error{
			Severity: wire.SeverityFatal, Code: wire.CodeProtocolViolation,
			Message: fmt.Sprintf("invalid frontend message type %d", byte(f.Type)),
		}
	case copyTake, copyAbort:
		return errors.New("pgserver: COPY data outside of its reader")
	}
	c.tell(ConnActive)
	msg, err := c.dec.Decode(f.Type, f.Body)
	switch m := msg.(type) {
	case *wire.Query:
		return c.commandEnds(c.simple(m.SQL, err))
	case *wire.FunctionCall:
		return c.commandEnds(c.function(m, err))
	case *wire.Sync:
		return c.sync(err)
	}
	if f.Type == wire.TypeQuery || f.Type == wire.TypeFunctionCall {
		return c.commandEnds(err) // not decoded at all
	}
	if f.Type == wire.TypeSync {
		return c.sync(err)
	}
	c.state = batch
	if err == nil {
		err = c.extended(msg)
	}
	if err == nil || isOver(err) {
		return err
	}
	c.state = skipping
	return c.report(err)
}

// commandEnds ends a Query or FunctionCall.
func (c *conn) commandEnds(err error) error {
	if isOver(err) {
		return err
	}
	if err != nil {
		if err := c.report(err); err != nil {
			return err
		}
	}
	return c.settle()
}

// sync ends a series of extended messages.
func (c *conn) sync(err error) error {
	if err != nil {
		if err := c.report(err); err != nil {
			return err
		}
	}
	return c.settle()
}

// settle does what is due where a command or series ends and says ReadyForQuery.
func (c *conn) settle() error {
	if h, ok := find[Syncer](c.srv.Handler); ok {
		c.begin(&c.run)
		err := c.guard(func() error { return h.Sync(c.sess, c.failed) })
		c.run.finish()
		if err != nil {
			if err := c.report(err); err != nil {
				return err
			}
		}
	}
	return c.sendReady()
}

// begin makes r what cancel requests are for.
func (c *conn) begin(r *running) {
	r.begin()
	c.current.Store(r)
}

// sendReady says ReadyForQuery, with what goes before it.
func (c *conn) sendReady() error {
	status := c.sess.TxStatus()
	if status == wire.TxIdle {
		// Portals live as long as their transaction.
		c.dropPortals(nil)
		c.sess.settle(!c.failed) // of what had no transaction block
		if err := c.sendNotes(); err != nil {
			return err
		}
	}
	c.failed = false
	if err := c.sess.params.report(c.w); err != nil {
		return err
	}
	if err := c.w.Send(&wire.ReadyForQuery{TxStatus: status}); err != nil {
		return err
	}
	c.state, c.mustFlush = ready, true
	c.tell(ConnIdle)
	return nil
}

func (c *conn) sendNotes() error {
	for _, n := range c.sess.takeNotes() {
		if err := c.w.Send(&n); err != nil {
			return err
		}
	}
	return nil
}

// report sends an error that does not end the session, unless its severity says so.
func (c *conn) report(err error) error {
	c.failed = true
	if c.sess.tx == wire.TxActive {
		c.sess.tx = wire.TxFailed
	}
	e := c.outgoing(err)
	if e.Severity == wire.SeverityFatal || e.Severity == wire.SeverityPanic {
		return e
	}
	c.mustFlush = true
	return c.w.Send(e.Response())
}

// outgoing makes of an error what the client gets to see.
func (c *conn) outgoing(err error) *wire.Error {
	var e *wire.Error
	if c.srv.ErrorHook != nil {
		e = c.srv.ErrorHook(c.sess, err)
	}
	if e == nil {
		e = wire.AsError(err)
	}
	if e.Severity.IsNotice() || !e.Code.Valid() {
		fixed := *e
		if e.Severity.IsNotice() {
			fixed.Severity = wire.SeverityError
		}
		if !e.Code.Valid() {
			fixed.Code = wire.CodeInternalError
		}
		return &fixed
	}
	return e
}

// fatal tells the client why the connection ends, as far as it can be told.
func (c *conn) fatal(err error) {
	if isNetwork(err) {
		return
	}
	e := *c.outgoing(err)
	if e.Severity != wire.SeverityPanic {
		e.Severity = wire.SeverityFatal
	}
	// Not for long: whoever does not read does not learn it.
	_ = c.nc.SetDeadline(time.Now().Add(time.Second))
	if c.w.Send(e.Response()) != nil || c.w.Flush() != nil {
		return
	}
	c.linger()
}

// linger lets the last words arrive: closing a TCP connection with unread data in it resets
// it, and the client would lose what was sent.
func (c *conn) linger() {
	tcp, ok := c.raw.(interface{ CloseWrite() error })
	if !ok {
		return
	}
	if t, ok := c.nc.(*tls.Conn); ok {
		_ = t.CloseWrite()
	}
	if tcp.CloseWrite() != nil {
		return
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, _ = io.Copy(io.Discard, io.LimitReader(c.raw, 1<<20))
}

// isOver says that the session ends and there is nothing to report.
func isOver(err error) bool { return isNetwork(err) || errors.Is(err, errTerminate) }

// A lostError is the failure of the client's own connection. It is kept apart from errors of
// the handler, which may have network troubles of its own that the client wants to hear of.
type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }

// lost marks an error of reading or writing; a protocol error stays what it is.
func lost(err error) error {
	if err == nil {
		return nil // before e, which would be allocated for each block that is sent
	}
	var e *wire.Error
	if errors.As(err, &e) || errors.Is(err, errTerminate) {
		return err
	}
	return &lostError{err}
}

// isNetwork says that nothing more can be told to the client.
func isNetwork(err error) bool {
	var e *lostError
	return errors.As(err, &e)
}

// guard calls into the handler and makes an error of a panic.
func (c *conn) guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.srv.log().Error("the handler panicked", "panic", r, "stack", string(debug.Stack()))
			err = &wire.Error{Code: wire.CodeInternalError, Message: "internal error"}
		}
	}()
	return f()
}

func (c *conn) tell(s ConnState) {
	if c.srv.ConnState != nil {
		c.srv.ConnState(c.raw, s)
	}
}

func (c *conn) close() {
	if c.detached {
		c.srv.forget(c)
		return
	}
	c.unwatch()
	_ = c.nc.SetDeadline(time.Now().Add(time.Second)) // a TLS goodbye must not hang
	_ = c.nc.Close()
	c.srv.forget(c)
}
