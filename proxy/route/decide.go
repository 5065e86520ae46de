package route

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// decide fills d from a plan and the values at hand.
func (r *Router) decide(d *Decision, p *Plan, hints []lex.Comment, sql string, s *Session, b *Binding, advice Hint) error {
	layout := r.cfg.Layout
	*d = Decision{
		Plan: p, Limit: -1, Shards: layout.All(), env: d.env, key: d.key, sc: d.sc,
		Params: d.Params[:0], Queries: d.Queries[:0], Relations: d.Relations[:0],
	}
	d.env.bind, d.env.lookups, d.env.from = b, nil, UTF8
	if s != nil {
		d.env.from = s.Encoding
	}
	d.env.buf = d.env.buf[:0]
	if b != nil {
		d.env.lookups = b.Lookups
	}
	hint := NoHint()
	if s != nil {
		hint = s.Hint
	}
	if len(hints) > 0 {
		h := NoHint()
		for _, c := range hints {
			if err := parseHint(&h, sql[c.Start:c.End]); err != nil {
				return err
			}
		}
		hint = h.Over(hint)
	}
	hint = advice.Over(hint)
	d.Role, d.RoleNamed = r.role(p, s, hint), hint.HasRole
	if hint.Shard >= 0 || hint.HasKey {
		shard, err := hint.place(layout, d.env.lookups)
		if hint.HasKey && s.elsewhere(hint.Key) {
			err = refuse("a sharding key with other than ASCII characters in this client_encoding", utf8Hint)
		}
		switch {
		case err == nil:
			d.Shards, d.Why = sharding.One(shard), "named by hand"
			return r.ids(d, p)
		case p.Class != Set && p.Class != Transaction: // by these one gets out of it
			return err
		}
	}
	if layout.Shards == 1 {
		d.Shards, d.Why = sharding.One(0), "there is one shard"
		return r.ids(d, p)
	}
	if p.RouteOnly {
		d.Any, d.Why = true, "it is said where the statement would go, which goes nowhere"
		return nil
	}
	if p.fixed != nil {
		whole := d.env.toks
		d.env.toks = whole[p.base:]
		defer func() { d.env.toks = whole }()
		return r.steps(d, p, p.fixed)
	}
	switch {
	case p.channel != "":
		pb := builder{layout: layout}
		d.Shards, d.Why = sharding.One(pb.channelShard(p.channel)), p.why
		return nil
	case p.every:
		d.Why = p.why
		d.Merge = &gather.Spec{}
		switch {
		case p.omni:
			d.Merge = sameEverywhere
		case p.makes:
			d.Merge = &gather.Spec{Tag: gather.TagTotal}
		}
		return nil
	case p.insert != nil:
		return r.insert(d, p)
	case p.fresh:
		d.Any, d.Why = true, "the sharding key is made by a sequence of the shard, whose numbers are its own"
		return r.ids(d, p)
	case p.Feed != nil:
		d.Why = "the rows are fetched, and placed by their keys"
		d.FeedSelect, d.FeedParams = p.Feed.query.render(d.env.sql, d.env.toks)
		d.FeedBefore, _ = p.Feed.before.render(d.env.sql, d.env.toks)
		d.FeedAfter, _ = p.Feed.after.render(d.env.sql, d.env.toks)
		return nil
	case p.real == 0 && p.omni:
		d.Merge, d.Why = sameEverywhere, "every shard has a copy of the table"
		if err := r.ids(d, p); err != nil || !p.replay {
			return err
		}
		subs, err := p.idValues(&d.env)
		if err != nil {
			return err
		}
		all := " RETURNING *"
		if p.returns {
			all = ", *"
		}
		d.SQL, d.Params = replaced(0, len(d.env.toks), subs).str(all).render(d.env.sql, d.env.toks)
		d.Replay, d.Why = true, "every shard has a copy of the table, and computed values must be the same in all"
		return nil
	case p.first:
		d.Shards, d.Why = sharding.One(0), "sequences and locks are on the first shard, for all sessions"
		return r.ids(d, p)
	case p.real == 0:
		d.Any, d.Why = true, "it reads nothing that is sharded"
		return r.ids(d, p)
	}
	return r.bySets(d, p)
}

