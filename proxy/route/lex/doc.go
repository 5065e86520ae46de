// Package lex cuts SQL text into tokens as PostgreSQL's scanner (scan.l) does, fast enough to
// be run on every statement that a client sends.
//
// [Scan] gives the tokens with their offsets, so that a statement can be rewritten by copying
// the client's own text; [AppendKey] gives a key under which statements that differ only in
// literals, blanks, comments and the case of words are the same; [Split] finds the statements
// of a multi-statement string. Strings are read with standard_conforming_strings on; see
// [Token.Backslash].
package lex
