package sortkey

import (
	"bytes"
	"cmp"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Likely compares two texts as collations of natural languages mostly do: letters before
// accents before case, as the root of CLDR has it. It is a guess that saves a server work:
// no answer may depend on it.
func Likely(a, b []byte) int {
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	for at > 0 && (at < len(a) && !utf8.RuneStart(a[at]) || at < len(b) && !utf8.RuneStart(b[at])) {
		at--
	}
	a, b = a[at:], b[at:]
	x, y := a, b
	for {
		var p, q uint32
		p, x = letter(x)
		q, y = letter(y)
		if p != q {
			return cmp.Compare(p, q)
		}
		if p == 0 {
			break
		}
	}
	if c := bytes.Compare(marks(a), marks(b)); c != 0 {
		return c
	}
	for x, y = a, b; len(x) > 0 && len(y) > 0; {
		r, n := utf8.DecodeRune(x)
		s, m := utf8.DecodeRune(y)
		if c, d := unicode.IsUpper(r), unicode.IsUpper(s); c != d {
			if d {
				return -1
			}
			return 1
		}
		x, y = x[n:], y[m:]
	}
	return bytes.Compare(a, b)
}

// letter is the weight of the first letter of a text, 0 at its end, and what follows it.
func letter(s []byte) (weight uint32, rest []byte) {
	for len(s) > 0 {
		if c := s[0]; c < utf8.RuneSelf {
			s = s[1:]
			if w := asciiWeight(c); w != 0 {
				return w, s
			}
			continue
		}
		r, n := utf8.DecodeRune(s)
		if d := norm.NFD.Properties(s).Decomposition(); len(d) > 0 {
			r, _ = utf8.DecodeRune(d)
		}
		s = s[n:]
		switch {
		case r < utf8.RuneSelf:
			if w := asciiWeight(byte(r)); w != 0 {
				return w, s
			}
		case !unicode.Is(unicode.Mn, r):
			return 256 + uint32(unicode.ToLower(r)), s
		}
	}
	return 0, nil
}

// marks are the accents of a text.
func marks(s []byte) []byte {
	ascii := true
	for _, c := range s {
		ascii = ascii && c < utf8.RuneSelf
	}
	if ascii {
		return nil
	}
	var out []byte
	for _, r := range string(norm.NFD.Bytes(s)) {
		if unicode.Is(unicode.Mn, r) {
			out = utf8.AppendRune(out, r)
		} else {
			out = append(out, 1)
		}
	}
	return out
}

// asciiOrder are the ASCII characters that are not letters, in the order of CLDR's root
// collation; those missing count for nothing.
const asciiOrder = "\t\n\v\f\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789"

// asciiWeight is where a character stands among the ASCII ones; 0 counts for nothing.
func asciiWeight(c byte) uint32 {
	switch {
	case c >= 'a' && c <= 'z':
		return uint32(c)
	case c >= 'A' && c <= 'Z':
		return uint32(c - 'A' + 'a')
	}
	return uint32(asciiWeights[c&0x7F])
}

// asciiWeights is asciiOrder turned around.
var asciiWeights = func() (w [utf8.RuneSelf]uint8) {
	for i := range len(asciiOrder) {
		w[asciiOrder[i]] = uint8(i + 1)
	}
	return w
}()
