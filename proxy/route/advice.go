package route

import (
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A Question is what an adviser is asked about: one statement that is about to be routed. It is
// valid during the call.
type Question struct {
	SQL     string
	Plan    *Plan
	Session *Session // nil: nothing is known
	Binding *Binding // nil: there are no parameters, or they are not known yet

	d      *Decision
	layout *sharding.Layout
}

// Shards is how many shards there are.
func (q *Question) Shards() int { return q.layout.Shards }

// Reads reports that the statement may run on a replica.
func (q *Question) Reads() bool { return !q.Plan.Write }

// A KeyValue is the value of a sharding key that a statement names.
type KeyValue struct {
	Table, Column string
	Value         []byte // nil is NULL
}

// Tables returns the names of the tables and views that a query reads or writes, as they stand
// there, those of the statement within EXPLAIN and its like included. Definitions name none.
func (p *Plan) Tables() []string {
	switch {
	case p.Inner != nil:
		return p.Inner.Tables()
	case p.Copy != nil && len(p.tables) == 0:
		return []string{p.Copy.Table}
	}
	return p.tables
}

// Keys returns the values of sharding keys that the statement names, as far as they are known:
// those that its rows must have, or that are inserted. Those of alternatives are all there.
func (q *Question) Keys() (out []KeyValue) {
	p, e := q.Plan, &q.d.env
	e.bind = q.Binding
	add := func(table, column string, o operand) {
		if v, ok := e.value(o); ok {
			k := KeyValue{Table: table, Column: column}
			if !v.Null {
				k.Value = append([]byte{}, v.Bytes...)
			}
			out = append(out, k)
		}
	}
	if p.insert != nil {
		table := ""
		if len(p.tables) > 0 {
			table = p.tables[0]
		}
		for _, row := range p.insert.rows {
			for i, o := range row.key {
				add(table, p.insert.key.Columns[i], o)
			}
		}
	}
	whole := e.toks
	e.toks = e.toks[min(p.base, len(e.toks)):]
	defer func() { e.toks = whole }()
	for _, r := range p.refs {
		if r.key == nil || r.id < 0 {
			continue
		}
		for _, c := range r.conds {
			c.values(func(col int, o operand) { add(r.name, r.key.Columns[col], o) })
		}
	}
	return out
}

// values calls f for every value that a condition names.
func (c *cond) values(f func(col int, o operand)) {
	for _, a := range c.args {
		a.values(f)
	}
	if c.op != condIn {
		return
	}
	for _, alternative := range c.vals {
		for i, o := range alternative {
			f(c.cols[i], o)
		}
	}
}

// advise asks the adviser; what it says goes before every other hint.
func (r *Router) advise(d *Decision, p *Plan, sql string, s *Session, b *Binding) (Hint, error) {
	if r.cfg.Advise == nil {
		return NoHint(), nil
	}
	return r.cfg.Advise(&Question{SQL: sql, Plan: p, Session: s, Binding: b, d: d, layout: r.cfg.Layout})
}

// Advised reports that somebody wants to be asked about every statement, before each execution.
func (r *Router) Advised() bool { return r != nil && r.cfg.Advise != nil }
