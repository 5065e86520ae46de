package route

import (
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
)

// Unbound returns the tables with the layout's keys of which a query reads, changes or copies rows
// without saying which keys they have: by an equality with values, or a join with a table whose
// keys are said. It is for layouts whose key is that of a tenant. unknown are tables that the
// schema does not have, of which nobody can tell.
func (p *Plan) Unbound() (unbound, unknown []string) {
	if p.Inner != nil {
		return p.Inner.Unbound()
	}
	if c := p.Copy; c != nil && (c.Key != nil || p.fixed != nil) {
		if p.Class == CopyOut || len(c.KeyAt) == 0 || slices.Min(c.KeyAt) < 0 {
			return []string{c.Table}, nil
		}
		return nil, p.unknown
	}
	inserted := (p.insert != nil || p.Feed != nil) && !p.keyless
	bound := make([]bool, len(p.refs))
	for i, r := range p.refs {
		bound[i] = r.target && inserted
		for _, c := range r.conds {
			bound[i] = bound[i] || c.binds()
		}
	}
	for changed := true; changed; {
		changed = false
		for i, r := range p.refs {
			for _, by := range r.from {
				if !bound[i] && by.slot < len(p.refs) && p.refs[by.slot] == by && bound[by.slot] {
					bound[i], changed = true, true
				}
			}
		}
	}
	for i, r := range p.refs[:p.real] {
		if !bound[i] {
			unbound = append(unbound, strings.Clone(r.name))
		}
	}
	return append(unbound, p.views...), p.unknown
}

// emptied notes of which tables with keys TRUNCATE removes all rows. With CASCADE these may be those
// of any table.
func (pb *builder) emptied(st *statement, p *Plan) {
	end := len(st.toks)
	if end > 2 && (st.is(end-1, "cascade") || st.is(end-1, "restrict")) {
		if end--; st.is(end, "cascade") {
			p.views = append(p.views, "what refers to it")
		}
	}
	if end > 3 && st.is(end-1, "identity") && (st.is(end-2, "restart") || st.is(end-2, "continue")) {
		end -= 2
	}
	for i := 1; i < end; i++ {
		if st.is(i, "table") || st.is(i, "only") || st.is(i, ",") || st.is(i, "*") {
			continue
		}
		schemaName, name := "", st.toks[i].Ident(st.sql)
		for ; i+2 < end && st.is(i+1, "."); i += 2 {
			schemaName, name = name, st.toks[i+2].Ident(st.sql)
		}
		t := pb.snap.Table(schemaName, name, pb.path)
		if p.fixed == nil {
			p.fixed = pb.triggered(t, schema.TriggerTruncate)
		}
		switch {
		case t == nil:
			p.unknown = append(p.unknown, strings.Clone(name))
		case pb.layout.Find(t.Schema, t.Name, t.Names()).Key != nil:
			p.views = append(p.views, strings.Clone(name))
		}
	}
}

// binds says that a condition leaves only keys that it names.
func (c *cond) binds() bool {
	switch c.op {
	case condIn:
		return true
	case condAnd:
		for _, a := range c.args {
			if a.binds() {
				return true
			}
		}
	case condOr:
		for _, a := range c.args {
			if !a.binds() {
				return false
			}
		}
		return len(c.args) > 0
	}
	return false
}
