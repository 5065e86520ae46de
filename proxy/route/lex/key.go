package lex

// AppendKey appends a key for the statement with these tokens: two statements have the same
// key exactly if they have the same tokens but for the values of their literals. A key is
// no SQL.
func AppendKey(dst []byte, sql string, tokens []Token) []byte {
	for _, t := range tokens {
		switch t.Kind {
		case Number:
			dst = append(dst, 1)
		case String:
			dst = append(dst, 2)
		case Word:
			for i := t.Start; i < t.End; i++ {
				dst = append(dst, lower(sql[i]))
			}
			dst = append(dst, 0)
		case Quoted, QuotedUnicode, OtherString:
			// The length keeps a quoted name from looking like other tokens.
			n := t.End - t.Start
			dst = append(dst, 3, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
			dst = append(dst, sql[t.Start:t.End]...)
		default:
			dst = append(dst, sql[t.Start:t.End]...)
			dst = append(dst, 0)
		}
	}
	return dst
}
