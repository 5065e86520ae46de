package auth

import (
	"errors"
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

var errProhibited = errors.New("the password contains characters SASLprep prohibits")

// SASLprep normalises a password as RFC 4013 and src/common/saslprep.c do: spaces of any kind
// become ASCII's, invisible characters go, the rest is put in form NFKC. It reports an error
// for what RFC 4013 refuses: invalid UTF-8, prohibited or unassigned characters, mixed
// directions, nothing left.
func SASLprep(password string) (string, error) {
	if isASCII(password) {
		// As pg_saslprep does: ASCII, control characters included, is taken as it is.
		return password, nil
	}
	if !utf8.ValidString(password) {
		return "", errors.New("the password is not valid UTF-8")
	}
	mapped := make([]rune, 0, len(password))
	for _, r := range password {
		switch {
		case nonASCIISpace.has(r): // before mappedToNothing: U+200B is in both
			mapped = append(mapped, ' ')
		case mappedToNothing.has(r):
		default:
			mapped = append(mapped, r)
		}
	}
	if len(mapped) == 0 {
		return "", errProhibited
	}
	out := []rune(norm.NFKC.String(string(mapped)))
	rtl, ltr := false, false
	for _, r := range out {
		if prohibitedOutput.has(r) || unassigned.has(r) {
			return "", errProhibited
		}
		rtl = rtl || randALCat.has(r)
		ltr = ltr || lCat.has(r)
	}
	if rtl && (ltr || !randALCat.has(out[0]) || !randALCat.has(out[len(out)-1])) {
		return "", errProhibited // RFC 3454 section 6
	}
	return string(out), nil
}

// preparePassword is SASLprep with PostgreSQL's fallback: a password it refuses is used byte
// for byte (src/backend/libpq/auth-scram.c, pg_be_scram_build_secret).
func preparePassword(password string) string {
	if prepared, err := SASLprep(password); err == nil {
		return prepared
	}
	return password
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (t runeTable) has(r rune) bool {
	_, found := slices.BinarySearchFunc(t, r, func(e [2]rune, r rune) int {
		switch {
		case e[1] < r:
			return -1
		case e[0] > r:
			return 1
		}
		return 0
	})
	return found
}
