package route

import (
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// An Encoding is what has to be known of a client_encoding. A key is hashed as the servers store it, in
// UTF-8; of a text that comes in another encoding only the ASCII characters are the same there.
type Encoding uint8

// The kinds of encodings. SQL_ASCII is stored as it comes, so it counts as UTF-8.
const (
	UTF8 Encoding = iota
	// OtherEncoding is like UTF-8 in its ASCII characters, which are nothing else: LATIN1, EUC_JP, …
	OtherEncoding
	// MixedEncoding has ASCII characters within longer ones, so that a text cannot be taken apart byte
	// by byte: those that PostgreSQL has for clients only (pg_wchar.h, PG_ENCODING_BE_LAST).
	MixedEncoding
)

// EncodingOf returns the kind of a client_encoding, by any of its names (pg_encname_tbl in encnames.c).
func EncodingOf(name string) Encoding {
	var b []byte
	for _, c := range []byte(strings.ToLower(name)) { // clean_encoding_name
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b = append(b, c)
		}
	}
	switch string(b) {
	case "", "utf8", "unicode", "sqlascii":
		return UTF8
	case "sjis", "shiftjis", "mskanji", "win932", "windows932", "big5", "win950", "windows950", "gbk", "win936", "windows936",
		"uhc", "win949", "windows949", "gb18030", "johab", "shiftjis2004":
		return MixedEncoding
	}
	return OtherEncoding
}

const utf8Hint = "SET client_encoding = 'UTF8'"

func beyondASCII[T string | []byte](text T) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return true
		}
	}
	return false
}

// elsewhere reports that a text is not, byte by byte, what the servers would make of it.
func (s *Session) elsewhere(sql string) bool {
	return s != nil && s.Encoding != UTF8 && beyondASCII(sql)
}

// readable refuses a text in which names cannot be told.
func (s *Session) readable(sql string, toks []lex.Token) error {
	if !s.elsewhere(sql) {
		return nil
	}
	if s.Encoding == MixedEncoding {
		return refuse("a statement with other than ASCII characters in this client_encoding", utf8Hint)
	}
	if slices.ContainsFunc(toks, func(t lex.Token) bool {
		return t.Kind != lex.String && t.Kind != lex.OtherString && beyondASCII(sql[t.Start:t.End])
	}) {
		return refuse("a name with other than ASCII characters in this client_encoding", utf8Hint)
	}
	return nil
}

// Comparable reports whether a value of a key that came in an encoding is, byte by byte, what the
// servers store.
func (e Encoding) Comparable(v sharding.Raw) bool {
	if e == UTF8 || v.Null {
		return true
	}
	switch v.Type {
	case 0, hash.Unknown, hash.Text, hash.Varchar, hash.Bpchar, hash.Name:
		return !beyondASCII(v.Bytes)
	}
	return v.Format != hash.TextFormat || !beyondASCII(v.Bytes)
}
