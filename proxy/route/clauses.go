package route

import (
	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// clauses are the tokens at which the clauses of the outermost SELECT start; -1 for those
// that are not there. For a set operation they are the clauses of the whole, and list those
// of the first SELECT.
type clauses struct {
	sel                                                    int
	list, listEnd                                          int
	from, where, group, having, window, order, limit, lock int
	end                                                    int
}

// keywords that start a clause, in the order of the grammar.
func (st *statement) clauses() (c clauses, ok bool) {
	c = clauses{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, len(st.toks)}
	depth := 0
	setOps := false
	for i, t := range st.toks {
		if t.Kind == lex.Punct {
			switch st.sql[t.Start] {
			case '(', '[':
				depth++
			case ')', ']':
				depth--
			}
			continue
		}
		if depth != 0 || t.Kind != lex.Word || i > 0 && (st.is(i-1, ".") || st.is(i-1, "as")) {
			continue
		}
		if c.sel < 0 {
			if st.is(i, "select") {
				c.sel, c.list = i, i+1
			}
			continue
		}
		at := func(p *int) {
			if *p < 0 {
				*p = i
				if c.listEnd < 0 {
					c.listEnd = i
				}
			}
		}
		switch lex.Fold(t.Text(st.sql)) {
		case "select":
			if !setOps {
				return c, false
			}
		case "union", "intersect", "except":
			setOps = true
			if c.listEnd < 0 {
				c.listEnd = i
			}
			c.from, c.where, c.group, c.having, c.window, c.order, c.limit, c.lock = -1, -1, -1, -1, -1, -1, -1, -1
		case "into":
			return c, false
		case "from":
			if st.is(i-1, "distinct") && (st.is(i-2, "is") || st.is(i-2, "not")) || st.is(i-1, "rows") {
				continue
			}
			at(&c.from)
		case "where":
			at(&c.where)
		case "group":
			if st.is(i+1, "by") {
				at(&c.group)
			}
		case "having":
			at(&c.having)
		case "window":
			at(&c.window)
		case "order":
			if st.is(i+1, "by") {
				at(&c.order)
			}
		case "limit", "offset", "fetch":
			at(&c.limit)
		case "for":
			if !st.is(i-1, "collation") {
				at(&c.lock)
			}
		}
	}
	if c.sel < 0 {
		return c, false
	}
	if c.listEnd < 0 {
		c.listEnd = c.end
	}
	// DISTINCT [ON (…)] and ALL are not part of the list.
	if st.is(c.list, "all") {
		c.list++
	} else if st.is(c.list, "distinct") {
		c.list++
		if st.is(c.list, "on") && st.is(c.list+1, "(") {
			if c.list = lex.Match(st.sql, st.toks, c.list+1) + 1; c.list == 0 {
				return c, false
			}
		}
	}
	return c, c.list < c.listEnd
}

// after is the first of the starts that is there, or the end.
func (c clauses) after(starts ...int) int {
	for _, s := range starts {
		if s >= 0 {
			return s
		}
	}
	return c.end
}

// split cuts tokens at commas (or another separator) outside of parentheses.
func (st *statement) split(from, to int, sep string) []lex.Range {
	var out []lex.Range
	depth, start := 0, from
	for i := from; i < to; i++ {
		t := st.toks[i]
		if t.Kind == lex.Punct {
			switch st.sql[t.Start] {
			case '(', '[':
				depth++
			case ')', ']':
				depth--
			}
		}
		if depth == 0 && t.Is(st.sql, sep) && t.Kind != lex.Quoted {
			out = append(out, lex.Range{From: start, To: i})
			start = i + 1
		}
	}
	return append(out, lex.Range{From: start, To: to})
}

// sortItems are the tokens of the expressions of ORDER BY, without direction and NULLS.
func (st *statement) sortItems(c clauses, n int) ([]lex.Range, bool) {
	list := st.split(c.order+2, c.after(c.limit, c.lock), ",")
	if len(list) != n {
		return nil, false
	}
	for i, r := range list {
		if r.Len() > 2 && st.is(r.To-2, "nulls") && (st.is(r.To-1, "first") || st.is(r.To-1, "last")) {
			r.To -= 2
		}
		if r.Len() > 1 && (st.is(r.To-1, "asc") || st.is(r.To-1, "desc")) && !st.is(r.To-2, ".") {
			r.To--
		}
		if r.Len() < 1 {
			return nil, false
		}
		list[i] = r
	}
	return list, true
}

// listItems are the tokens of the expressions of the SELECT list, without their names.
func (st *statement) listItems(c clauses, targets []ast.Node) ([]lex.Range, bool) {
	list := st.split(c.list, c.listEnd, ",")
	if len(list) != len(targets) {
		return nil, false
	}
	for i, r := range list {
		res, ok := targets[i].(*ast.ResTarget)
		if !ok {
			return nil, false
		}
		if res.Name != "" {
			r.To--
			if st.is(r.To-1, "as") {
				r.To--
			}
		}
		if r.Len() < 1 {
			return nil, false
		}
		list[i] = r
	}
	return list, true
}

// equalTokens reports whether two ranges are the same but for blanks, comments and case.
func (st *statement) equalTokens(a, b lex.Range) bool {
	if a.Len() != b.Len() {
		return false
	}
	for i := range a.Len() {
		x, y := st.toks[a.From+i], st.toks[b.From+i]
		if x.Kind != y.Kind {
			return false
		}
		s, t := x.Text(st.sql), y.Text(st.sql)
		if x.Kind == lex.Word {
			s, t = lex.Fold(s), lex.Fold(t)
		}
		if s != t {
			return false
		}
	}
	return true
}
