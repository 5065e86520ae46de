package scatter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A transaction is the client's, or one that a statement on several shards needs for itself.
type transaction struct {
	block    bool // the client has said BEGIN
	implicit bool // we have, for one statement, pipeline or string of statements
	failed   bool
	// deadlocked says that it has failed to end a deadlock.
	deadlocked bool
	begin      string    // how it begins
	settings   *Settings // at its beginning
	state      route.Session
	// replay is what a shard that joins has missed, in order.
	replay []replayed
	// deferred is what takes effect at COMMIT.
	deferred []deferral
	// reload says that the schema must be loaded anew once it is committed.
	reload bool
	// stale says that DDL has been done since the router below was made, if there is one.
	stale  bool
	router *route.Router
	// What SET LOCAL has changed in the session, and the values of before.
	localPath, localHint bool
	path                 []string
	hint                 route.Hint
}

// A replayed statement is a setting, or a savepoint if it has a name.
type replayed struct {
	savepoint, sql string
	settings       *Settings // at the savepoint
	deferred       int       // how many deferrals there were
	state          route.Session
}

func (t *transaction) none() bool { return !t.block && !t.implicit }
func (t *transaction) open() bool { return t.block || t.implicit }

func (t *transaction) status() wire.TxStatus {
	switch {
	case !t.block:
		return wire.TxIdle
	case t.failed:
		return wire.TxFailed
	}
	return wire.TxActive
}

// begin starts a transaction; no server hears of it yet.
func (s *Session) begin(sql string, block bool) {
	s.tx = transaction{block: block, implicit: !block, begin: sql, settings: s.settings, state: s.state}
	s.state.InTransaction = true
	s.state.Started, s.state.OnReplica = false, false
}

// implicitly makes sure that there is a transaction, for work on several shards that must
// be done on all or none. It reports whether it has begun one.
func (s *Session) implicitly() (bool, error) {
	if s.tx.open() {
		return false, nil
	}
	s.begin("BEGIN", false)
	s.tx.state.InTransaction = false
	for _, l := range s.links {
		if l != nil && l.unsynced {
			// Its part of the pipeline has begun already: BEGIN makes a block of it.
			if err := l.beginInPipeline(); err != nil {
				return true, err
			}
		}
	}
	return true, nil
}

// join lets a shard take part in the transaction.
func (s *Session) join(l *link) error {
	var b strings.Builder
	b.WriteString(s.tx.begin)
	for _, r := range s.tx.replay {
		b.WriteString("; ")
		b.WriteString(r.sql)
	}
	if err := l.query(b.String()); err != nil {
		return err
	}
	l.inTx, l.wrote, l.joining, l.joinErr = true, false, true, nil
	if s.tx.begin == "BEGIN" && len(s.tx.replay) == 0 {
		return nil // it cannot fail: the statement goes with it
	}
	if err := l.push(); err != nil {
		return err
	}
	for l.joining {
		typ, body, err := l.receive()
		if err != nil {
			return err
		}
		switch typ {
		case wire.TypeErrorResponse:
			l.joinErr = l.errorOf(body)
			if l.dead {
				return l.joinErr
			}
		case wire.TypeReadyForQuery:
			l.joining = false
		}
	}
	return l.joinErr
}

// parts are the connections that take part.
func (s *Session) parts() []*link {
	var out []*link
	for _, l := range s.links {
		if l != nil && l.inTx {
			out = append(out, l)
		}
	}
	return out
}

// leave ends the transaction in the session. Connections that are lost are given up.
func (s *Session) leave(committed bool) {
	settings := s.tx.settings
	if committed {
		settings = s.settings
		s.state.InTransaction, s.state.ReadOnly, s.state.Started, s.state.OnReplica = false, s.tx.state.ReadOnly, false, false
		if s.tx.localPath {
			s.state.Path = s.tx.path
		}
		if s.tx.localHint {
			s.state.Hint = s.tx.hint
		}
	} else {
		s.settings, s.state = s.tx.settings, s.tx.state
	}
	reload := s.tx.reload && committed
	s.tx = transaction{}
	if reload {
		defer func() { s.told = s.ex.reload(context.Background()) }()
	}
	for _, l := range s.links {
		if l == nil {
			continue
		}
		if l.inTx && l.settings != nil {
			l.settings = settings
		}
		if committed {
			s.noteWrite(l)
		}
		l.inTx, l.wrote = false, false
		if l.dead {
			s.release(l)
		}
	}
	s.portals = map[string]*portal{}
	for name, c := range s.cursors {
		if !c.hold || !committed && c.born {
			delete(s.cursors, name)
		} else {
			c.born = false
		}
	}
}

// commit commits everywhere, or rolls back everywhere and says why. What was deferred takes
// effect then.
func (s *Session) commit(ctx context.Context) error {
	if s.tx.failed {
		return s.rollback()
	}
	deferred := s.tx.deferred
	if err := s.commitParts(ctx); err != nil {
		return err
	}
	return s.committed(ctx, deferred)
}

