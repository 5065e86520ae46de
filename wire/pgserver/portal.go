package pgserver

import (
	"fmt"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A portal is a statement with its arguments, which can be fetched from in parts.
type portal struct {
	name    string
	stmt    *statement
	args    []Value
	formats []wire.Format

	task *task // of a portal that is or was fetched from with a limit
	ran  bool  // to its end, or into an error
	rows bool  // it had columns

	cursor *cursor // of DECLARE, or nil
}

func (c *conn) portal(name string) (*portal, error) {
	if p := c.portals[name]; p != nil {
		return p, nil
	}
	return nil, wire.Errorf(wire.CodeInvalidCursorName, "portal %q does not exist", name)
}

// execute runs a portal to its end, or to the limit.
func (c *conn) execute(m *wire.Execute) error {
	p, err := c.portal(m.Portal)
	if err != nil {
		return err
	}
	if p.cursor != nil {
		return wire.Errorf(wire.CodeFeatureNotSupported, "cursor %q is read with FETCH", p.name)
	}
	if p.stmt.empty {
		return c.w.Send(&wire.EmptyQueryResponse{})
	}
	if p.ran {
		if !p.rows {
			return wire.Errorf(wire.CodeObjectNotInPrerequisite, "portal %q cannot be run", p.name)
		}
		return c.w.Send(&wire.CommandComplete{Tag: "SELECT 0"})
	}
	limit := uint64(0)
	if int32(m.MaxRows) > 0 {
		limit = uint64(m.MaxRows)
	}
	if p.task == nil && limit == 0 {
		c.begin(&c.run)
		defer c.run.finish()
		q := p.query(c, &c.run)
		w := p.response(c, q)
		p.ran = true
		err := c.handle(w, q, p.serve(c))
		p.rows = w.formats != nil
		return err
	}
	if p.task == nil {
		p.start(c, int(limit))
	}
	done, err := p.task.fetch(limit)
	p.ran = done
	p.rows = p.task.w.formats != nil
	if done || err != nil {
		return c.ended(p.task.w, err)
	}
	return c.w.Send(&wire.PortalSuspended{})
}

func (p *portal) query(c *conn, run *running) *Query {
	return &Query{SQL: p.stmt.sql, Args: p.args, Name: p.stmt.name, Session: c.sess, run: run}
}

func (p *portal) response(c *conn, q *Query) *response {
	return &response{
		c: c, q: q, run: q.run, extended: true, ask: p.formats,
		want: p.stmt.columns, wanted: p.stmt.known,
	}
}

// serve returns what answers the portal's statement.
func (p *portal) serve(c *conn) func(ResponseWriter, *Query) error {
	if p.stmt.prep != nil {
		return p.stmt.prep.Query
	}
	return c.srv.Handler.ServeQuery
}

// start makes the goroutine that runs the handler, which waits for the first fetch.
func (p *portal) start(c *conn, limit int) {
	run := &running{parent: c.run.parent, started: c.watch}
	q := p.query(c, run)
	q.MaxRows = limit
	w := p.response(c, q)
	serve := p.serve(c)
	p.task = startTask(c, w, run, func() error {
		if err := c.guard(func() error { return serve(w, q) }); err != nil {
			return err
		}
		return c.guard(w.finish)
	})
}

// dropPortal closes a portal and waits for its handler to end.
func (c *conn) dropPortal(name string) {
	p := c.portals[name]
	if p == nil {
		return
	}
	delete(c.portals, name)
	if p.task != nil {
		p.task.close()
	}
	c.release(p.stmt)
}

// dropPortals closes all portals that keep, which may be nil, does not want to keep.
func (c *conn) dropPortals(keep func(name string) bool) {
	for name := range c.portals {
		if keep == nil || !keep(name) {
			c.dropPortal(name)
		}
	}
}

// A task is a handler in a goroutine of its own that runs while somebody fetches from it and
// waits in Row at other times. Never do both sides run at once: the handler has the
// connection while fetch waits.
type task struct {
	c      *conn
	w      *response
	run    *running
	resume chan uint64 // the next fetch's limit; closed: no more
	paused chan error  // nil: suspended
	done   chan struct{}
	err    error // of the handler, once done is closed
	over   bool
}

func startTask(c *conn, w *response, run *running, serve func() error) *task {
	t := &task{c: c, w: w, run: run, resume: make(chan uint64), paused: make(chan error), done: make(chan struct{})}
	w.suspend = t.suspend
	go func() {
		defer close(t.done)
		limit, ok := <-t.resume
		if !ok {
			return
		}
		w.limit = limit
		t.err = serve()
	}()
	return t
}

// fetch lets the handler run until it has sent limit rows, or to its end, which done tells.
func (t *task) fetch(limit uint64) (done bool, err error) {
	t.c.begin(t.run)
	select {
	case t.resume <- limit:
	case <-t.done:
		return t.finished()
	}
	select {
	case <-t.paused: //nolint:errcheck // nil is all it carries here
		t.run.pause()
		return false, nil
	case <-t.done:
		return t.finished()
	}
}

func (t *task) finished() (bool, error) {
	t.over = true
	t.run.finish()
	return true, t.err
}

// suspend is called by the handler, within Row.
func (t *task) suspend() error {
	t.paused <- nil
	limit, ok := <-t.resume
	if !ok {
		return ErrPortalClosed // t.close has seen to the rest
	}
	t.w.rows, t.w.limit = 0, limit
	return nil
}

// close ends the handler, which Row tells with ErrPortalClosed, and waits for it.
func (t *task) close() {
	if t.over {
		return
	}
	t.over = true
	t.w.silent = true
	t.run.stop(ErrPortalClosed)
	close(t.resume)
	<-t.done
	t.run.finish()
	if t.err != nil {
		t.c.srv.log().Debug("a closed portal's handler", "error", fmt.Errorf("%s: %w", t.w.q.SQL, t.err))
	}
}
