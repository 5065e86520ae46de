package shell

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/commands/shell/rows"
)

// How libpq cuts the line that an error is in (reportErrorPosition in fe-protocol3.c).
const (
	displaySize = 60 // DISPLAY_SIZE: columns shown of the line
	minRightCut = 10 // MIN_RIGHT_CUT: columns kept to the right of the position
)

// message returns an error or a notice as psql shows it, with the place in sql that it is
// about. Context is shown for errors only.
func message(e *pgconn.PgError, sql string, context bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:  %s\n", e.Severity, e.Message)
	switch {
	case e.Position > 0 && sql != "":
		b.WriteString(position(sql, int(e.Position)))
	case e.InternalPosition > 0 && e.InternalQuery != "":
		b.WriteString(position(e.InternalQuery, int(e.InternalPosition)))
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, "DETAIL:  %s\n", e.Detail)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "HINT:  %s\n", e.Hint)
	}
	if e.InternalQuery != "" {
		fmt.Fprintf(&b, "QUERY:  %s\n", e.InternalQuery)
	}
	if context && e.Where != "" {
		fmt.Fprintf(&b, "CONTEXT:  %s\n", e.Where)
	}
	return b.String()
}

// position returns the line of sql that holds its n-th character, first is 1, and a caret
// under that character. A long line is cut as libpq cuts it.
func position(sql string, n int) string {
	at := byteOffset(sql, n-1)
	number := 1 + strings.Count(sql[:at], "\n")
	start := strings.LastIndexByte(sql[:at], '\n') + 1
	end := len(sql)
	if i := strings.IndexAny(sql[at:], "\r\n"); i >= 0 {
		end = at + i
	}
	text := []rune(strings.ReplaceAll(sql[start:end], "\t", " "))
	column := make([]int, len(text)+1) // where on the screen each character begins
	for i, r := range text {
		column[i+1] = column[i] + rows.RuneWidth(r)
	}
	loc := utf8.RuneCountInString(sql[start:at])
	from, to := 0, len(text)
	if column[to] > displaySize {
		if displaySize >= column[loc]+minRightCut {
			for column[to] > displaySize {
				to--
			}
		} else {
			for column[loc]+minRightCut < column[to] {
				to--
			}
			for column[to]-column[from] > displaySize {
				from++
			}
		}
	}
	head := fmt.Sprintf("LINE %d: ", number)
	if from > 0 {
		head += "..."
	}
	tail := ""
	if to < len(text) {
		tail = "..."
	}
	caret := len(head) + column[loc] - column[from]
	return head + string(text[from:to]) + tail + "\n" + strings.Repeat(" ", caret) + "^\n"
}

// byteOffset returns where the n-th character of s begins; PostgreSQL counts in those.
func byteOffset(s string, n int) int {
	pos := 0
	for ; n > 0 && pos < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[pos:])
		pos += size
	}
	return pos
}
