package route

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// use plans one aggregate.
func (g *grouping) use(n *ast.FuncCall) bool {
	a, st := g.a, g.a.st
	parts, tok := st.names(n.Funcname)
	name := parts[len(parts)-1]
	if tok < 0 || len(parts) > 2 || len(parts) == 2 && parts[0] != "pg_catalog" || len(items(n.AggOrder)) > 0 || n.FuncVariadic {
		return false
	}
	for _, f := range a.snap.Functions("", name) {
		if f.Schema != "pg_catalog" {
			return false // somebody's own aggregate of that name
		}
	}
	open := tok + 2*len(parts) - 1
	if !st.is(open, "(") {
		return false
	}
	end := lex.Match(st.sql, st.toks, open)
	if end < 0 {
		return false
	}
	args := lex.Range{From: open + 1, To: end}
	if st.is(args.From, "all") {
		args.From++
	}
	if n.AggDistinct {
		switch name {
		case "min", "max", "bool_and", "bool_or", "every", "bit_and", "bit_or":
			args.From++
		default:
			return false
		}
	}
	end++
	var filter template
	if n.AggFilter != nil {
		if !st.is(end, "filter") || !st.is(end+1, "(") {
			return false
		}
		closing := lex.Match(st.sql, st.toks, end+1)
		if closing < 0 {
			return false
		}
		filter = template{}.toks(end, closing+1)
		end = closing + 1
	}
	if _, known := g.aggs[tok]; known {
		return true
	}
	list := items(n.Args)
	if slices.ContainsFunc(list, a.contains) {
		return false
	}
	add := func(fn string, args template) int {
		t := template{}.str(fn + "(").add(args).str(")").add(filter)
		g.partial = append(g.partial, t)
		return len(g.partial) - 1
	}
	arg := template{}.toks(args.From, args.To)
	u := aggregateUse{to: end, simple: true}
	var by func(p string, at int) template // the combination, over the partial's column
	typeOf := func(at int) chunk {
		return chunk{piece: &gather.Piece{Kind: gather.TypeOf, Column: at}}
	}
	plain := func(fn string) func(string, int) template {
		return func(p string, _ int) template { return template{}.str(fn + "(" + p + ")") }
	}
	if name != "count" && len(list) != 1 {
		if name != "string_agg" || len(list) != 2 {
			return false
		}
	}
	switch name {
	case "count":
		u.combine, u.column = gather.Count, add("count", arg)
		by = func(p string, _ int) template { return template{}.str("coalesce(sum(" + p + "), 0)::int8") }
	case "sum":
		u.combine, u.column = gather.Sum, add("sum", arg)
		by = func(p string, at int) template {
			return append(template{}.str("sum("+p+")::"), typeOf(at))
		}
	case "min", "max":
		col := a.collation(g.b, list[0])
		if !col.Known {
			return false
		}
		u.combine, u.column = gather.Min, add(name, arg)
		if g.collations == nil {
			g.collations = map[int]gather.Collation{}
		}
		g.collations[u.column] = col
		if name == "max" {
			u.combine = gather.Max
		}
		if !col.Bytewise {
			u.simple = u.simple && a.notText(g.b, list[0])
		}
		by = plain(name)
	case "bool_and", "every", "bool_or", "bit_and", "bit_or", "bit_xor":
		u.combine = map[string]gather.Combine{
			"bool_and": gather.BoolAnd, "every": gather.BoolAnd, "bool_or": gather.BoolOr,
			"bit_and": gather.BitAnd, "bit_or": gather.BitOr, "bit_xor": gather.BitXor,
		}[name]
		u.column = add(name, arg)
		by = plain(name)
	case "avg":
		if a.maybeFloat4(g.b, list[0]) {
			return false // sum(real) is a real: too coarse
		}
		u.combine, u.column = gather.Avg, add("sum", arg)
		add("count", arg)
		by = func(p string, at int) template {
			return template{}.str("(sum(" + p + ") / nullif(sum(" + g.partialName(u.column+1) + "), 0))")
		}
	case "variance", "var_samp", "var_pop", "stddev", "stddev_samp", "stddev_pop":
		if !a.exact(g.b, list[0]) {
			return false // of floats only the server's own algorithm gives the same digits
		}
		num := template{}.str("(").add(arg).str(")::numeric")
		u.simple = false
		u.column = add("count", arg)
		add("sum", num)
		add("sum", num.str(" * ").add(num))
		by = func(p string, _ int) template {
			return template{}.str(variance(name, p, g.partialName(u.column+1), g.partialName(u.column+2)))
		}
	default:
		// string_agg, array_agg, json_agg and others: their order and their inner state ask
		// for the rows themselves.
		return false
	}
	g.aggs[tok] = u
	p := g.partialName(u.column)
	g.subs = append(g.subs, substitution{from: tok, to: end, by: by(p, len(g.keys)+u.column)})
	return true
}

// variance is numeric_stddev_internal of numeric.c over the sums of partial counts, sums and
// sums of squares. sqrt is given digits to spare, so that it is rounded but once.
func variance(name, count, sum, squares string) string {
	n, x, q := "sum("+count+")", "sum("+sum+")", "sum("+squares+")"
	num := "(" + n + " * " + q + " - " + x + " * " + x + ")"
	den, least := "("+n+" * ("+n+" - 1))", "2"
	if strings.HasSuffix(name, "_pop") {
		den, least = "("+n+" * "+n+")", "1"
	}
	v := "(" + num + " / " + den + ")"
	if strings.HasPrefix(name, "stddev") {
		v = "round(sqrt(round(" + v + ", scale(" + v + ") + 20)), scale(" + v + "))"
	}
	return "(CASE WHEN coalesce(" + n + ", 0) < " + least + " THEN NULL WHEN " + num + " <= 0 THEN 0::numeric ELSE " + v + " END)"
}
