package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A need is what a message wants of the connection that it gets.
type need struct {
	hint     roleHint
	extended bool   // more messages belong to it, up to Sync
	after    []byte // those of them that have come
}

// attach makes sure that the client has a server connection whose parameters are as it wants
// them. It is called with the lock held, which it gives up while it waits.
func (s *session) attach(n need) error {
	if err := s.settled(); err != nil {
		return err
	}
	for s.server != nil && s.misplaced(n) {
		if err := s.delivered(); err != nil {
			return err
		}
	}
	if s.over {
		return errShutdown
	}
	if c := s.server; c != nil {
		if s.resync && s.queue.len() == 0 && c.Status == wire.TxIdle {
			if s.lc != nil {
				return s.restartLater(c)
			}
			return s.restart(c)
		}
		return nil
	}
	if err := s.speak(); err != nil {
		return err
	}
	h := s.held
	if h == nil {
		return s.attachTo(s.role(n))
	}
	if !h.chosen {
		h.chosen, h.role = true, s.role(n)
	}
	err := s.attachTo(h.role)
	if err != nil && !errors.Is(err, errStalled) {
		h.chosen = false
	}
	return err
}

// settled waits for a connection that is being given back. It is called with the lock held, which it
// gives up meanwhile.
func (s *session) settled() error {
	for s.delivering && s.restful() {
		if s.lc != nil {
			s.stalled = forRelease
			return errStalled
		}
		s.wait() // others wait for it
	}
	return nil
}

// misplaced says that the connection may be the wrong one: it leads beside the primary, where a
// statement that came before the last one's answer does not belong, unless it is of the same
// transaction.
func (s *session) misplaced(n need) bool {
	c := s.server
	return s.db.Router != nil && s.db.Mode == Transaction && c.Pool().Backend().Role != pool.Primary && s.pinned == "" && !s.unsynced &&
		s.pass == 0 && s.owed() && s.role(n) == route.Primary && !s.primary(c)
}

// attachTo is the part of attach that gets a connection to a server in that role.
func (s *session) attachTo(role route.Role) error {
	if s.lc != nil {
		return s.attachEvented(role)
	}
	var p *pool.Pool
	var quick *pool.Conn
	if s.held == nil {
		p, quick = s.quick(role)
	}
	if quick != nil {
		if quick.Attach(s) {
			s.server = quick
			s.stats.transactions.Add(1)
			return nil
		}
		quick.Release()
	}
	ctx, cancel := context.WithCancelCause(s.context())
	s.waiting = cancelling(cancel)
	start := time.Now()
	var c *pool.Conn
	var err error
	for attempt := 0; ; attempt++ {
		s.mu.Unlock()
		notified := s.notifying()
		c, err = s.checkoutAfter(ctx, role, p, nil)
		p = nil
		notified()
		s.mu.Lock()
		if err != nil {
			break
		}
		// One that turns out to have ended is as good as none: nothing was asked of it yet.
		if err = s.adapt(c, false); err == nil || !errors.Is(err, errLost) || s.over || attempt == maxAttempts {
			break
		}
	}
	s.now = time.Time{}
	s.stats.wait.Add(int64(time.Since(start)))
	s.waiting = nil
	cancel(nil)
	if err != nil {
		return s.unserved(err)
	}
	if s.over {
		s.giveUp(c)
		return errShutdown
	}
	if !c.Attach(s) {
		c.Release()
		return wire.Errorf(wire.CodeConnectionFailure, "the server connection has ended: %s", c.Why())
	}
	s.server = c
	s.stats.transactions.Add(1)
	s.begunOn()
	return nil
}

// notifying tells the client that it waits, if it does so for WaitNotify. The function that it
// returns ends that: when it has returned, nothing is being written.
func (s *session) notifying() (end func()) {
	d := s.p.cfg.WaitNotify
	if d <= 0 {
		return func() {}
	}
	told := make(chan struct{})
	t := time.AfterFunc(d, func() {
		defer close(told)
		if b, err := waitNotice(s.client.Database); err == nil {
			_ = s.toClient(b) // if the client is gone its goroutine will find out
		}
	})
	return func() {
		if !t.Stop() {
			<-told
		}
	}
}

