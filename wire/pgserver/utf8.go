package pgserver

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pgx-dev/pgx-dev/wire"
)

// checkText refuses what no text in UTF-8 can hold, a zero byte included, with PostgreSQL's
// words (report_invalid_encoding in mb/mbutils.c). The one encoding that is spoken here is
// checked in both directions: whatever decodes it later may rely on it.
func checkText[T string | []byte](text T) error {
	for i := 0; i < len(text); i++ {
		if c := text[i]; c == 0 || c >= utf8.RuneSelf {
			return checkFrom(string(text[i:]))
		}
	}
	return nil
}

// checkFrom checks text that begins with something other than ASCII.
func checkFrom(text string) error {
	zero := strings.IndexByte(text, 0)
	valid := text
	if zero >= 0 {
		valid = text[:zero]
	}
	if utf8.ValidString(valid) {
		if zero < 0 {
			return nil
		}
		return invalidText(text[zero:], 1)
	}
	for i, r := range valid {
		if r != utf8.RuneError {
			continue
		}
		if _, size := utf8.DecodeRuneInString(valid[i:]); size == 1 {
			return invalidText(text[i:], sequenceLength(valid[i]))
		}
	}
	return nil // not reached: ValidString found something
}

// sequenceLength is how many bytes a sequence has by its first (pg_utf_mblen).
func sequenceLength(first byte) int {
	switch {
	case first&0xe0 == 0xc0:
		return 2
	case first&0xf0 == 0xe0:
		return 3
	case first&0xf8 == 0xf0:
		return 4
	}
	return 1
}

func invalidText(rest string, n int) error {
	var b strings.Builder
	for i := range min(n, len(rest)) {
		fmt.Fprintf(&b, " 0x%02x", rest[i])
	}
	return wire.Errorf(wire.CodeCharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\":%s", b.String())
}
