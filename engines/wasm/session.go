package wasm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
)

// A session is what belongs to one client in PostgreSQL's memory and is put away while
// another client has the backend. Statements, sequences and channels are put away as the
// pointers they hang on, so what the guest does with them is PostgreSQL's own business;
// parameters are set anew.
type session struct {
	pointers [5]uint32 // in the order of sessionPointers
	changed  []guest.Setting
	base     []guest.Setting // from the startup message
}

// sessionPointers returns the addresses of the variables that are exchanged. Portals are
// not among them: between transactions there are only those WITH HOLD, which keep the
// backend.
func sessionPointers(s *guest.Symbols) [5]uint32 {
	return [5]uint32{s.PreparedQueries, s.UnnamedStmt, s.Sequences, s.LastSequence, s.ListenChannels}
}

// load makes c's session the current one; nil: nobody's.
func (b *backend) load(c *client) error {
	if b.current == c {
		return nil
	}
	if old := b.current; old != nil {
		if err := b.unload(old); err != nil {
			return err
		}
	}
	b.current = c
	if c == nil {
		return nil
	}
	for i, at := range sessionPointers(b.sym) {
		if at != 0 {
			b.in.Store(at, c.session.pointers[i])
		}
	}
	b.listening.enter(b, c)
	if err := b.apply(&c.session); err != nil {
		if errors.Is(err, guest.ErrRaised) {
			// For instance its role is gone. What it cannot have, it cannot go on without.
			c.fatal = &fault{code: "57P01", message: "terminating connection because its session cannot be restored", hint: "Did another client drop the role?"}
			return nil
		}
		return err
	}
	return nil
}

