package scatter

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A request is one execution of a statement.
type request struct {
	sql string
	// extended says that it came by the extended protocol, or is to be sent so; what
	// follows has a meaning only then.
	extended bool
	types    []uint32 // of the parameters, as far as the client declared them
	formats  []wire.Format
	values   [][]byte
	results  []wire.Format
	// st is the prepared statement, nil if there is none.
	st *statement
}

// described returns the types of the parameters as the server has determined them.
func (s *Session) described(ctx context.Context, q *request) ([]uint32, error) {
	if len(q.values) == 0 {
		return nil, nil
	}
	if q.st == nil {
		q.st = &statement{sql: q.sql, types: q.types}
	}
	if err := s.describe(ctx, q.st); err != nil {
		return nil, err
	}
	return q.st.params, nil
}

// decide routes a request, with lookups as they are needed.
func (s *Session) decide(ctx context.Context, d *route.Decision, q *request) error {
	b := &route.Binding{UniqueID: s.ex.cfg.UniqueID, Lookups: &s.found, Values: q.values}
	if b.Values == nil {
		b.Values = [][]byte{}
	}
	if len(q.values) > 0 {
		types := q.types
		if q.st != nil && q.st.params != nil {
			types = q.st.params
		}
		for _, t := range types {
			b.Types = append(b.Types, hash.OID(t))
		}
		for _, f := range q.formats {
			b.Formats = append(b.Formats, int16(f))
		}
	}
	if err := s.refresh(ctx); err != nil {
		return err
	}
	if !s.lookingUp {
		clear(s.found.own)
	}
	state := &s.state
	if len(s.cursors) > 0 {
		var err error
		if state, err = s.current(q.sql); err != nil {
			return s.aborted(err)
		}
	}
	for range 1000 {
		err := s.router().Route(d, q.sql, state, b)
		need, ok := errors.AsType[*sharding.NeedLookup](err)
		if !ok {
			if err == nil {
				s.spread(d)
				s.readOwn(d)
			}
			return s.aborted(s.refusals(d, err))
		}
		if err := s.lookup(ctx, need); err != nil {
			return err
		}
	}
	return wire.Errorf(wire.CodeProgramLimitExceeded, "the statement needs more than 1000 lookups of sharding keys")
}

// aborted is what a failed transaction says instead of an error that only an analysis of the
// statement could find (exec_parse_message in postgres.c).
func (s *Session) aborted(err error) error {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || !s.tx.failed || e.Code == wire.CodeSyntaxError {
		return err
	}
	return wire.Errorf(wire.CodeInFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
}

// spread chooses the shard that answers what any one could.
func (s *Session) spread(d *route.Decision) {
	s.spreadBy(d, func() uint64 { return s.ex.next.Add(1) })
}

// spreadBy is spread, where next counts the statements that any shard could answer.
func (s *Session) spreadBy(d *route.Decision, next func() uint64) {
	if !d.Any {
		return
	}
	switch kind := d.Plan.Anywhere(); {
	case kind == route.Catalog && s.ex.cfg.Layout.Catalogs == sharding.CatalogsSticky:
		// Numbers of types and tables are the first shard's for all clients.
		d.Shards, d.Any = sharding.One(0), false
	case s.pinned, kind == route.AnyShard, kind == route.AnyCopy && s.ex.cfg.OmniSticky && !d.Plan.Write:
	default:
		// A shard that has the transaction already, or has begun the pipeline, needs no other.
		for _, l := range s.links {
			if l != nil && (l.inTx || l.unsynced) && d.Shards.Has(l.shard) {
				d.Shards, d.Any = sharding.One(l.shard), false
				return
			}
		}
		if list := d.Targets(); len(list) > 1 {
			d.Shards, d.Any = sharding.One(list[next()%uint64(len(list))]), false
		}
	}
}

// readOwn sends a read to primaries if the session has written on one of its shards, which
// replicas may not show yet.
func (s *Session) readOwn(d *route.Decision) {
	if d.Role != route.Replica || d.RoleNamed || len(s.wrote) == 0 {
		return
	}
	now := time.Now()
	for shard, at := range s.wrote {
		switch {
		case s.ex.cfg.Behind > 0 && now.Sub(at) > s.ex.cfg.Behind:
			delete(s.wrote, shard)
		case d.Shards.Has(shard):
			d.Role = route.Primary
		}
	}
}

// noteWrite takes down that the session has written on a shard.
func (s *Session) noteWrite(l *link) {
	if !l.wrote {
		return
	}
	if s.wrote == nil {
		s.wrote = map[int]time.Time{}
	}
	s.wrote[l.shard] = time.Now()
}

// refusals are what the configuration does not allow.
func (s *Session) refusals(d *route.Decision, err error) error {
	switch {
	case err != nil:
		return err
	case s.ex.cfg.RefuseSplit && len(d.Queries) > 1:
		return refuse("an INSERT of rows of several shards is not allowed (rewrite.split_inserts)",
			"insert rows of one shard at a time, or set rewrite.split_inserts to \"rewrite\"")
	case s.ex.cfg.RefuseMove && (d.Plan.Move != nil && d.SQL != "" || slices.ContainsFunc(d.Steps, func(x route.Staged) bool { return x.Step.Moves })):
		return refuse("an UPDATE of the sharding key is not allowed (rewrite.shard_key)",
			"delete the row and insert it with the new key, or set rewrite.shard_key to \"rewrite\"")
	}
	return nil
}

// own reports whether the decision leaves all to one server.
func (s *Session) own(d *route.Decision) (shard int, ok bool) {
	switch {
	case explained(d.Plan), len(d.Steps) > 0, d.Locking != nil, d.Plan.Feed != nil && d.FeedSelect != "", d.Plan.Move != nil && d.SQL != "", d.Replay, d.Merge != nil && d.Merge.Finish != nil && d.Shards.Len() > 1:
		return 0, false
	case d.Any:
		if d.Shards.Has(s.sticky) {
			return s.sticky, true
		}
		return d.Shards.Lowest(), true
	}
	return d.Shards.Lowest(), d.Shards.Len() == 1
}

// text is the SQL that a server gets in place of the client's, and the client's parameters
// that it uses; params is nil where they are the client's own.
func textFor(d *route.Decision, q *request, shard int) (sql string, params []int, rewritten bool) {
	for _, x := range d.Queries {
		if x.Shards.Has(shard) {
			return x.SQL, x.Params, true
		}
	}
	if d.SQL != "" {
		return d.SQL, d.Params, true
	}
	return q.sql, nil, false
}
