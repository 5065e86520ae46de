package route

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/multigres/multigres/go/common/parser"
	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/wire"
)

// numberBase is added to a token's number where it stands for a numeric literal, so that
// numbers which the grammar makes up are not mistaken for it.
const numberBase = 1_000_000

// maxTokens bounds what is parsed; longer statements (bulk inserts apart) are hand-made
// rarely enough.
const maxTokens = 200_000

// A statement is one parsed statement with its tokens, by whose numbers the tree refers to
// names and literals.
type statement struct {
	sql  string
	toks []lex.Token
	tree ast.Node
}

// parse parses the statement that consists of toks. Names and literals in the tree are
// "~n", n being a token's number; see name and literal.
func parse(sql string, toks []lex.Token) (st *statement, err error) {
	if len(toks) > maxTokens {
		return nil, wire.Errorf(wire.Code("54001"), "statement of %d tokens is too long to be routed", len(toks))
	}
	st = &statement{sql: sql, toks: toks}
	tree, err := tryParse(instrument(sql, toks))
	if err != nil {
		// The message must speak of the client's text, not of ours.
		if _, plain := tryParse(sql[toks[0].Start:toks[len(toks)-1].End]); plain != nil {
			return nil, &wire.Error{Code: wire.CodeSyntaxError, Message: strings.TrimSpace(plain.Error())}
		}
		return nil, refuse("the statement uses a form of the grammar that cannot be rewritten safely",
			"name the shard by a comment such as /* pgdog_shard: 0 */")
	}
	st.tree = plainJoins(plainJSON(tree))
	return st, nil
}

// plainJoins takes the parentheses off joins in FROM, which mean nothing.
func plainJoins(tree ast.Node) ast.Node {
	list := func(l *ast.NodeList) {
		for i, n := range items(l) {
			l.Items[i] = unparen(n)
		}
	}
	ast.Rewrite(tree, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.JoinExpr:
			if x != nil {
				x.Larg, x.Rarg = unparen(x.Larg), unparen(x.Rarg)
			}
		case *ast.SelectStmt:
			if x != nil {
				list(x.FromClause)
			}
		case *ast.UpdateStmt:
			if x != nil {
				list(x.FromClause)
			}
		case *ast.DeleteStmt:
			if x != nil {
				list(x.UsingClause)
			}
		}
		return true
	}, nil)
	return tree
}

// tryParse calls the parser, whose panics are errors.
func tryParse(sql string) (tree ast.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser failed: %v", r)
		}
	}()
	list, err := parser.ParseSQL(sql)
	switch {
	case err != nil:
		return nil, err
	case len(list) != 1 || list[0] == nil:
		return nil, fmt.Errorf("%d statements", len(list))
	}
	return list[0], nil
}

// instrument writes the statement with every name and literal replaced by its token's
// number. Keywords stay, unless a dot beside them says that they are names.
func instrument(sql string, toks []lex.Token) string {
	b := make([]byte, 0, int(toks[len(toks)-1].End-toks[0].Start)+8*len(toks))
	skip := 0
	for i, t := range toks {
		if i < skip {
			continue
		}
		if end := returningWith(sql, toks, i); end > i {
			skip = end // the parser does not know it
			continue
		}
		switch {
		case t.Kind == lex.Quoted, t.Kind == lex.Word && isName(sql, toks, i):
			b = append(b, '"', '~')
			b = strconv.AppendInt(b, int64(i), 10)
			b = append(b, '"')
		case t.Kind == lex.String:
			b = append(b, '\'', '~')
			b = strconv.AppendInt(b, int64(i), 10)
			b = append(b, '\'')
		case t.Kind == lex.Number && !precision(sql, toks, i):
			b = strconv.AppendInt(b, numberBase+int64(i), 10)
		default:
			b = append(b, t.Text(sql)...)
		}
		b = append(b, ' ')
	}
	return string(b)
}

