package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A ref is one reference to a table, or the rows of a sub-query that are divided by a key.
type ref struct {
	id       int // among the analysis's refs; -1 for a sub-query
	schema   string
	name     string
	table    *schema.Table // nil if it is unknown
	place    sharding.Placement
	key      *sharding.Key // nil for tables that are not sharded by a key
	blind    bool          // sharded in a way that is not known, such as by a key that does not fit the table's columns
	why      string        // why it is so
	view     *view         // what a view reads; nil for tables
	tok      int           // the first token of the name; -1 if it could not be found
	end      int           // the token after the name
	block    *block
	conds    []*cond
	from     []*ref // refs whose shards bound this one's
	alias    bool   // an alias follows
	target   bool   // the statement writes it
	inserted bool   // by an INSERT
	events   int    // what triggers of a target may be called for
	sampled  bool   // by TABLESAMPLE
	slot     int    // among the refs of the plan
}

// sharded reports whether its rows are divided among shards.
func (r *ref) sharded() bool { return r.key != nil || r.blind || r.place.Pinned }

// A source is what a name in FROM stands for: a table, or a sub-query or CTE.
type source struct {
	alias   string
	columns []string // nil: unknown
	r       *ref     // the table
	sub     *block   // the sub-query
	d       dist     // how the sub-query's, the CTE's or the function's rows are divided
	virtual *ref     // stands for the sub-query's rows, if they are divided by a key
}

// ref is what conditions on the source's columns bound.
func (s *source) ref() *ref {
	if s.r != nil {
		return s.r
	}
	return s.virtual
}

// part is how the source's rows are divided.
func (s *source) part() part {
	r := s.ref()
	switch {
	case s.r != nil && s.r.blind:
		return part{kind: mixed, why: s.r.why}
	case s.r != nil && s.r.place.Pinned:
		return part{kind: mixed, why: "table " + s.r.name + " is on one shard only"}
	case r != nil && r.key != nil:
		p := part{kind: parted, key: r.key, members: []*ref{r}}
		for _, name := range r.key.Columns {
			p.carry = append(p.carry, []column{{s, name}})
		}
		return p
	case s.r != nil && s.r.sampled:
		return part{kind: mixed, why: "a sample of table " + s.r.name + " is not the same on each shard"}
	case s.r != nil && s.r.view != nil && s.r.view.unstable:
		return part{kind: mixed, why: "view " + s.r.name + " may give other rows on each shard"}
	case s.r != nil:
		return part{}
	case s.d.kind == parted:
		return part{kind: parted, members: nil}
	}
	return part{kind: s.d.kind, why: s.d.why}
}

// A column is a column of a source.
type column struct {
	src  *source
	name string
}

func (c column) ref() *ref { return c.src.ref() }

// A block is one SELECT with what is around it, or the FROM and WHERE of a write.
type block struct {
	parent      *block
	sel         *ast.SelectStmt
	depth       int
	sources     []*source
	by          map[ast.Node]*source
	merged      map[string]*source // columns that USING merges, and whose they are; nil is of neither side
	using       []string           // their names in the order of the text
	natural     bool               // there is a NATURAL JOIN
	names       []visible          // what names can stand for
	scopes      map[*ast.JoinExpr][]visible
	ctes        map[string]*cte
	pairs       [][2]column // equalities that hold for all rows
	part        part
	left, right *block // of a set operation
	union       bool   // a set operation that the merger can do
	limited     bool   // only a LIMIT keeps the result from being divided
	bad         string // a sub-query in an expression needs other shards
	local       bool   // every group lies on one shard
	grouped     bool   // there are aggregates or GROUP BY
	windows     bool   // a window has rows of several shards
	distinct    bool   // only DISTINCT keeps the result from being divided
}

type cte struct {
	columns []string
	d       dist
}

// A part says how the rows of a FROM item are divided.
type part struct {
	kind    kind
	key     *sharding.Key
	carry   [][]column // for each column of the key, the columns that hold it
	members []*ref     // what is divided, so that a bound for one is one for all
	why     string
}

type kind uint8

const (
	anywhere kind = iota // every shard has all of it
	parted               // every row is on one shard, by key
	mixed                // neither: only fetching it gives the truth
)

