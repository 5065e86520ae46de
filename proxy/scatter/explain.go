package scatter

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/wire"
)

// An explaining is an EXPLAIN: what it asks for, and the statement within.
type explaining struct {
	head    string // EXPLAIN and its options, which stand before each shard's own statement
	analyze bool
	verbose bool
	format  string // text, json, yaml or xml
	inner   *request
}

// explained reports whether a plan is that of an EXPLAIN of a query or a write, which is
// planned by each shard for itself.
func explained(p *route.Plan) bool {
	if p.Class != route.Explain || p.RouteOnly || p.Inner == nil {
		return false
	}
	switch p.Inner.Class {
	case route.Select, route.Insert, route.Update, route.Delete, route.Merge, route.Execute:
		return true
	}
	return false
}

// readExplain reads the options of an EXPLAIN (ExplainQuery in explain.c), whose errors are the
// server's to give.
func readExplain(w words) (x explaining, at int) {
	x.format, at = "text", 1
	if !w.is(1, "(") {
		for ; w.is(at, "analyze", "analyse", "verbose"); at++ {
			x.verbose = x.verbose || w.is(at, "verbose")
			x.analyze = x.analyze || !w.is(at, "verbose")
		}
		return x, at
	}
	end := lex.Match(w.sql, w.toks, 1)
	for i := 2; i < end; i++ {
		if !w.is(i-1, "(", ",") {
			continue
		}
		value := strings.ToLower(w.value(i + 1))
		on := value != "off" && value != "false" && value != "0"
		switch {
		case w.is(i, "analyze", "analyse"):
			x.analyze = on
		case w.is(i, "verbose"):
			x.verbose = on
		case w.is(i, "format"):
			x.format = value
		}
	}
	return x, end + 1
}

// explaining takes an EXPLAIN apart.
func (s *Session) explaining(ctx context.Context, q *request) (*explaining, error) {
	w, err := scan(q.sql)
	if err != nil {
		return nil, err
	}
	x, at := readExplain(w)
	if at < 1 || at >= len(w.toks) {
		return nil, wire.Errorf(wire.CodeSyntaxError, "syntax error at end of input")
	}
	x.head = w.text(0, at) + " "
	inner := *q
	inner.sql, inner.st, inner.results = w.inner(at, len(w.toks)), nil, nil
	x.inner = &inner
	if !w.is(at, "execute") {
		return &x, nil
	}
	st := s.prepared[w.ident(at+1)]
	if st == nil {
		return nil, noStatement(w.ident(at + 1))
	}
	plan, err := s.router().Prepare(inner.sql, &s.state)
	if err != nil {
		return nil, err
	}
	x.inner, err = s.execution(ctx, plan, st, &inner)
	return &x, err
}

