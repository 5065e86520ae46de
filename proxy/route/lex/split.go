package lex

// A Range is a range of tokens: From up to but not including To.
type Range struct{ From, To int }

// Len is the number of tokens.
func (r Range) Len() int { return r.To - r.From }

// Split appends the statements among tokens to dst, without their semicolons and without the
// empty ones. A semicolon within parentheses (CREATE RULE) or within the body of an SQL
// function (BEGIN ATOMIC … END) ends no statement, as in psql (psqlscan.l).
func Split(dst []Range, sql string, tokens []Token) []Range {
	from, depth, begins, words := 0, 0, 0, 0
	routine := false // CREATE … FUNCTION or PROCEDURE
	for i, t := range tokens {
		switch {
		case t.Kind == Punct && sql[t.Start] == '(':
			depth++
		case t.Kind == Punct && sql[t.Start] == ')':
			depth = max(0, depth-1)
		case t.Kind == Punct && sql[t.Start] == ';' && depth == 0 && begins == 0:
			if i > from {
				dst = append(dst, Range{from, i})
			}
			from, words, routine = i+1, 0, false
		case t.Kind == Word:
			words++
			switch {
			case words <= 4 && (t.Is(sql, "function") || t.Is(sql, "procedure")) && tokens[from].Is(sql, "create"):
				routine = true
			case !routine:
			case t.Is(sql, "begin") && i+1 < len(tokens) && tokens[i+1].Is(sql, "atomic"):
				begins++
			case t.Is(sql, "case") && begins > 0:
				begins++
			case t.Is(sql, "end") && begins > 0:
				begins--
			}
		}
	}
	if len(tokens) > from {
		dst = append(dst, Range{from, len(tokens)})
	}
	return dst
}

// Match returns the index of the parenthesis or bracket that closes the one at i, or -1.
func Match(sql string, tokens []Token, i int) int {
	depth := 0
	for ; i < len(tokens); i++ {
		if tokens[i].Kind != Punct {
			continue
		}
		switch sql[tokens[i].Start] {
		case '(', '[':
			depth++
		case ')', ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
