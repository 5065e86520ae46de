package route

import (
	"slices"
	"strings"
	"sync"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A builder makes plans under one layout, schema and search path.
type builder struct {
	layout  *sharding.Layout
	snap    *schema.Snapshot
	path    []string
	primary PrimaryKey
	inside  []*schema.Table // whose triggers are being looked into
}

// plan makes the plan of one statement. A statement that cannot be parsed is an error (42601).
func (pb *builder) plan(sql string, toks []lex.Token) (*Plan, error) {
	if len(toks) == 0 {
		return &Plan{Class: Empty, any: true}, nil
	}
	switch first := lex.Fold(toks[0].Text(sql)); first {
	case "select", "with", "insert", "update", "delete", "merge", "values", "table", "(":
		return pb.query(sql, toks)
	default:
		return pb.utility(sql, toks, first)
	}
}

// query plans what the planner proper is for.
func (pb *builder) query(sql string, toks []lex.Token) (*Plan, error) {
	st, err := parse(sql, toks)
	if err != nil {
		return nil, err
	}
	a := &analysis{st: st, layout: pb.layout, snap: pb.snap, path: pb.path, primary: pb.primary, inside: pb.inside}
	p := &Plan{st: st}
	sel, isSelect := st.tree.(*ast.SelectStmt)
	if isSelect {
		p.Class = Select
		b, d, err := a.query(sel, nil, 0)
		if err != nil {
			return nil, err
		}
		p.multi = func() (*multi, error) { return a.several(b, d) }
		p.staged = sync.OnceValues(func() (*steps, error) { return a.stage(nil) })
		p.locking = sync.OnceValue(func() *locking { return a.lockFirst(b) })
		p.any = true
		p.dist, p.outputs, p.varies = d, a.outputs(b), a.unstable(sel) || a.fickle || a.clock()
	} else {
		c, err := a.target(nil, st.tree)
		if err != nil {
			return nil, err
		}
		p.Write = true
		p.staged = sync.OnceValues(func() (*steps, error) { return a.stage(c) })
		if n, ok := st.tree.(*ast.InsertStmt); ok {
			p.computed = sync.OnceValues(func() (*steps, error) { return a.stageInsert(c, n, true) })
		}
		if err := a.change(p, c); err != nil {
			p.fixed = err
		}
	}
	for _, f := range a.calls {
		p.Write = p.Write || a.traits(f).writes
	}
	p.Write = p.Write || a.writes || a.locks || a.into
	a.finish(p)
	return p, nil
}

// change plans a write at the top of a statement.
func (a *analysis) change(p *Plan, c *change) error {
	switch n := a.st.tree.(type) {
	case *ast.InsertStmt:
		p.Class = Insert
	case *ast.UpdateStmt:
		p.Class = Update
		if err := a.keyChange(c, items(n.TargetList)); err != nil {
			return a.move(p, c, n, err)
		}
	case *ast.DeleteStmt:
		p.Class = Delete
	case *ast.MergeStmt:
		p.Class = Merge
		for _, w := range items(n.MergeWhenClauses) {
			m, ok := w.(*ast.MergeWhenClause)
			if !ok {
				continue
			}
			if err := a.mergeMoves(c, m); err != nil {
				return err
			}
			if m.CommandType == ast.CMD_INSERT && c.target.key != nil {
				p.any = false
			}
		}
	}
	t := c.target
	if c.insert != nil && !t.blind {
		if done, err := a.primaryKey(p, c); done || err != nil {
			return err
		}
	}
	switch {
	case t.blind && t.view != nil:
		return refusedView(t)
	case t.blind:
		return refuse("the sharding key of table "+t.name+" is configured with another type than its column has", "correct the configuration")
	case t.place.Pinned && t.key == nil:
		p.multi = func() (*multi, error) { return a.planChange(c) }
		return nil
	case t.key == nil:
		p.omni = true
		return a.omniWrite(p, c)
	case c.insert != nil:
		return a.planInsert(p, c)
	}
	if m, ok := a.st.tree.(*ast.MergeStmt); ok {
		if err := a.mergeInserts(m, c); err != nil {
			return err
		}
		if p.insert = a.mergeValues(m, c); p.insert != nil {
			return nil
		}
	}
	p.multi = func() (*multi, error) { return a.planChange(c) }
	return nil
}

// mergeInserts checks that what a MERGE inserts stays on the shard of the source's row: the
// key that is inserted must be the column that the condition equates with the target's.
func (a *analysis) mergeInserts(m *ast.MergeStmt, c *change) error {
	for _, w := range items(m.MergeWhenClauses) {
		when, ok := w.(*ast.MergeWhenClause)
		if !ok || when.CommandType != ast.CMD_INSERT {
			continue
		}
		var names []string
		for _, t := range when.TargetList {
			name, _ := a.st.name(t.Name)
			names = append(names, name)
		}
		if len(names) == 0 && c.target.table != nil {
			names = c.target.table.Names()
		}
		for i, k := range c.target.key.Columns {
			at := slices.Index(names, k)
			values := items(when.Values)
			good := false
			if at >= 0 && at < len(values) {
				if col, found := a.column(c.block, unparen(values[at])); found {
					good = same(c.block.pairs, col, column{c.block.sources[0], c.target.key.Columns[i]})
				}
			}
			if !good {
				return refuse("MERGE inserts a sharding key that is not the one it joins by", "insert the source's column that the condition compares with "+k)
			}
		}
	}
	return nil
}

// finish collects what the plan needs at execution.
func (a *analysis) finish(p *Plan) {
	if p.fixed == nil {
		p.fixed = a.differs
	}
	if err := a.triggered(); err != nil {
		p.fixed, p.staged, p.computed = err, nil, nil // whatever way it would go
	}
	if a.behindView != nil {
		p.fixed, p.staged, p.computed = a.behindView, nil, nil
	}
	for _, r := range a.refs {
		p.tables = append(p.tables, strings.Clone(r.name))
		if r.table == nil {
			p.unknown = append(p.unknown, strings.Clone(r.name))
		}
		if r.view != nil && r.blind && p.fixed == nil {
			p.fixed = refusedView(r)
		}
		if r.sharded() {
			p.refs = append(p.refs, r)
		}
	}
	for _, r := range a.refs {
		if r.target && !r.sharded() && a.writes && a.layout.Shards > 1 && p.fixed == nil {
			p.fixed = refuse("a WITH query beside the write of an omnisharded table: all shards must do the same", "send the writes as statements of their own")
		}
	}
	if a.into {
		a.intoTable(p)
	}
	for _, f := range a.calls {
		p.hasIDs = p.hasIDs || f.schema == "pgdog" && f.name == "unique_id"
	}
	if p.hasIDs && p.fixed == nil {
		switch n := a.st.tree.(type) {
		case *ast.SelectStmt:
			p.fixed = a.oncePerRow(n)
		case *ast.InsertStmt:
			if sel, ok := n.SelectStmt.(*ast.SelectStmt); ok {
				p.fixed = a.oncePerRow(sel)
			}
		}
	}
	if a.everyShard(p) {
		return
	}
	p.real = len(p.refs)
	if p.real == 0 && !p.fresh {
		p.anywhere = a.anywhere()
	}
	a.firstShard(p)
	p.refs = append(p.refs, a.virtual...)
	for i, r := range p.refs {
		r.slot = i
	}
	if p.fixed == nil && p.real == 0 && p.Class == Select && !a.snap.Empty() && a.layout.Shards > 1 && len(a.layout.Keys()) > 0 {
		p.fixed = a.opaqueCalls()
	} else if p.fixed == nil && p.real > 0 {
		p.fixed = a.opaqueCalls()
	}
	for _, tok := range a.pins {
		p.pins = append(p.pins, pin{tok, strings.Clone(a.st.toks[tok].Text(a.st.sql))})
	}
}

// everyShard plans SELECT pgdog.install_sharded_sequence(…), which changes a table as DDL does.
func (a *analysis) everyShard(p *Plan) bool {
	if p.Class != Select || len(a.refs) > 0 || !slices.ContainsFunc(a.calls, func(c *call) bool { return c.schema == "pgdog" && c.name == "install_sharded_sequence" }) {
		return false
	}
	p.every, p.omni, p.any, p.Write, p.ReloadSchema = true, true, false, true, true
	p.why = "every shard gets the sequence"
	return true
}

// firstShard finds what only one shard may serve: sequences, advisory locks and row locks of
// omnisharded tables, since all sessions must meet there.
func (a *analysis) firstShard(p *Plan) {
	if a.layout.Shards == 1 || len(a.layout.Keys()) == 0 {
		return
	}
	p.first = a.locks && p.real == 0 && len(a.refs) > 0
	for _, f := range a.calls {
		switch {
		case listed(a.layout.LocalFunctions, f.name):
		case f.name == "pg_notify" && p.fixed == nil:
			p.fixed = refuse("pg_notify() may be called on another shard than LISTEN was", "use NOTIFY")
		case !listed(single, f.name):
		case p.real > 0 || p.omni:
			if p.fixed == nil {
				p.fixed = refuse("function "+f.name+" would give each shard its own sequence or lock",
					"call it in a statement of its own, or use pgdog.unique_id() for unique numbers")
			}
		default:
			p.first = true
		}
	}
	if p.Class != Insert || p.real == 0 {
		return
	}
	for _, r := range a.refs {
		if !r.target || r.table == nil {
			continue
		}
		for _, c := range r.table.Columns {
			if c.Sequence {
				p.Notices = append(p.Notices, "column "+c.Name+" of table "+r.name+" takes its default from a sequence of one shard: values may be equal on different shards")
			}
		}
	}
}