// explainQuery is EXPLAIN of a query or a write: as the shards that carry it out plan it, one
// after the other below a node of ours. ANALYZE runs it, once.
func (s *Session) explainQuery(ctx context.Context, d *route.Decision, q *request) (*answer, error) {
	x, err := s.explaining(ctx, q)
	if err != nil {
		return nil, err
	}
	var in route.Decision
	if err := s.decide(ctx, &in, x.inner); err != nil {
		return nil, err
	}
	if in.Plan.Class == route.Execute {
		return nil, wire.Errorf(wire.CodeSyntaxError, "EXECUTE of EXECUTE")
	}
	in.Role = d.Role
	if x.analyze && in.Plan.Write {
		in.Role = route.Primary
	}
	if shard, ok := s.own(&in); ok {
		return s.explainOwn(ctx, &in, x, shard)
	}
	out := &explanation{format: x.format, title: "Shards " + in.Shards.String(), facts: [][2]string{}}
	if in.Why != "" {
		out.facts = append(out.facts, [2]string{"Reason", in.Why})
	}
	if in.Offset > 0 {
		out.facts = append(out.facts, [2]string{"Offset", strconv.FormatInt(in.Offset, 10)})
	}
	if in.Limit >= 0 {
		out.facts = append(out.facts, [2]string{"Limit", strconv.FormatInt(in.Limit, 10)})
	}
	switch {
	case len(in.Steps) > 0, in.Locking != nil, in.Plan.Feed != nil && in.FeedSelect != "", in.Plan.Move != nil && in.SQL != "", in.Replay:
		out.title = "Steps on shards " + in.Shards.String()
		// No server sees the EXPLAIN: one finds the faults in its options, before anything is run.
		l, err := s.typer(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := l.table(x.head + "SELECT"); err != nil {
			return nil, err
		}
		lines := strings.Split(strings.TrimRight(in.Explain(), "\n"), "\n")
		for _, l := range lines[1:] {
			if !strings.HasPrefix(l, "why: ") {
				out.facts = append(out.facts, [2]string{"Step", l})
			}
		}
		if x.analyze {
			if err := s.explainRun(ctx, &in, x, out); err != nil {
				return nil, err
			}
		}
	case in.Merge != nil && in.Merge.Finish != nil && in.Merge.Local == nil:
		for i, rel := range in.Relations {
			shards := rel.Shards
			if shards.Len() == 0 {
				continue
			}
			part := route.Decision{Plan: d.Plan, Role: in.Role, Shards: shards, Queries: []route.Query{{Shards: shards, SQL: rel.SQL, Params: rel.Params}}}
			if err := s.explainShards(ctx, &part, x, out, "Relation r"+strconv.Itoa(i)+" on shard "); err != nil {
				return nil, err
			}
		}
		finish := "on shard " + strconv.Itoa(in.FinishShard)
		if x.analyze {
			finish += " (never executed)"
		}
		out.facts = append(out.facts, [2]string{"Finish", finish + ": " + in.Finished()})
	default:
		part := in
		part.Merge = nil
		if err := s.explainShards(ctx, &part, x, out, "Shard "); err != nil {
			return nil, err
		}
		if m := in.Merge; m != nil && (m.Kind != gather.Concat || m.Tag == gather.TagSame) {
			out.facts = append(out.facts, [2]string{"Merge", in.Merged()})
		}
	}
	rows, err := out.rows()
	if err != nil {
		return nil, err
	}
	a := replayRows(rows, "EXPLAIN")
	a.rows = true
	f := wire.Field{Name: "QUERY PLAN", TypeOID: oidText, TypeSize: -1, TypeMod: -1}
	switch x.format {
	case "json":
		f.TypeOID = 114
	case "xml":
		f.TypeOID = 142
	}
	f.Format = wire.FormatAt(q.results, 0)
	a.fields = []wire.Field{f}
	return a, nil
}

// explainOwn explains what one shard carries out.
func (s *Session) explainOwn(ctx context.Context, in *route.Decision, x *explaining, shard int) (*answer, error) {
	b, err := s.explainBranches(ctx, in, x, []int{shard})
	if err != nil {
		return nil, err
	}
	one := b[0]
	return &answer{fields: one.fields, rows: one.rows, next: one.Next, tag: func() (string, error) { return one.tag, one.finish() }, stop: one.Stop}, nil
}

// explainBranches starts EXPLAIN on shards, each of its own statement.
func (s *Session) explainBranches(ctx context.Context, in *route.Decision, x *explaining, shards []int) ([]*branch, error) {
	q := x.inner
	types, err := s.described(ctx, q)
	if err != nil {
		return nil, err
	}
	branches, err := s.branches(ctx, in, q, shards)
	if err != nil {
		return nil, err
	}
	if x.analyze && in.Plan.Write {
		s.mark(in, branches)
	}
	for _, b := range branches {
		b.sql = x.head + b.sql
	}
	if err := each(branches, func(b *branch) error { return b.start(q, types, nil) }); err != nil {
		return nil, unplaced(err)
	}
	if err := each(branches, (*branch).header); err != nil {
		return nil, unplaced(err)
	}
	return branches, nil
}

// explainShards adds the plans of shards.
func (s *Session) explainShards(ctx context.Context, in *route.Decision, x *explaining, out *explanation, title string) error {
	branches, err := s.explainBranches(ctx, in, x, in.Targets())
	if err != nil {
		return err
	}
	for _, b := range branches {
		p := shardPlan{title: title + strconv.Itoa(b.l.shard), shard: b.l.shard}
		if !b.own {
			p.query = strings.TrimSpace(strings.TrimPrefix(b.sql, x.head))
		}
		for {
			body, err := b.Next(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			var values [][]byte
			if err == nil {
				values, err = columnsOf(nil, body)
			}
			if err == nil && len(values) != 1 {
				err = wire.Errorf(wire.CodeInternalError, "a plan of shard %d has %d columns", b.l.shard, len(values))
			}
			if err != nil {
				stopAll(branches, err)
				return unplaced(err)
			}
			p.lines = append(p.lines, string(values[0]))
		}
		out.plans = append(out.plans, p)
	}
	return nil
}

// explainRun carries a statement of several steps out, whose servers cannot be asked for their
// plans: what one does depends on what those before it have returned.
func (s *Session) explainRun(ctx context.Context, in *route.Decision, x *explaining, out *explanation) error {
	began := time.Now()
	a, err := s.execute(ctx, in, x.inner)
	if err != nil {
		return err
	}
	n := 0
	for {
		_, err := a.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		n++
	}
	tag, err := a.tag()
	if err != nil {
		return err
	}
	out.facts = append(out.facts, [2]string{"Result", tag}, [2]string{"Actual Rows", strconv.Itoa(n)},
		[2]string{"Elapsed Time", strconv.FormatFloat(float64(time.Since(began))/1e6, 'f', 3, 64) + " ms"})
	return nil
}

// explainRoute answers EXPLAIN (ROUTE).
func (s *Session) explainRoute(ctx context.Context, q *request) error {
	w, err := scan(q.sql)
	if err != nil {
		return err
	}
	end := lex.Match(w.sql, w.toks, 1)
	if end < 0 || end+1 >= len(w.toks) {
		return wire.Errorf(wire.CodeSyntaxError, "syntax error at end of input")
	}
	inner := *q
	inner.sql = w.inner(end+1, len(w.toks))
	var d route.Decision
	text := ""
	if err := s.decide(ctx, &d, &inner); err != nil {
		e := wire.AsError(err)
		text = "refused (" + string(e.Code) + "): " + e.Message
		if e.Hint != "" {
			text += "\nhint: " + e.Hint
		}
	} else {
		text = d.Explain()
	}
	return s.lines("QUERY PLAN", strings.Split(strings.TrimRight(text, "\n"), "\n"), "EXPLAIN", !q.extended)
}

// lines answers with rows of one column of text.
func (s *Session) lines(name string, lines []string, tag string, describe bool) error {
	if describe {
		if err := s.send(&wire.RowDescription{Fields: []wire.Field{{Name: name, TypeOID: oidText, TypeSize: -1, TypeMod: -1}}}); err != nil {
			return err
		}
	}
	for _, l := range lines {
		if err := s.send(&wire.DataRow{Values: [][]byte{[]byte(l)}}); err != nil {
			return err
		}
	}
	return s.tagged(tag)
}
