package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Locking is a SELECT … FOR UPDATE or SHARE with a LIMIT, of rows of several shards: those that
// would come first are found, and locked by their keys, until there are enough, so that none is
// locked that is not among the first. It is what LockRows does below Limit (nodeLockRows.c), but that
// what is found is found anew, where it was not enough.
type Locking struct {
	// Find is a query of the rows' identities in order, without its LIMIT, FindParams its parameters.
	Find       string
	FindParams []int
	// Lock is the statement that locks some of them, which stand for the piece of the kind Values, and
	// returns the client's columns, and after them the identities.
	Lock       []gather.Piece
	LockParams []int
	// Columns is how many columns an identity has: the sharding key and the primary key.
	Columns int
}

// locking is what becomes one.
type locking struct {
	find, lock    template
	columns       int
	limit, offset *operand
}

// lockFirst plans a SELECT that locks; nil if it cannot be done so.
func (a *analysis) lockFirst(b *block) *locking {
	sel := b.sel
	if !a.locks || a.into || a.writes || a.system || b.left != nil || b.bad != "" || b.grouped || b.windows || sel.DistinctClause != nil ||
		sel.WithClause != nil || len(b.sources) != 1 || sel.LimitOption == ast.LIMIT_OPTION_WITH_TIES || len(items(sel.LockingClause)) == 0 {
		return nil
	}
	s := b.sources[0]
	r := s.r
	if r == nil || r.view != nil || r.key == nil || r.key.PerShard() || r.sampled || r.table == nil || len(r.table.Primary) == 0 || s.columns == nil ||
		slices.Contains(r.key.Columns, "") || !slices.Equal(s.columns, r.table.Names()) {
		return nil
	}
	for _, c := range a.calls {
		if t := a.traits(c); t.volatile || t.opaque {
			return nil
		}
	}
	c, ok := a.st.clauses()
	if !ok || c.sel != 0 || c.lock < 0 || c.limit < 0 || c.from < 0 || c.window >= 0 || !a.plainSort(b) {
		return nil
	}
	k := &locking{}
	for _, o := range []struct {
		n   ast.Node
		dst **operand
	}{{sel.LimitCount, &k.limit}, {sel.LimitOffset, &k.offset}} {
		if isNil(o.n) {
			continue
		}
		v, ok := a.operandOf(o.n)
		if !ok {
			return nil
		}
		*o.dst = &v
	}
	columns := slices.Clone(r.key.Columns)
	for _, name := range r.table.Primary {
		if !slices.Contains(columns, name) {
			columns = append(columns, name)
		}
	}
	quoted := make([]string, len(columns))
	for i, name := range columns {
		quoted[i] = quoteIdent(s.alias) + "." + quoteIdent(name)
	}
	list := strings.Join(quoted, ", ")
	k.columns = len(columns)
	tail := min(c.limit, c.lock)
	k.find = template{}.str("SELECT "+list+" ").toks(c.from, tail)
	end, stop := c.end, c.end
	if c.limit > c.lock {
		stop = c.limit
	}
	if c.order >= 0 {
		end = c.order
	}
	end = min(end, tail)
	k.lock = template{}.toks(c.sel, c.listEnd).str(", " + list + " ")
	if c.where >= 0 {
		k.lock = k.lock.toks(c.from, c.where).str("WHERE (").toks(c.where+1, end).str(") AND ")
	} else {
		k.lock = k.lock.toks(c.from, end).str("WHERE ")
	}
	k.lock = k.lock.str("(" + list + ") IN (")
	k.lock = append(k.lock, chunkOf(gather.Values, 0))
	k.lock = k.lock.str(") ").toks(c.lock, stop)
	return k
}

// plainSort reports whether ORDER BY means the same with another list: no item is a position, or the
// name of an output column that is something else than the input column of that name.
func (a *analysis) plainSort(b *block) bool {
	for _, n := range items(b.sel.SortClause) {
		s, ok := n.(*ast.SortBy)
		if !ok {
			return false
		}
		if _, isPos := a.position(s.Node); isPos || hasRow(s.Node) {
			return false
		}
		ref, isCol := s.Node.(*ast.ColumnRef)
		if !isCol {
			continue
		}
		parts, _ := a.st.names(ref.Fields)
		if len(parts) > 1 {
			continue
		}
		col, found := a.column(b, ref)
		if !found {
			return false
		}
		for _, t := range items(b.sel.TargetList) {
			res, isRes := t.(*ast.ResTarget)
			if !isRes || a.star(t) {
				continue
			}
			name := a.columnName(res.Val)
			if res.Name != "" {
				name, _ = a.st.name(res.Name)
			}
			if x, plain := a.column(b, unparen(res.Val)); name == parts[0] && (!plain || x != col) {
				return false
			}
		}
	}
	return true
}

// lockFirst fills d for a SELECT that locks; false if it is none.
func (d *Decision) lockFirst(p *Plan) (bool, error) {
	if p.locking == nil {
		return false, nil
	}
	k := p.locking()
	if k == nil {
		return false, nil
	}
	e := &d.env
	for _, o := range []struct {
		o    *operand
		dst  *int64
		code wire.Code
	}{{k.limit, &d.Limit, "2201W"}, {k.offset, &d.Offset, "2201X"}} {
		if o.o == nil {
			continue
		}
		v, ok := e.value(*o.o)
		if !ok || v.Null {
			continue
		}
		n, err := hash.Int(hash.Int8, v.Bytes, v.Format)
		if err != nil {
			return false, wire.Errorf("22P02", "LIMIT and OFFSET must be integers, not %q", v.Bytes)
		}
		if n < 0 {
			return false, wire.Errorf(o.code, "LIMIT and OFFSET must not be negative")
		}
		*o.dst = n
	}
	l := &Locking{Columns: k.columns}
	l.Find, l.FindParams = k.find.render(e.sql, e.toks)
	l.Lock, l.LockParams = k.lock.pieces(e.sql, e.toks, nil)
	d.Locking, d.Merge = l, &gather.Spec{}
	d.Why = "rows are found first, and locked by their keys, until there are enough"
	return true, nil
}