// giveUp releases a connection that the session has got and not used.
func (s *session) giveUp(c *pool.Conn) {
	if !c.Broken() && c.Status != wire.TxIdle {
		c.Recover(pool.Abandoned{}) // the transaction has begun already
		return
	}
	c.Release()
}

// unserved is the error of a client for whom there is no server connection.
func (s *session) unserved(err error) error {
	if !s.p.cfg.DropClients || errors.Is(err, errCancelled) {
		return err
	}
	e := *wire.AsError(err)
	e.Severity = wire.SeverityFatal
	return &e
}

// restart sets the parameters of the session's own connection anew: what RESET went back to is
// the connection's start, not the client's.
func (s *session) restart(c *pool.Conn) error {
	unknown := c.Unknown
	c.Unknown = false
	s.server = nil // nobody else may look at it meanwhile
	if err := s.adapt(c, true); err != nil {
		s.pinned, s.over = "", true
		return err // what the session had on the connection is gone
	}
	c.Unknown = unknown
	if !c.Attach(s) {
		s.pinned, s.over = "", true
		c.Release()
		return wire.Errorf(wire.CodeConnectionFailure, "the server connection of this session has ended: %s", c.Why())
	}
	s.server = c
	return nil
}

// quick returns the pool to use, if that can be told at once, and a connection of it if there is one
// that is as the client wants it: nearly always, if the pool is large enough.
func (s *session) quick(role route.Role) (*pool.Pool, *pool.Conn) {
	r, ok := s.db.Servers.(ready)
	if !ok {
		return nil, nil
	}
	p := r.Ready(role)
	if p == nil {
		return nil, nil
	}
	c := p.TryGet(s.clock())
	if c == nil {
		return p, nil
	}
	if !s.fits(c) {
		c.Release() // who wants it otherwise has to wait for the server anyway
		return p, nil
	}
	return p, c
}

// fits says that a connection is as the client wants it.
func (s *session) fits(c *pool.Conn) bool {
	if c.Unknown || !c.Have.Same(s.want) || !c.Reported.Same(s.reported) {
		return false
	}
	if c.Have != s.want {
		c.Have = s.want // of equal ones the same, which is all that is looked at the next time
	}
	if c.Reported != s.reported {
		c.Reported = s.reported
	}
	return true
}

func (s *session) checkout(ctx context.Context, role route.Role) (*pool.Conn, error) {
	return s.checkoutAfter(ctx, role, nil, nil)
}

// checkoutAfter is checkout of the pool p first, unless that is nil. With an error it comes after an
// attempt at that pool which has failed.
func (s *session) checkoutAfter(ctx context.Context, role route.Role, p *pool.Pool, err error) (*pool.Conn, error) {
	for attempt := 0; ; attempt++ {
		var c *pool.Conn
		if p == nil || attempt > 0 {
			if p, err = s.db.Servers.Pick(ctx, role); err != nil {
				return nil, err
			}
			c, err = p.Get(ctx)
		} else if err == nil {
			c, err = p.Get(ctx)
		}
		if err == nil || ctx.Err() != nil || attempt == maxAttempts {
			return c, err
		}
		if errors.Is(err, pool.ErrClosed) {
			continue // a reload has put another one in its place
		}
		// Where one server fails, another may do, or take its place.
		if f, ok := s.db.Servers.(failing); !ok || !f.Failed(p, err) {
			return nil, err
		}
	}
}

// maxAttempts bounds how many servers are tried for one transaction.
const maxAttempts = 8

// A failing is a Servers that wants to know why no connection could be had of a pool. It
// returns whether to pick again.
type failing interface {
	Failed(p *pool.Pool, err error) (again bool)
}

// adapt sets the connection's parameters as the client wants them, and tells the client what
// the server reports otherwise than before. A connection whose parameters cannot be set is
// released, and broken if it was the session's own. Nothing is being asked for, and the session
// has no connection meanwhile.
func (s *session) adapt(c *pool.Conn, own bool) error {
	s.resync = false
	if sql := syncSQL(c, s.want); sql != "" {
		want := s.want
		s.mu.Unlock()
		err := setParams(s.context(), c, sql)
		s.mu.Lock()
		if err == nil {
			c.Have, c.Unknown = want, false
		} else {
			c.Unknown = true
			if own || c.Status != wire.TxIdle {
				c.Break("its parameters cannot be set: " + err.Error())
			}
			c.Release()
			return err
		}
	}
	if news := s.statusNews(c); len(news) > 0 {
		s.mu.Unlock()
		err := s.toClient(news)
		s.mu.Lock()
		if err != nil {
			s.over = true // the client's goroutine will read the same
		}
	}
	if s.held != nil && !own {
		return s.unhold(c)
	}
	return nil
}