// A dist says how the rows of a query's result are divided.
type dist struct {
	kind kind
	key  *sharding.Key
	out  []int // for each column of the key, the output column that has it; nil if one is missing
	why  string
}

// equalities returns the pairs of columns that the conjuncts of n equate.
func (a *analysis) equalities(b *block, n ast.Node, out [][2]column) [][2]column {
	switch n := unparen(n).(type) {
	case *ast.BoolExpr:
		if n.Boolop == ast.AND_EXPR {
			for _, arg := range items(n.Args) {
				out = a.equalities(b, arg, out)
			}
		}
	case *ast.A_Expr:
		if n.Kind != ast.AEXPR_OP || opName(n) != "=" || n.Lexpr == nil {
			return out
		}
		l, ok1 := unparen(n.Lexpr).(*ast.RowExpr)
		r, ok2 := unparen(n.Rexpr).(*ast.RowExpr)
		if ok1 && ok2 && len(items(l.Args)) == len(items(r.Args)) {
			for i, x := range items(l.Args) {
				out = a.pair(b, x, items(r.Args)[i], out)
			}
			return out
		}
		return a.pair(b, n.Lexpr, n.Rexpr, out)
	}
	return out
}

func (a *analysis) pair(b *block, l, r ast.Node, out [][2]column) [][2]column {
	x, ok1 := a.column(b, unparen(l))
	y, ok2 := a.column(b, unparen(r))
	if ok1 && ok2 {
		out = append(out, [2]column{x, y})
	}
	return out
}

// same reports whether pairs make x and y equal, in as many steps as it takes.
func same(pairs [][2]column, x, y column) bool {
	reached := []column{x}
	for i := 0; i < len(reached); i++ {
		if reached[i] == y {
			return true
		}
		for _, p := range pairs {
			for j := range p {
				if p[j] == reached[i] && !slices.Contains(reached, p[1-j]) {
					reached = append(reached, p[1-j])
				}
			}
		}
	}
	return false
}

// joined reports whether pairs equate the whole keys of p and q.
func joined(pairs [][2]column, p, q part) bool {
	if p.kind != parted || q.kind != parted || p.key == nil || q.key == nil || !p.key.Colocated(q.key) || len(p.carry) != len(q.carry) || len(p.carry) == 0 {
		return false
	}
	if p.key.PerShard() {
		return true
	}
	for i := range p.carry {
		found := false
		for _, x := range p.carry[i] {
			for _, y := range q.carry[i] {
				found = found || same(pairs, x, y)
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// combineInner is the division of the inner join of p and q.
func combineInner(pairs [][2]column, p, q part) part {
	switch {
	case p.kind == mixed:
		return p
	case q.kind == mixed, p.kind == anywhere:
		return q
	case q.kind == anywhere:
		return p
	case joined(pairs, p, q):
		out := part{kind: parted, key: p.key, members: append(slices.Clone(p.members), q.members...)}
		for i := range p.carry {
			out.carry = append(out.carry, append(slices.Clone(p.carry[i]), q.carry[i]...))
		}
		return out
	}
	return part{kind: mixed, why: "it joins sharded tables by something else than their sharding key"}
}

// combineOuter is the division of p LEFT JOIN q (or FULL, if full).
func combineOuter(pairs [][2]column, p, q part, full bool) part {
	switch {
	case p.kind == mixed:
		return p
	case q.kind == mixed:
		return q
	case p.kind == anywhere && q.kind == anywhere:
		return p
	case q.kind == anywhere && !full:
		return p
	case p.kind == parted && q.kind == parted && joined(pairs, p, q):
		if full {
			return part{kind: parted, key: p.key, members: append(slices.Clone(p.members), q.members...)}
		}
		return part{kind: parted, key: p.key, carry: p.carry, members: append(slices.Clone(p.members), q.members...)}
	case p.kind == parted && q.kind == parted:
		return part{kind: mixed, why: "it joins sharded tables by something else than their sharding key"}
	}
	return part{kind: mixed, why: "an outer join keeps rows of an omnisharded table that match nothing on one shard but may on another"}
}

// bind lets the shards of by bound those of refs.
func bind(refs, by []*ref) {
	for _, r := range refs {
		for _, x := range by {
			if r != x && !slices.Contains(r.from, x) {
				r.from = append(r.from, x)
			}
		}
	}
}
