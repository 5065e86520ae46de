package pgserver

import (
	"context"
	"errors"

	"github.com/pgx-dev/pgx-dev/wire"
)

// simple answers a Query message, statement by statement, each as it comes.
func (c *conn) simple(sql string, err error) error {
	// A simple query ends the unnamed statement and portal, whatever comes of it.
	c.closeStatement("")
	c.dropPortal("")
	if err == nil {
		err = checkText(sql)
	}
	if err != nil {
		return err
	}
	if c.srv.WholeStrings {
		if isEmpty(sql) {
			return c.w.Send(&wire.EmptyQueryResponse{})
		}
		return c.one(sql, false)
	}
	l := lexer{sql: sql}
	statement, more := l.statement()
	for statement == "" && more {
		statement, more = l.statement()
	}
	if statement == "" {
		return c.w.Send(&wire.EmptyQueryResponse{})
	}
	for {
		next := ""
		for next == "" && more {
			next, more = l.statement()
		}
		if err := c.one(statement, next != ""); err != nil {
			return err
		}
		if statement = next; statement == "" {
			return nil
		}
	}
}

// one runs one statement of a simple query.
func (c *conn) one(sql string, more bool) error {
	c.begin(&c.run)
	defer c.run.finish()
	q := &Query{SQL: sql, Session: c.sess, Simple: true, More: more, run: &c.run}
	w := &response{c: c, q: q, run: &c.run}
	return c.handle(w, q, c.srv.Handler.ServeQuery)
}

// handle calls the handler and completes what it answers.
func (c *conn) handle(w *response, q *Query, serve func(ResponseWriter, *Query) error) error {
	err := c.guard(func() error { return serve(w, q) })
	if err == nil {
		err = c.guard(w.finish)
	}
	return c.ended(w, err)
}

// ended brings the protocol back in order after a handler, and puts the reason of a
// cancellation in place of the error that it led to.
func (c *conn) ended(w *response, err error) error {
	if c.state == copyIn || c.state == copyBoth {
		c.state = ready // what still comes of the COPY is ignored there
		if w.extended {
			c.state = batch
		}
	}
	if w.in != nil && w.in.lost != nil {
		return w.in.lost // whatever the handler made of it
	}
	if err == nil {
		return nil
	}
	if cause := w.run.err(); cause != nil {
		var e *wire.Error
		if errors.Is(err, context.Canceled) || !errors.As(err, &e) {
			return cause
		}
	}
	return err
}

// function answers a FunctionCall message.
func (c *conn) function(m *wire.FunctionCall, err error) error {
	if err != nil {
		return err
	}
	h, ok := find[FunctionCaller](c.srv.Handler)
	if !ok {
		return wire.Errorf(wire.CodeFeatureNotSupported, "this server has no functions to call by number; use SELECT")
	}
	if n := len(m.ArgFormats); n > 1 && n != len(m.Args) {
		return wire.Errorf(wire.CodeProtocolViolation, "function call message contains %d argument formats but %d arguments", n, len(m.Args))
	}
	if err := checkFormat(m.ResultFormat); err != nil {
		return err
	}
	values, err := args(m.Args, m.ArgFormats, make([]uint32, len(m.Args)), c.sess)
	if err != nil {
		return err
	}
	c.begin(&c.run)
	defer c.run.finish()
	var result []byte
	err = c.guard(func() (err error) {
		result, err = h.CallFunction(c.run.context(), c.sess, m.OID, values, m.ResultFormat)
		return err
	})
	if err != nil {
		if cause := c.run.err(); cause != nil {
			return cause
		}
		return err
	}
	return c.w.Send(&wire.FunctionCallResponse{Result: result})
}