var sameEverywhere = &gather.Spec{Tag: gather.TagSame}

func (r *Router) role(p *Plan, s *Session, h Hint) Role {
	switch {
	case h.HasRole:
		return h.Role
	case p.Write:
		return Primary
	case s != nil && s.InTransaction && !s.ReadOnly && !(r.cfg.Aggressive && (!s.Started || s.OnReplica)):
		return Primary
	}
	return Replica
}

// bySets finds the shards of all sharded tables.
func (r *Router) bySets(d *Decision, p *Plan) error {
	e := &d.env
	whole := e.toks
	e.toks = e.toks[p.base:]
	defer func() { e.toks = whole }()
	var few [16]sharding.Set
	sets := few[:0]
	for _, ref := range p.refs {
		set := r.cfg.Layout.All()
		switch {
		case ref.place.Pinned && ref.key == nil:
			set = sharding.One(ref.place.Shard)
		case ref.key != nil:
			for _, c := range ref.conds {
				s, err := c.shards(e, ref.key, nil)
				if err != nil {
					return lookupError(err)
				}
				set = set.Intersect(s)
			}
		}
		sets = append(sets, set)
	}
	for changed := true; changed; {
		changed = false
		for i, ref := range p.refs {
			for _, by := range ref.from {
				if by.slot >= len(sets) || p.refs[by.slot] != by {
					continue
				}
				if s := sets[i].Intersect(sets[by.slot]); s != sets[i] {
					sets[i], changed = s, true
				}
			}
		}
	}
	var union sharding.Set
	for i := range p.real {
		union = union.Union(sets[i])
	}
	switch union.Len() {
	case 0:
		d.Shards, d.Why = sharding.One(0), "no row can match"
		return nil
	case 1:
		d.Shards, d.Why = union, "all rows are on one shard, by key"
		if p.Move != nil {
			return r.move(d, p, union)
		}
		return r.ids(d, p)
	}
	if p.Move != nil {
		return r.move(d, p, union)
	}
	if p.fixed != nil {
		return r.steps(d, p, p.fixed)
	}
	if p.hasIDs {
		return refuse("pgdog.unique_id() in a statement on several shards", "restrict it to one sharding key")
	}
	m, err := p.several()
	if err != nil {
		if !r.cfg.CrossShardDisabled {
			if done, err := d.lockFirst(p); done || err != nil {
				d.Shards = union
				return err
			}
		}
		return r.steps(d, p, err)
	}
	if m == nil {
		return refuse("the statement concerns several shards", "restrict it to one sharding key")
	}
	if r.cfg.CrossShardDisabled {
		return refuse("statements on several shards are disabled (cross_shard_disabled)", "restrict it to one sharding key, or name the shard by a comment")
	}
	return d.several(p, m, union, sets)
}

func (r *Router) move(d *Decision, p *Plan, union sharding.Set) error {
	if r.cfg.CrossShardDisabled {
		return refuse("statements on several shards are disabled (cross_shard_disabled)", "delete the row and insert it with the new key")
	}
	d.Shards, d.Why, d.Merge = union, "the new key may be on another shard: the rows are deleted and inserted anew", &gather.Spec{}
	d.SQL, d.Params = p.Move.sql.render(d.env.sql, d.env.toks)
	d.MoveAfter, _ = p.Move.after.render(d.env.sql, d.env.toks)
	return nil
}

func lookupError(err error) error {
	if need, ok := errors.AsType[*sharding.NeedLookup](err); ok {
		return need
	}
	return err
}