// setParams runs SQL that sets parameters.
func setParams(ctx context.Context, c *pool.Conn, sql string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Pool().Config().ConnectTimeout, wire.Errorf(wire.CodeConnectionFailure, "the server does not answer"))
	defer cancel()
	d := c.Direct()
	defer d.Close()
	_, err := d.Exec(ctx, sql)
	if err != nil && ctx.Err() != nil {
		c.Break("setting parameters took too long")
		return err
	}
	if _, said := errors.AsType[*wire.Error](err); err != nil && !said {
		return wire.Errorf(wire.CodeConnectionFailure, "set the session's parameters: %w: %v", errLost, err)
	}
	return err
}

// errLost says that a connection has ended, whose server said nothing.
var errLost = errors.New("the server connection has ended")

// statusNews are the ParameterStatus messages by which the client learns how this connection
// differs from its last one.
func (s *session) statusNews(c *pool.Conn) (out []byte) {
	if s.reported.Same(c.Reported) {
		return nil
	}
	for _, p := range c.Reported.All() {
		if v, ok := s.reported.Get(p.Name); !ok || v != p.Value {
			if b, err := wire.Append(out, &wire.ParameterStatus{Name: statusName(p.Name), Value: p.Value}); err == nil {
				out = b
			}
		}
	}
	s.reported = c.Reported
	return out
}

// statusName is how the server writes a parameter's name; sets have them in lower case.
func statusName(name string) string {
	switch name {
	case "datestyle":
		return "DateStyle"
	case "timezone":
		return "TimeZone"
	case "intervalstyle":
		return "IntervalStyle"
	}
	return name
}

// restful says that nothing keeps the connection with the client, but perhaps that something
// is being written.
func (s *session) restful() bool {
	return s.server != nil && s.queue.len() == 0 && s.server.Status == wire.TxIdle && !s.unsynced && s.pass == 0 &&
		s.serverPass == 0 && s.copying == 0 && len(s.out) == 0 && s.pinned == "" && s.db.Mode != Session
}

// mayRelease says that the connection can go to the next client.
func (s *session) mayRelease() bool { return s.restful() && !s.writing && !s.delivering }

// written does, when everything has been sent to the server, what could not be done while it
// was: the server may have answered already.
func (s *session) written() {
	switch {
	case s.mayRelease():
		s.release()
	case s.probe && s.server != nil && !s.writing && !s.delivering && s.mayProbe(s.server):
		s.probing()
	}
}

// mayProbe says that nothing is being asked for.
func (s *session) mayProbe(c *pool.Conn) bool {
	return s.queue.len() == 0 && c.Status == wire.TxIdle && !s.writing && !s.unsynced && s.pass == 0
}

// release gives the connection back. It is called with the lock held.
func (s *session) release() {
	c := s.server
	s.server = nil
	clear(s.real)
	if c.Pool().ResetsAlways() {
		c.Recover(pool.Abandoned{Reset: true})
	} else {
		c.ReleaseAt(s.clock())
	}
	if s.p.closing.Load() {
		s.p.background(func() { s.kill(errShutdown) })
	}
}

// probing asks the server whether something still pins the session. Nothing is being asked for,
// so the few bytes cannot block.
func (s *session) probing() {
	s.probe = false
	if s.pinned == "" || s.db.Mode == Session || s.over {
		return
	}
	if s.unsaid { // of parameters the server cannot tell which the client has set
		s.pinned = effect.PinSet
		return
	}
	b, err := wire.Append(nil, &wire.Query{SQL: probeSQL})
	if err != nil {
		return
	}
	s.server.Unnamed = 0
	s.ask(request{kind: askedQuery, drop: true, probe: true, version: s.pins})
	_, _ = s.server.Write(b)
}

// A roleHint says where a statement may run, as far as its text tells.
type roleHint struct {
	known bool
	role  route.Role
}
