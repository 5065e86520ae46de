package scatter

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// appendLiteral appends a value as a literal of its type, if there is one; nil is NULL. escape says that
// backslashes mean something in plain strings.
func appendLiteral(dst, v []byte, typ string, escape bool) []byte {
	if v == nil && typ == "" {
		return append(dst, "NULL"...)
	}
	if v == nil {
		return append(append(dst, "NULL::"...), typ...)
	}
	if escape {
		dst = append(dst, 'E')
	}
	dst = append(dst, '\'')
	for _, c := range v {
		if c == '\'' || c == '\\' && escape {
			dst = append(dst, c)
		}
		dst = append(dst, c)
	}
	dst = append(dst, '\'')
	if typ == "" {
		return dst
	}
	return append(append(dst, ':', ':'), typ...)
}

// appendRow appends a row of literals in parentheses.
func (s *Session) appendRow(dst []byte, values [][]byte, types []string) []byte {
	dst = append(dst, '(')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendLiteral(dst, v, types[i], s.state.EscapeStrings)
	}
	return append(dst, ')')
}

// all reads an answer's rows, up to the memory limit.
func (s *Session) all(ctx context.Context, a *answer) (rows [][][]byte, tag string, err error) {
	left := s.ex.cfg.Memory
	for {
		body, err := a.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			if left -= len(body) + 24*len(a.fields); left < 0 {
				limit := wire.Errorf(wire.CodeProgramLimitExceeded, "the rows that have to be moved between shards take more memory than is allowed")
				limit.Hint = "Narrow the statement, or raise the proxy's memory limit for merging."
				err = limit
			}
		}
		var values [][]byte
		if err == nil {
			values, err = columnsOf(nil, append([]byte(nil), body...))
		}
		if err != nil {
			a.stop(err)
			return nil, "", err
		}
		rows = append(rows, values)
	}
	tag, err = a.tag()
	return rows, tag, err
}

// names joins quoted names.
func names(list []string) string {
	quoted := make([]string, len(list))
	for i, n := range list {
		quoted[i] = quoteIdent(n)
	}
	return strings.Join(quoted, ", ")
}