// several fills d for several shards.
func (d *Decision) several(p *Plan, m *multi, union sharding.Set, sets []sharding.Set) error {
	e := &d.env
	d.Shards, d.Merge, d.Why = union, m.spec, m.why
	for _, o := range []struct {
		o   *operand
		dst *int64
		off bool
	}{{m.limit, &d.Limit, false}, {m.offset, &d.Offset, true}} {
		if o.o == nil {
			continue
		}
		v, ok := e.value(*o.o)
		if !ok || v.Null {
			continue
		}
		n, err := hash.Int(hash.Int8, v.Bytes, v.Format)
		if err != nil {
			return wire.Errorf(wire.Code("22P02"), "LIMIT and OFFSET must be integers, not %q", v.Bytes)
		}
		if n < 0 {
			if o.off {
				return wire.Errorf(wire.Code("2201X"), "OFFSET must not be negative")
			}
			return wire.Errorf(wire.Code("2201W"), "LIMIT must not be negative")
		}
		*o.dst = n
	}
	if m.sql != nil {
		d.SQL, d.Params = m.sql.render(e.sql, e.toks)
	}
	if m.finish == nil {
		return nil
	}
	if p.Inner != nil {
		return refuse("a cursor, an EXPLAIN or a COPY over rows that must be combined from several shards", "run the query itself")
	}
	for _, rel := range m.relations {
		if rel.ref == nil {
			d.Relations = append(d.Relations, Query{Shards: union, SQL: d.SQL, Params: d.Params})
			continue
		}
		sql, params := rel.sql.render(e.sql, e.toks)
		d.Relations = append(d.Relations, Query{Shards: sets[rel.ref.slot], SQL: sql, Params: params})
	}
	d.Finish, d.FinishParams = m.finish.pieces(e.sql, e.toks, nil)
	d.FinishShard = union.Lowest()
	return nil
}

// insert places the rows of an INSERT … VALUES.
func (r *Router) insert(d *Decision, p *Plan) error {
	e := &d.env
	ip := p.insert
	rows := make([]int, 0, 64)
	values := e.one[:]
	if len(ip.key.Columns) > 1 {
		values = make([]sharding.Raw, len(ip.key.Columns))
	}
	known := e.bind != nil && e.bind.Values != nil
	var used sharding.Set
	ids := map[int]int64{}
	for i, row := range ip.rows {
		for j, o := range row.key {
			if o.id {
				if e.bind == nil || e.bind.UniqueID == nil {
					return refuse("pgdog.unique_id() needs a generator", "give the value as a literal or a parameter")
				}
				id := e.bind.UniqueID()
				ids[o.tok] = id
				values[j] = sharding.Raw{Type: hash.Int8, Bytes: strconv.AppendInt(nil, id, 10)}
				continue
			}
			v, ok := e.value(o)
			if !ok {
				if o.param > 0 && !known {
					// Parse without Bind: any of the shards, to be decided when the values come.
					d.Why, d.Open = "the rows' shards depend on the parameters", true
					return nil
				}
				if e.from != UTF8 {
					return refuse(fmt.Sprintf("the sharding key of row %d has other than ASCII characters, and client_encoding is not UTF8", i+1), utf8Hint)
				}
				return wire.Errorf(wire.Code("22023"), "the sharding key of row %d cannot be read", i+1)
			}
			values[j] = v
		}
		ip.fit.Apply(values)
		shard, err := ip.key.Place(values, e.lookups)
		if err != nil {
			why := placeError(err, ip.key, i+1)
			if code := wire.AsError(why).Code; code == wire.CodeFeatureNotSupported {
				return r.stepsOf(d, p, p.computed, why) // the server can make a key of it, or says why not
			}
			return why
		}
		used.Add(shard)
		rows = append(rows, shard)
	}
	d.Shards, d.Why = used, "the rows' keys"
	calls := p.idCalls(e)
	if used.Len() == 1 && len(calls) == 0 {
		return nil
	}
	if used.Len() > 1 {
		if r.cfg.CrossShardDisabled {
			return refuse("statements on several shards are disabled (cross_shard_disabled)", "insert rows of one shard at a time")
		}
		d.Merge = &gather.Spec{}
		if ip.returning {
			d.Merge.Turns = turns(rows, used)
		}
	}
	var subs []substitution
	for _, tok := range calls {
		id, ok := ids[tok]
		if !ok {
			if e.bind == nil || e.bind.UniqueID == nil {
				return refuse("pgdog.unique_id() needs a generator", "give the value as a literal or a parameter")
			}
			id = e.bind.UniqueID()
		}
		subs = append(subs, substitution{tok, tok + 5, template{}.str(strconv.FormatInt(id, 10) + "::bigint")})
	}
	for _, shard := range used.AppendTo(nil) {
		t := template{}.add(replaced(ip.before.From, ip.before.To, subs))
		n := 0
		for i, row := range rows {
			if row != shard {
				continue
			}
			if n > 0 {
				t = t.str(", ")
			}
			n++
			t = t.add(replaced(ip.rows[i].toks.From, ip.rows[i].toks.To, subs))
		}
		t = t.add(replaced(ip.after.From, ip.after.To, subs))
		sql, params := t.render(e.sql, e.toks)
		d.Queries = append(d.Queries, Query{Shards: sharding.One(shard), SQL: sql, Params: params, Rows: n})
	}
	return nil
}