// unload puts c's session away.
func (b *backend) unload(c *client) error {
	for i, at := range sessionPointers(b.sym) {
		if at != 0 {
			c.session.pointers[i] = b.in.Load(at)
			b.in.Store(at, 0)
		}
	}
	b.listening.leave(b, c)
	c.session.changed = b.settings.Changed()
	b.current = nil
	if len(c.session.changed)+len(c.session.base) == 0 {
		return nil
	}
	transaction := needsTransaction(c.session.changed) || needsTransaction(c.session.base)
	err := b.protect(func() error {
		return b.inTransactionIf(transaction, func() error {
			for _, s := range slices.Backward(order(c.session.changed)) {
				if err := b.settings.Reset(s.Name); err != nil {
					return err
				}
			}
			for _, s := range slices.Backward(order(c.session.base)) {
				if err := b.settings.Set(s.Name, b.original[s.Name], guest.SourceClient); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if errors.Is(err, guest.ErrRaised) {
		// A value that was good before is not any more. The others must go all the same.
		b.log.Warn("put a session away", "error", err)
		for _, sql := range []string{"RESET SESSION AUTHORIZATION", "RESET ALL"} {
			if _, err := b.query(sql); err != nil {
				return err
			}
		}
		return b.resetBase()
	}
	return err
}

func (b *backend) apply(s *session) error {
	if len(s.base)+len(s.changed) == 0 {
		return nil
	}
	return b.protect(func() error {
		return b.inTransactionIf(needsTransaction(s.changed) || needsTransaction(s.base), func() error {
			for _, v := range order(s.base) {
				if err := b.settings.Set(v.Name, v.Value, guest.SourceClient); err != nil {
					return err
				}
			}
			for _, v := range order(s.changed) {
				if err := b.settings.Set(v.Name, v.Value, guest.SourceSession); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (b *backend) inTransactionIf(yes bool, f func() error) error {
	if !yes {
		return f()
	}
	return b.in.InTransaction(f)
}

// needsTransaction reports parameters whose check looks into the catalog and fails outside
// of a transaction.
func needsTransaction(list []guest.Setting) bool {
	return slices.ContainsFunc(list, func(s guest.Setting) bool {
		return rank(s.Name) > 0 || s.Name == "client_encoding" // whose conversions are functions
	})
}

// order puts the parameters that change who we are last: the session's user, then its
// role.
func order(list []guest.Setting) []guest.Setting {
	slices.SortStableFunc(list, func(a, b guest.Setting) int { return rank(a.Name) - rank(b.Name) })
	return list
}

func rank(name string) int {
	switch name {
	case "session_authorization":
		return 1
	case "role":
		return 2
	}
	return 0
}

// holds says why c must keep the backend between transactions, "" if it need not.
func (b *backend) holds(c *client) (string, error) {
	if !c.ready || c != b.current {
		return "", nil
	}
	in, s := b.in, b.sym
	portals, locks, temp := false, false, false
	err := b.protect(func() error {
		portals = in.Entries(s.Portals) > 0
		locks = in.Entries(s.LocalLocks) > 0
		temp = in.Load(s.TempNamespace) != 0
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case portals:
		return "a cursor WITH HOLD", nil
	case locks:
		return "a session-level advisory lock", nil
	case !temp:
		return "", nil
	}
	r, err := b.query(`SELECT 1 FROM pg_catalog.pg_depend WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() LIMIT 1`)
	if err != nil {
		return "", err
	}
	if r.err != nil {
		b.log.Warn("look for temporary objects", "error", r.err)
	}
	if len(r.rows) > 0 || r.err != nil {
		return "temporary tables", nil //nolint:nilerr // what cannot be asked is taken to be there
	}
	return "", nil
}

// protect calls functions of the guest with errors that they raise kept from clients.
func (b *backend) protect(f func() error) error {
	target, old := b.out.target, b.out.capture
	b.out.target, b.out.capture = nil, &capture{}
	err := b.in.Protect(f)
	if errors.Is(err, guest.ErrRaised) && b.out.capture.err != nil {
		b.log.Debug("raised", "error", b.out.capture.err)
		err = raised{b.out.capture.err}
	}
	b.out.target, b.out.capture = target, old
	return err
}

// raised is guest.ErrRaised with what was raised.
type raised struct{ f *fault }

func (r raised) Error() string   { return r.f.Error() }
func (r raised) Unwrap() []error { return []error{guest.ErrRaised, r.f} }

// untimed runs f while none of the current session's timeouts can end a statement. Those
// that leave reports, by name, f has reset itself.
func (b *backend) untimed(f func(), leave func(name string) bool) {
	vars := map[string]uint32{"statement_timeout": b.timeouts.statement, "transaction_timeout": b.timeouts.transaction, "lock_timeout": b.timeouts.lock}
	values := map[string]uint32{}
	for name, at := range vars {
		values[name] = b.in.Load(at)
		b.in.Store(at, 0)
	}
	f()
	for name, at := range vars {
		if leave == nil || !leave(name) {
			b.in.Store(at, values[name])
		}
	}
}

// query runs a statement of the host's own, between transactions.
func (b *backend) query(sql string) (r *capture, err error) {
	b.untimed(func() { r, err = b.ask(sql) }, nil)
	return r, err
}

func (b *backend) ask(sql string) (*capture, error) {
	// A simple query would drop the client's unnamed statement.
	unnamed := b.in.Load(b.sym.UnnamedStmt)
	b.in.Store(b.sym.UnnamedStmt, 0)
	r, err := b.simple(sql)
	b.in.Store(b.sym.UnnamedStmt, unnamed)
	return r, err
}

// simple is query for the case that the client's unnamed statement may go.
func (b *backend) simple(sql string) (*capture, error) {
	target, old := b.out.target, b.out.capture
	r := &capture{}
	b.out.target, b.out.capture = nil, r
	b.message = query(sql)
	err := b.in.Step()
	if err == nil {
		err = b.in.Settle()
	}
	b.out.target, b.out.capture = target, old
	if err == nil && b.isKilled() {
		err = errKilled
	}
	return r, err
}

// quit ends a client: its transaction is rolled back and everything that its session has
// is given up. With c.fatal the client is told why.
func (b *backend) quit(c *client) error {
	b.forget(c)
	f := c.fatal
	c.end(f)
	c.fatal = &fault{} // nothing more reaches the client
	if !c.ready {
		return nil
	}
	c.ready = false
	if err := b.load(c); err != nil {
		return err
	}
	b.in.ClearCancel()
	b.out.target = c
	if c.midway {
		b.message = message('S', nil)
		if err := b.in.Step(); err != nil {
			return err
		}
		if err := b.settle(c, 'S'); err != nil { // others hear what it has committed
			return err
		}
	}
	if err := b.discard(c); err != nil {
		return err
	}
	c.status, c.midway = 'I', false
	b.out.target = nil
	err := b.load(nil)
	if table := c.session.pointers[0]; table != 0 {
		// PostgreSQL never frees the table of prepared statements; the next session has it.
		b.spare = append(b.spare, table)
	}
	b.listening.drop(b, c)
	return err
}

// discard gives up everything that the current session has. What cannot be given up would
// be the next client's: the guest ends rather than that.
func (b *backend) discard(c *client) error {
	for _, sql := range []string{"ROLLBACK", "RESET SESSION AUTHORIZATION", "DISCARD ALL"} {
		if sql == "ROLLBACK" && c.status == 'I' {
			continue
		}
		if err := b.insist(sql); err != nil {
			return err
		}
	}
	return nil
}

// insist runs a statement that must succeed, with other tries where it does not.
func (b *backend) insist(sql string) error {
	for try := 0; ; try++ {
		// The statement may reset what the session has set.
		set := b.settings.Changed()
		var r *capture
		var err error
		if sql == "ROLLBACK" {
			// It puts timeouts back that SET LOCAL changed, and is not ended by one.
			r, err = b.simple(sql)
		} else {
			b.untimed(func() { r, err = b.simple(sql) }, func(name string) bool {
				return sql == "DISCARD ALL" && r != nil && r.err == nil && slices.ContainsFunc(set, func(s guest.Setting) bool { return s.Name == name })
			})
		}
		if err != nil {
			return err
		}
		if r.err == nil {
			return nil
		}
		b.log.Warn("give up a session", "statement", sql, "error", r.err)
		if try == 3 {
			return fmt.Errorf("give up a session: %s: %w", sql, r.err)
		}
	}
}

// checkpoint writes one when much WAL has been written: a backend without a checkpointer
// has none otherwise.
func (b *backend) checkpoint() error {
	if b.limits.maxWAL <= 0 || b.walWritten < b.limits.maxWAL {
		return nil
	}
	b.walWritten = 0
	c := b.current
	if err := b.load(nil); err != nil {
		return err
	}
	r, err := b.query("CHECKPOINT")
	if err != nil {
		return err
	}
	if r.err != nil {
		b.log.Warn("checkpoint", "error", r.err)
	}
	return b.load(c)
}
