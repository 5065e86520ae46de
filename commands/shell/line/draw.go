package line

import (
	"fmt"
	"io"
	"strings"

	"github.com/pgx-dev/pgx-dev/commands/shell/rows"
)

// refresh draws the prompt and the line again, over as many rows as they take, and puts
// the cursor in its place.
func (e *Editor) refresh() {
	e.draw(e.prompt, e.buf, e.pos)
}

func (e *Editor) draw(prompt string, buf []rune, pos int) {
	var b strings.Builder
	if e.row > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", e.row)
	}
	b.WriteString("\r\x1b[J")
	p := pen{width: max(e.width(), 2)}
	for _, r := range prompt {
		b.WriteString(p.put(r))
	}
	at := p // where the cursor belongs
	for i, r := range buf {
		if i == pos {
			at = p
		}
		b.WriteString(p.put(r))
	}
	if p.col == p.width { // the terminal has not wrapped yet
		b.WriteString("\r\n")
		p.row, p.col = p.row+1, 0
	}
	if pos >= len(buf) {
		at = p
	}
	if at.col == at.width {
		at.row, at.col = at.row+1, 0
	}
	if up := p.row - at.row; up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteString("\r")
	if at.col > 0 {
		fmt.Fprintf(&b, "\x1b[%dC", at.col)
	}
	e.row = at.row
	_, _ = io.WriteString(e.out, b.String())
}

// append shows one more character at the end of the line without drawing the others
// again, where that is simple, and reports whether it was.
func (e *Editor) append(r rune) bool {
	if r < ' ' || r == 0x7f || rows.RuneWidth(r) != 1 {
		return false
	}
	p := pen{width: max(e.width(), 2)}
	for _, r := range e.prompt {
		p.put(r)
	}
	for _, r := range e.buf {
		p.put(r)
	}
	if p.col >= p.width || p.row != e.row {
		return false
	}
	_, _ = io.WriteString(e.out, string(r))
	return true
}

// A pen knows where on the screen the next character goes.
type pen struct{ width, row, col int }

// put moves over a character and returns what shows it.
func (p *pen) put(r rune) string {
	text, n := string(r), 0
	switch {
	case r == '\n':
		p.row, p.col = p.row+1, 0
		return "\r\n"
	case r == '\t':
		n = min(8-p.col%8, max(p.width-p.col, 1))
		text = strings.Repeat(" ", n)
	case r < ' ' || r == 0x7f:
		text, n = "^"+string(r^0x40), 2
	default:
		n = rows.RuneWidth(r)
	}
	if p.col+n > p.width {
		p.row, p.col = p.row+1, 0
	}
	p.col += n
	return text
}