// turns are the positions among the shards that are used of each row's shard.
func turns(rows []int, used sharding.Set) []int {
	shards := used.AppendTo(nil)
	out := make([]int, len(rows))
	for i, shard := range rows {
		out[i] = slices.Index(shards, shard)
	}
	return out
}

func placeError(err error, key *sharding.Key, row int) error {
	var need *sharding.NeedLookup
	var value *hash.ValueError
	switch {
	case errors.As(err, &need):
		return need
	case errors.Is(err, sharding.ErrUnmapped):
		return &wire.Error{
			Code: wire.CodeCheckViolation, Message: fmt.Sprintf("no shard is configured for the sharding key of row %d", row),
			Hint: "add the value to the mapping, or a default",
		}
	case errors.As(err, &value) && value.Malformed:
		return &wire.Error{Code: wire.CodeInvalidTextRepresentation, Message: value.Error()}
	}
	return &wire.Error{
		Code: wire.CodeFeatureNotSupported, Message: fmt.Sprintf("the sharding key of row %d cannot be placed: %v", row, err),
		Hint: "give " + key.Columns[0] + " as a value of its own type, in ISO format",
	}
}

// idCalls are the first tokens of the calls of pgdog.unique_id().
func (p *Plan) idCalls(e *env) []int {
	if !p.hasIDs {
		return nil
	}
	var out []int
	for i := range e.toks {
		if i+4 < len(e.toks) && e.toks[i].Is(e.sql, "pgdog") && e.toks[i+1].Is(e.sql, ".") && e.toks[i+2].Is(e.sql, "unique_id") &&
			e.toks[i+3].Is(e.sql, "(") && e.toks[i+4].Is(e.sql, ")") {
			out = append(out, i)
		}
	}
	return out
}

// ids replaces calls of pgdog.unique_id() in a statement that goes to shards as it is.
func (r *Router) ids(d *Decision, p *Plan) error {
	subs, err := p.idValues(&d.env)
	if err != nil || len(subs) == 0 {
		return err
	}
	d.SQL, d.Params = replaced(0, len(d.env.toks), subs).render(d.env.sql, d.env.toks)
	return nil
}

// idValues puts a number in place of each call of pgdog.unique_id().
func (p *Plan) idValues(e *env) ([]substitution, error) {
	calls := p.idCalls(e)
	if len(calls) > 0 && (e.bind == nil || e.bind.UniqueID == nil) {
		return nil, refuse("pgdog.unique_id() needs a generator", "give the value as a literal or a parameter")
	}
	var subs []substitution
	for _, tok := range calls {
		subs = append(subs, substitution{tok, tok + 5, template{}.str(strconv.FormatInt(e.bind.UniqueID(), 10) + "::bigint")})
	}
	return subs, nil
}

// Verbatim reports whether the client's bytes can be sent as they are.
func (d *Decision) Verbatim() bool {
	return len(d.Steps) == 0 && d.Locking == nil && d.SQL == "" && len(d.Queries) == 0 && len(d.Relations) == 0
}

// Targets lists the shards in ascending order.
func (d *Decision) Targets() []int { return slices.Clip(d.Shards.AppendTo(nil)) }
