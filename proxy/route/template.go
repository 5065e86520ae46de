package route

import (
	"slices"
	"strconv"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A chunk is a part of a rewritten text: tokens of the client's, or text of ours, or (in a
// finish) a reference to a relation.
type chunk struct {
	from, to int // tokens, if from < to
	text     string
	piece    *gather.Piece
}

// A template makes a rewritten text from the client's; since it refers to tokens, it fits
// every statement with the same key.
type template []chunk

func (t template) toks(from, to int) template {
	if from >= to {
		return t
	}
	return append(t, chunk{from: from, to: to})
}

func (t template) str(s string) template { return append(t, chunk{text: s}) }

func (t template) add(o template) template { return append(t, o...) }

// replace is the tokens from up to to with some ranges replaced. subs are in order.
func replaced(from, to int, subs []substitution) template {
	var t template
	for _, s := range subs {
		if s.from < from || s.to > to {
			continue
		}
		t = t.toks(from, s.from).add(s.by)
		from = s.to
	}
	return t.toks(from, to)
}

// A substitution puts a template where tokens stood.
type substitution struct {
	from, to int
	by       template
}

func sortSubs(subs []substitution) []substitution {
	slices.SortFunc(subs, func(a, b substitution) int { return a.from - b.from })
	return subs
}

// render writes the text. The client's parameters are numbered anew in the order in which
// they first appear; params lists them by their old numbers.
func (t template) render(sql string, toks []lex.Token) (text string, params []int) {
	pieces, params := t.pieces(sql, toks, nil)
	for _, p := range pieces {
		text += p.Text
	}
	return text, params
}

// pieces is render for a finish.
func (t template) pieces(sql string, toks []lex.Token, params []int) ([]gather.Piece, []int) {
	var out []gather.Piece
	buf := make([]byte, 0, 256)
	for _, c := range t {
		switch {
		case c.piece != nil:
			out = append(out, gather.Piece{Text: string(buf)}, *c.piece)
			buf = append(buf[:0], ' ')
			continue
		case c.from < c.to:
			if len(buf) > 0 && buf[len(buf)-1] != ' ' {
				buf = append(buf, ' ')
			}
			at := toks[c.from].Start
			for i := c.from; i < c.to; i++ {
				if toks[i].Kind != lex.Param {
					continue
				}
				n, err := strconv.Atoi(sql[toks[i].Start+1 : toks[i].End])
				if err != nil {
					continue
				}
				buf = append(buf, sql[at:toks[i].Start]...)
				idx := slices.Index(params, n)
				if idx < 0 {
					idx = len(params)
					params = append(params, n)
				}
				buf = append(buf, '$')
				buf = strconv.AppendInt(buf, int64(idx+1), 10)
				at = toks[i].End
			}
			buf = append(buf, sql[at:toks[c.to-1].End]...)
			buf = append(buf, ' ')
		default:
			buf = append(buf, c.text...)
		}
	}
	if len(buf) > 0 {
		out = append(out, gather.Piece{Text: string(buf)})
	}
	return out, params
}

// quoteIdent quotes a name.
func quoteIdent(s string) string {
	b := []byte{'"'}
	for i := range len(s) {
		if s[i] == '"' {
			b = append(b, '"')
		}
		b = append(b, s[i])
	}
	return string(append(b, '"'))
}