func (s *Session) commitParts(ctx context.Context) error {
	parts := s.parts()
	var wrote []*link
	for _, l := range parts {
		if l.dead {
			_ = s.rollback()
			return wire.Errorf(wire.CodeConnectionFailure, "the connection to shard %d was lost: the transaction is rolled back on all shards", l.shard)
		}
		if l.wrote {
			wrote = append(wrote, l)
		}
	}
	if s.ex.cfg.Committer != nil && len(wrote) > 1 && !(s.tx.implicit && s.ex.cfg.SingleInTurn) {
		return s.commitTogether(ctx, parts, wrote)
	}
	// The one that wrote, or may have, goes first: where it fails, nothing has happened.
	slices.SortStableFunc(parts, func(a, b *link) int { return boolInt(b.wrote) - boolInt(a.wrote) })
	if err := s.commitInTurn(parts); err != nil {
		return err
	}
	s.leave(true)
	return nil
}

// commitTogether is a two-phase commit of the shards that wrote.
func (s *Session) commitTogether(ctx context.Context, parts, wrote []*link) error {
	members := make([]Part, len(wrote))
	for i, l := range wrote {
		members[i] = l
	}
	pending, err := s.ex.cfg.Committer.Commit(ctx, members)
	if err == nil {
		s.twoPhased.Add(1)
	}
	if err != nil {
		for _, l := range wrote {
			l.inTx = false
		}
		_ = s.rollback()
		return err
	}
	for _, l := range parts {
		if l.wrote {
			continue
		}
		if _, err := l.exec("COMMIT"); err != nil {
			l.dead = true // it has only read
		}
	}
	for _, l := range wrote {
		l.inTx = false
		if l.settings != nil {
			l.settings = s.settings
		}
	}
	s.leave(true)
	if len(pending) > 0 {
		return s.notice(wire.SeverityWarning, wire.CodeWarning, fmt.Sprintf(
			"the transaction is committed, but shards %s will carry it out only when they can be reached", join(pending)))
	}
	return nil
}

// commitInTurn commits one shard after the other.
func (s *Session) commitInTurn(parts []*link) error {
	var done []int
	for i, l := range parts {
		tag, err := l.exec("COMMIT")
		if err == nil && tag != "COMMIT" {
			err = wire.Errorf(wire.CodeInFailedSQLTransaction, "shard %d has answered COMMIT by %s", l.shard, tag)
		}
		if broken(err) {
			return err
		}
		if err == nil {
			l.inTx = false
			if l.settings != nil {
				l.settings = s.settings
			}
			if l.wrote {
				done = append(done, l.shard)
			}
			continue
		}
		wrote := l.wrote
		l.inTx = false
		for _, other := range parts[i+1:] {
			wrote = wrote || other.wrote
		}
		if !wrote {
			l.dead = l.dead || true // it has only read, and what was written is committed
			continue
		}
		_ = s.rollback()
		return partial(err, l, done)
	}
	return nil
}

// partial is the error of a COMMIT that has failed on a shard when others had committed.
func partial(err error, l *link, done []int) error {
	e := *wire.AsError(err)
	unknown := l.dead
	switch {
	case len(done) == 0 && !unknown:
		e.Detail = strings.TrimSpace(e.Detail + " The transaction is rolled back on all shards.")
	case len(done) == 0:
		e.Code = "08007" // transaction_resolution_unknown
		e.Detail = fmt.Sprintf("Whether shard %d has committed is not known; the transaction is rolled back on all others.", l.shard)
	default:
		e.Code = "40003" // statement_completion_unknown
		what := "rolled back"
		if unknown {
			what = "of unknown outcome"
		}
		e.Message = fmt.Sprintf("the transaction is committed on some shards only: %s", e.Message)
		e.Detail = fmt.Sprintf("Committed on shards %s; %s on shard %d; rolled back on all others.", join(done), what, l.shard)
		e.Hint = "Turn on two_phase_commit to make transactions on several shards atomic."
	}
	return &e
}

// rollback rolls back everywhere.
func (s *Session) rollback() error {
	var out error
	if s.tx.none() {
		return nil
	}
	for _, l := range s.links {
		if l == nil || !l.inTx {
			continue
		}
		l.abort(context.Background(), false)
		if l.dead {
			continue // the end of the connection rolls back
		}
		if len(l.buf) > 0 && l.joining {
			// It has not even begun.
			l.buf, l.joining = l.buf[:0], false
			l.inTx = false
			continue
		}
		if l.unsynced {
			if err := l.put(&wire.Sync{}); err != nil {
				l.dead = true
				continue
			}
			l.running = true
			if err := l.push(); err != nil {
				continue
			}
			if _, err := l.drain(); err != nil && l.dead {
				continue
			}
		}
		if _, err := l.exec("ROLLBACK"); err != nil {
			l.dead = true
			if broken(err) {
				out = err
			}
		}
	}
	s.leave(false)
	return out
}

// finishImplicit ends a transaction that we have begun, by commit or, after an error, by
// rollback. It returns the error that the client is to see.
func (s *Session) finishImplicit(ctx context.Context, err error) error {
	if !s.tx.implicit {
		return err
	}
	if err != nil {
		if rollback := s.rollback(); rollback != nil {
			return errors.Join(err, rollback)
		}
		return err
	}
	return s.commit(ctx)
}

func join(shards []int) string {
	parts := make([]string, len(shards))
	for i, n := range shards {
		parts[i] = fmt.Sprint(n)
	}
	return strings.Join(parts, ", ")
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
