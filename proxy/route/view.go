package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A view is what the definition of a view says of its rows. Statements are sent with the view's
// name, never with its query in its place: whose rights count, what a security barrier hides and
// what WITH CHECK OPTION checks is the server's to know.
type view struct {
	kind  kind
	why   string
	whose error         // a table that it reads differs between shards
	key   *sharding.Key // of rows that are divided, by the view's own columns; "" is one that it does not show
	known bool          // all of the key's columns are there
	// pinned says that all that it reads is on one shard.
	pinned bool
	shard  int

	unstable               bool // other rows each time that it is read, or on each shard
	locks, system, catalog bool
	clock                  bool
	calls                  []*call
	into                   *through // what is written by it
	order                  []viewOrder
}

// views are those that a plan has looked into.
type views map[*schema.Table]*view

// view analyses the definition of a view.
func (a *analysis) view(t *schema.Table) *view {
	if a.views == nil {
		a.views = views{}
	}
	if v, ok := a.views[t]; ok {
		return v
	}
	a.views[t] = &view{kind: mixed, why: "it reads itself"}
	v := a.read(t)
	a.views[t] = v
	return v
}

// read does so where it has not been done yet.
func (a *analysis) read(t *schema.Table) *view {
	unknown := func(why string) *view { return &view{kind: mixed, why: why} }
	var s lex.Scanner
	if t.Definition == "" || s.Scan(t.Definition) != nil {
		return unknown("its query is not known")
	}
	toks := s.Tokens
	for len(toks) > 0 && toks[len(toks)-1].Is(t.Definition, ";") {
		toks = toks[:len(toks)-1]
	}
	if len(toks) == 0 {
		return unknown("its query is not known")
	}
	st, err := parse(t.Definition, toks)
	if err != nil {
		return unknown("its query cannot be parsed")
	}
	sel, ok := st.tree.(*ast.SelectStmt)
	if !ok {
		return unknown("it is no query")
	}
	in := &analysis{st: st, layout: a.layout, snap: a.snap, path: a.snap.Path, views: a.views}
	b, d, err := in.query(sel, nil, 0)
	if err != nil {
		return unknown("its query cannot be routed")
	}
	v := &view{
		kind: d.kind, why: d.why, whose: in.differs, locks: in.locks, system: in.system, calls: in.calls, unstable: in.unstable(sel) || in.fickle,
		catalog: in.anywhere() == Catalog, clock: in.clock(),
	}
	if in.system && d.kind != anywhere {
		v.kind, v.why = mixed, "it has system columns such as ctid and tableoid, which have no meaning across shards"
	}
	for _, r := range in.refs {
		if r.blind && r.view != nil {
			v.kind, v.why = mixed, "view "+r.name+": "+r.why // whatever the rest makes of it
		}
	}
	if v.kind == mixed {
		v.pin(in.refs)
		if !slices.ContainsFunc(in.refs, (*ref).sharded) {
			v.kind, v.unstable = anywhere, true // each shard has all of it
		}
	}
	if v.kind == parted {
		v.divide(t, d, in.refs)
	}
	if t.Kind == 'm' && v.kind == anywhere && (v.unstable || v.clock) {
		v.kind, v.why = mixed, "what it holds was computed on each shard by itself, and may differ"
	}
	if t.Kind == 'v' {
		v.into, v.order = in.through(t, b, sel), in.sorted(b)
		ts, _ := in.targets(b)
		for i := range v.order { // by the view's own names
			for at, x := range ts {
				if x.name == v.order[i].column && at < len(t.Columns) {
					v.order[i].column = t.Columns[at].Name
					break
				}
			}
		}
	}
	return v
}

// pin finds a view that one shard has all of.
func (v *view) pin(refs []*ref) {
	shard := -1
	for _, r := range refs {
		switch {
		case r.key != nil || r.blind:
			return
		case r.place.Pinned && shard >= 0 && shard != r.place.Shard:
			return
		case r.place.Pinned:
			shard = r.place.Shard
		}
	}
	if shard >= 0 {
		v.pinned, v.shard = true, shard
	}
}

// divide finds the key of a view whose rows are each on one shard, by its own columns.
func (v *view) divide(t *schema.Table, d dist, refs []*ref) {
	if d.key != nil && d.out != nil {
		names := make([]string, len(d.out))
		for i, at := range d.out {
			if at >= len(t.Columns) {
				v.kind, v.why = mixed, "its columns are not those of its query"
				return
			}
			names[i] = t.Columns[at].Name
		}
		v.key, v.known = d.key.Rename(names), true
		return
	}
	for _, r := range refs {
		// What every server has of its own would be joined as such.
		if r.key != nil && (v.key == nil || v.key.PerShard()) {
			v.key = r.key
		}
	}
	if v.key == nil {
		v.kind, v.why = mixed, "its rows cannot be told apart"
		return
	}
	v.key = v.key.Rename(make([]string, len(v.key.Columns)))
}

// lookInto places a view by its definition.
func (a *analysis) lookInto(r *ref) {
	v := a.view(r.table)
	r.view = v
	named := a.layout.Find(r.schema, r.name, nil)
	if v.whose != nil && a.differs == nil {
		a.differs = v.whose
	}
	a.calls = append(a.calls, v.calls...)
	a.locks, a.system, a.clocks = a.locks || v.locks, a.system || v.system, a.clocks || v.clock
	a.catalog, a.fickle = a.catalog || v.catalog, a.fickle || v.unstable
	home, pinned := r.place.Shard, r.place.Pinned && r.place.Key == nil
	r.place = sharding.Placement{}
	switch {
	case pinned && (v.kind == anywhere || v.pinned && v.shard == home):
		r.place.Pinned, r.place.Shard = true, home
	case pinned:
		r.blind, r.why = true, "it is on one shard, and rows that it reads are on others"
	case v.pinned:
		r.place.Pinned, r.place.Shard = true, v.shard
	case named.Key != nil && (v.kind == mixed || v.kind == parted && !v.known):
		// Who lists it knows better.
		r.place = named
		if r.key = typed(named.Key, r.table); r.key == nil {
			r.blind, r.why = true, "the key of table "+r.name+" is configured with another type than its column has"
		}
	case v.kind == parted:
		r.place.Key, r.key = v.key, v.key
	case v.kind == mixed:
		r.blind, r.why = true, orSay(v.why, "its rows are of several shards")
	}
}

// placed says where the rows of a table or view are.
func (pb *builder) placed(schemaName, name string, t *schema.Table) *ref {
	a := &analysis{layout: pb.layout, snap: pb.snap, path: pb.path}
	r := &ref{schema: schemaName, name: name, table: t}
	var columns []string
	if t != nil {
		r.schema, columns = t.Schema, t.Names()
	}
	r.place = a.layout.Find(r.schema, name, columns)
	a.place(r)
	return r
}

// refusedView says why what is read through a view cannot be told.
func refusedView(r *ref) error {
	return refuse("view "+r.name+" would have to be merged from several shards: "+r.why,
		"query its tables instead, or list the view among the sharded tables with its key if it has one")
}

// clock reports whether anything depends on when it is computed.
func (a *analysis) clock() bool {
	return a.clocks || a.hasClock() || slices.ContainsFunc(a.calls, func(c *call) bool {
		return slices.Contains([]string{"now", "transaction_timestamp", "statement_timestamp"}, c.name)
	})
}
