package sqlited

import (
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A shape is what has to be known of a statement to tell its columns and parameters.
type shape struct {
	sql    string
	tokens []lex.Token
	pairs  []int // for an opening bracket the closing one's index, and the other way round; else -1
}

func shapeOf(sql string) (shape, bool) {
	var s lex.Scanner
	if s.Scan(sql) != nil {
		return shape{}, false
	}
	sh := shape{sql: sql, tokens: s.Tokens, pairs: make([]int, len(s.Tokens))}
	var open []int
	for i, t := range sh.tokens {
		sh.pairs[i] = -1
		switch {
		case sh.is(i, "("), sh.is(i, "["):
			if open = append(open, i); len(open) > maxDepth {
				return shape{}, false // what follows goes down into brackets
			}
		case (t.Is(sql, ")") || t.Is(sql, "]")) && len(open) > 0:
			sh.pairs[i] = open[len(open)-1]
			sh.pairs[open[len(open)-1]] = i
			open = open[:len(open)-1]
		}
	}
	return sh, len(open) == 0
}

func (s shape) is(i int, word string) bool {
	return i >= 0 && i < len(s.tokens) && s.tokens[i].Is(s.sql, word)
}

// name returns the identifier at i.
func (s shape) name(i int) (string, bool) {
	if i < 0 || i >= len(s.tokens) || s.tokens[i].Kind != lex.Word && s.tokens[i].Kind != lex.Quoted {
		return "", false
	}
	return s.tokens[i].Ident(s.sql), true
}

// text returns what was written from token i up to, not including, token j.
func (s shape) text(i, j int) string {
	if i >= j {
		return ""
	}
	return s.sql[s.tokens[i].Start:s.tokens[j-1].End]
}

// An item is one expression of a select list.
type item struct {
	from, to int // its tokens, without its alias
	alias    bool
	name     string // the alias, or the column that it is
	function string // the function that it is a call of
	star     bool
}

// items cuts the select list that begins at token i, up to FROM or the end.
func (s shape) items(i int) []item {
	var out []item
	from := i
	add := func(to int) {
		if from < to {
			out = append(out, s.item(from, to))
		}
		from = to + 1
	}
	for ; i < len(s.tokens); i++ {
		switch {
		case s.pairs[i] > i:
			i = s.pairs[i]
		case s.is(i, ","):
			add(i)
		case s.ends(i):
			add(i)
			return out
		}
	}
	add(len(s.tokens))
	return out
}

// ends says that a word ends a select list. "IS DISTINCT FROM" is no FROM.
func (s shape) ends(i int) bool {
	for _, word := range []string{"where", "group", "having", "order", "limit", "offset", "union", "except", "intersect", "window", ")", ";"} {
		if s.is(i, word) {
			return true
		}
	}
	return s.is(i, "from") && !s.is(i-1, "distinct")
}

func (s shape) item(from, to int) item {
	it := item{from: from, to: to}
	switch last, ok := s.name(to - 1); {
	case s.is(to-1, "*"):
		it.star = to-from == 1 || s.is(to-2, ".")
	case ok && to-from >= 3 && s.is(to-2, "as"):
		it.to, it.alias, it.name = to-2, true, last
	case ok && to-from >= 2 && !s.is(to-2, ".") && !s.is(to-1, "end") && s.tokens[to-2].Kind != lex.Op && !keywordBefore(s, to-2):
		it.to, it.alias, it.name = to-1, true, last
	case ok && (to-from == 1 || s.is(to-2, ".") && s.dotted(from, to)):
		it.name = last
	}
	if open := s.callAt(it.from, it.to); open > 0 {
		it.function, _ = s.name(open - 1)
	}
	return it
}

// dotted says that the tokens are a.b.c.
func (s shape) dotted(from, to int) bool {
	for i := from; i < to; i++ {
		if _, ok := s.name(i); ok != ((i-from)%2 == 0) || !ok && !s.is(i, ".") {
			return false
		}
	}
	return true
}

// keywordBefore says that what follows the word at i is no alias.
func keywordBefore(s shape, i int) bool {
	word, ok := s.name(i)
	return ok && s.tokens[i].Kind == lex.Word && (noOperand(word) || word == "case" || word == "collate")
}

// callAt returns the opening bracket of a call that the tokens from to to are, or 0.
func (s shape) callAt(from, to int) int {
	open := from + 1
	for s.is(open, ".") { // a schema
		open += 2
	}
	if _, ok := s.name(open - 1); !ok || keywordBefore(s, open-1) || !s.is(open, "(") || s.pairs[open] != to-1 {
		return 0
	}
	return open
}

// selectList returns the items of a SELECT, or of the RETURNING list of another statement.
func (s shape) selectList() []item {
	i := 0
	for s.is(i, "(") {
		i++
	}
	if s.is(i, "with") { // to the statement behind the common table expressions
		for i++; i < len(s.tokens) && !s.is(i, "select") && !s.is(i, "insert") && !s.is(i, "update") && !s.is(i, "delete"); i++ {
			if s.pairs[i] > i {
				i = s.pairs[i]
			}
		}
	}
	if s.is(i, "select") {
		if i++; s.is(i, "distinct") || s.is(i, "all") {
			i++
		}
		return s.items(i)
	}
	if r := s.returning(); r > 0 {
		return s.items(r + 1)
	}
	return nil
}

// returning returns the place of the word RETURNING, or 0.
func (s shape) returning() int {
	for i := 0; i < len(s.tokens); i++ {
		if s.pairs[i] > i {
			i = s.pairs[i]
		} else if s.is(i, "returning") {
			return i
		}
	}
	return 0
}

// target returns the table that the statement changes.
func (s shape) target() (string, bool) {
	for i := range s.tokens {
		switch {
		case s.is(i, "into"), s.is(i, "update"), s.is(i, "from") && s.is(i-1, "delete"):
			if s.is(i+1, "or") { // UPDATE OR IGNORE
				i += 2
			}
			if s.is(i+2, ".") {
				return s.name(i + 3)
			}
			return s.name(i + 1)
		}
	}
	return "", false
}

// names returns all names in the statement, some of which are tables.
func (s shape) names() map[string]bool {
	out := map[string]bool{}
	for i := range s.tokens {
		if name, ok := s.name(i); ok {
			out[strings.ToLower(name)] = true
		}
	}
	return out
}