// returningWith is the token after RETURNING's WITH (OLD AS o, NEW AS n) if it starts at i, else 0.
func returningWith(sql string, toks []lex.Token, i int) int {
	if i == 0 || i >= len(toks) || !toks[i].Is(sql, "with") || !toks[i-1].Is(sql, "returning") || i+1 == len(toks) || !toks[i+1].Is(sql, "(") {
		return 0
	}
	for at := i + 2; at+3 < len(toks) && (toks[at].Is(sql, "old") || toks[at].Is(sql, "new")) && toks[at+1].Is(sql, "as"); at += 4 {
		switch {
		case toks[at+3].Is(sql, ")"):
			return at + 4
		case !toks[at+3].Is(sql, ","):
			return 0
		}
	}
	return 0
}

// oldName is what RETURNING, which starts at a token, calls the rows as they were: old, unless its
// WITH says otherwise.
func (st *statement) oldName(at int) string {
	for i, end := at+1, returningWith(st.sql, st.toks, at+1); i+2 < end; i++ {
		if st.is(i, "old") && st.is(i+1, "as") {
			return st.toks[i+2].Ident(st.sql)
		}
	}
	return "old"
}

// isName reports whether the word at i is a name wherever it stands.
func isName(sql string, toks []lex.Token, i int) bool {
	word := lex.Fold(toks[i].Text(sql))
	if parser.LookupKeyword(word) == nil {
		return true
	}
	return i > 0 && toks[i-1].Is(sql, ".") || i+1 < len(toks) && toks[i+1].Is(sql, ".") && word != "old" && word != "new"
}

// precision reports whether the number at i is one that the grammar checks: float(n).
func precision(sql string, toks []lex.Token, i int) bool {
	return i >= 2 && toks[i-1].Is(sql, "(") && toks[i-2].Is(sql, "float")
}

// name returns what a name in the tree is, and its token, or -1 if it has none.
func (st *statement) name(s string) (string, int) {
	if rest, ok := strings.CutPrefix(s, "~"); ok {
		if i, err := strconv.Atoi(rest); err == nil && i < len(st.toks) {
			return st.toks[i].Ident(st.sql), i
		}
	}
	return s, -1
}

// names returns the parts of a qualified name.
func (st *statement) names(list *ast.NodeList) (parts []string, tok int) {
	tok = -1
	if list == nil {
		return nil, tok
	}
	for i, item := range list.Items {
		switch item := item.(type) {
		case *ast.String:
			n, t := st.name(item.SVal)
			if i == 0 {
				tok = t
			}
			parts = append(parts, n)
		case *ast.A_Star:
			parts = append(parts, "*")
		default:
			parts = append(parts, "")
		}
	}
	return parts, tok
}

// literal returns the token of a constant: a number or a string.
func (st *statement) literal(n ast.Node) (tok int, ok bool) {
	c, isConst := n.(*ast.A_Const)
	if !isConst || c.Isnull {
		return 0, false
	}
	switch v := c.Val.(type) {
	case *ast.Integer:
		if i := v.IVal - numberBase; i >= 0 && i < len(st.toks) && st.toks[i].Kind == lex.Number {
			return i, true
		}
	case *ast.String:
		if _, i := st.name(v.SVal); i >= 0 {
			return i, true
		}
	}
	return 0, false
}

// text is the client's text of the tokens from up to but not including to.
func (st *statement) text(from, to int) string {
	if from >= to {
		return ""
	}
	return st.sql[st.toks[from].Start:st.toks[to-1].End]
}

// is reports whether the token at i is the word or punctuation s.
func (st *statement) is(i int, s string) bool {
	return i >= 0 && i < len(st.toks) && st.toks[i].Is(st.sql, s)
}

// unparen takes parentheses off.
func unparen(n ast.Node) ast.Node {
	for {
		p, ok := n.(*ast.ParenExpr)
		if !ok {
			return n
		}
		n = p.Expr
	}
}

// items is the list's nodes, nil for none.
func items(l *ast.NodeList) []ast.Node {
	if l == nil {
		return nil
	}
	return l.Items
}

// refuse is an error of SQLSTATE 0A000.
func refuse(reason, hint string) error {
	return &wire.Error{Code: wire.CodeFeatureNotSupported, Message: reason, Hint: hint}
}
