package rows

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Width returns how many columns of a terminal a text without control characters takes:
// two for a wide East Asian character or an emoji, none for a mark on the character
// before it.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += RuneWidth(r)
	}
	return n
}

// RuneWidth returns how many columns one character takes.
func RuneWidth(r rune) int {
	switch {
	case r < 0x300: // nothing combines or is wide below
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// A line is one line of a cell, as it is shown.
type line struct {
	text  string
	width int
}

// layout splits a cell into lines and makes control characters visible, as pg_wcsformat
// in psql's mbprint.c does.
func layout(cell string) []line {
	if plain(cell) {
		return []line{{cell, len(cell)}}
	}
	var lines []line
	var b strings.Builder
	w := 0
	show := func(s string) {
		b.WriteString(s)
		w += len(s)
	}
	for i := 0; i < len(cell); {
		r, size := utf8.DecodeRuneInString(cell[i:])
		raw := cell[i : i+size]
		i += size
		switch {
		case r == '\n':
			lines = append(lines, line{b.String(), w})
			b.Reset()
			w = 0
		case r == '\r':
			show(`\r`)
		case r == '\t':
			show(strings.Repeat(" ", 8-w%8))
		case r < 0x20 || r == 0x7f:
			show(fmt.Sprintf(`\x%02X`, r))
		case r >= 0x80 && r < 0xa0:
			show(fmt.Sprintf(`\u%04X`, r))
		case r == utf8.RuneError && size == 1:
			show(fmt.Sprintf(`\x%02X`, raw[0]))
		default:
			b.WriteString(raw)
			w += RuneWidth(r)
		}
	}
	return append(lines, line{b.String(), w})
}

// plain reports whether a text is printable ASCII throughout.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// maxWidth returns the width of the widest line.
func maxWidth(lines []line) int {
	w := 0
	for _, l := range lines {
		w = max(w, l.width)
	}
	return w
}

func spaces(n int) string { return strings.Repeat(" ", max(n, 0)) }
