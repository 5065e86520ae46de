package script

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
)

// NoTransaction at the beginning of a file's first line makes Run carry out its
// statements one by one, each committed by itself. Without it the file takes effect as a
// whole or not at all.
const NoTransaction = "-- no-transaction"

// An Error is what went wrong in a script, and where.
type Error struct {
	File string
	Line int // first is 1; 0 where it does not apply
	Err  error
}

func (e *Error) Error() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	if pg, ok := errors.AsType[*pgconn.PgError](e.Err); ok {
		text := fmt.Sprintf("%s: %s: %s (SQLSTATE %s)", where, pg.Severity, pg.Message, pg.Code)
		if pg.Detail != "" {
			text += "\nDETAIL: " + pg.Detail
		}
		if pg.Hint != "" {
			text += "\nHINT: " + pg.Hint
		}
		return text
	}
	return where + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Run carries out the SQL text src, which name stands for in errors, in one transaction
// unless it begins with NoTransaction. Text that pg_dump wrote is understood: COPY … FROM
// stdin takes the lines after it up to "\.", and \restrict and \unrestrict are passed
// over. Other psql commands are errors, and so is transaction control in a file that runs in
// one transaction, unless it only wraps the whole file; both are found before anything is
// carried out. An error is an *Error.
func Run(ctx context.Context, conn *pgconn.PgConn, name, src string) error {
	steps, err := parse(name, src)
	if err != nil {
		return err
	}
	if strings.HasPrefix(src, NoTransaction) {
		return runSteps(ctx, conn, name, src, steps)
	}
	if steps, err = withinTransaction(name, src, steps); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "BEGIN").ReadAll(); err != nil {
		return &Error{name, 0, err}
	}
	err = runSteps(ctx, conn, name, src, steps)
	end := "COMMIT"
	if err != nil {
		end = "ROLLBACK"
	}
	if conn.IsClosed() {
		return err
	}
	if _, endErr := conn.Exec(context.WithoutCancel(ctx), end).ReadAll(); err == nil && endErr != nil {
		err = &Error{name, 0, endErr}
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "25001" { // active_sql_transaction
		err = fmt.Errorf("%w\nHINT: begin the file with %q to run its statements one by one", err, NoTransaction)
	}
	return err
}

// A step is one statement, or one COPY with its data.
type step struct {
	start, end int    // of the statement, in the text
	copyData   string // what follows COPY … FROM stdin
	isCopy     bool
}

func parse(name, src string) ([]step, error) {
	var steps []step
	for pos := 0; pos < len(src); {
		stmt, rest, ok := Next(src[pos:])
		start := pos
		pos = len(src) - len(rest)
		if Blank(stmt) {
			continue
		}
		body, skipped := Body(stmt)
		st := step{start: start + skipped, end: start + len(stmt)}
		switch {
		case strings.HasPrefix(body, `\restrict`), strings.HasPrefix(body, `\unrestrict`), strings.TrimSpace(body) == `\.`:
			continue
		case body[0] == '\\':
			return nil, &Error{name, lineAt(src, st.start), fmt.Errorf("%s is a psql command; only SQL can be run here", strings.Fields(body)[0])}
		case !ok && unterminated(body):
			return nil, &Error{name, lineAt(src, st.start), errors.New("the statement that begins here does not end: a quote, comment or parenthesis is open")}
		case copiesFromStdin(body):
			st.isCopy = true
			data, after, found := cutData(src[pos:])
			if !found {
				return nil, &Error{name, lineAt(src, st.start), errors.New(`COPY … FROM stdin: its data do not end with a line "\."`)}
			}
			st.copyData = data
			pos = len(src) - len(after)
		}
		steps = append(steps, st)
	}
	return steps, nil
}

// unterminated reports whether a text that ends without a semicolon is open in another way
// too.
func unterminated(body string) bool {
	_, _, ok := Next(body + "\n;")
	return !ok
}

// copiesFromStdin reports whether a statement is COPY … FROM STDIN.
func copiesFromStdin(body string) bool {
	words := strings.Fields(strings.ToLower(body))
	if len(words) == 0 || words[0] != "copy" {
		return false
	}
	for i, w := range words[1:] {
		if w == "from" && i+2 < len(words) {
			return strings.TrimRight(words[i+2], "(") == "stdin"
		}
	}
	return false
}

// cutData splits what follows COPY's semicolon into the data, from the next line on, and
// what comes after the line "\.".
func cutData(src string) (data, after string, found bool) {
	i := strings.IndexByte(src, '\n')
	if i < 0 {
		return "", "", false
	}
	src = src[i+1:]
	for pos := 0; pos < len(src); {
		line := src[pos:]
		next := len(src)
		if j := strings.IndexByte(line, '\n'); j >= 0 {
			line, next = line[:j], pos+j+1
		}
		if strings.TrimSuffix(line, "\r") == `\.` {
			return src[:pos], src[next:], true
		}
		pos = next
	}
	return "", "", false
}

func runSteps(ctx context.Context, conn *pgconn.PgConn, name, src string, steps []step) error {
	for _, st := range steps {
		sql := src[st.start:st.end]
		var err error
		if st.isCopy {
			_, err = conn.CopyFrom(ctx, strings.NewReader(st.copyData), sql)
		} else {
			_, err = conn.Exec(ctx, sql).ReadAll()
		}
		if err == nil {
			continue
		}
		at := st.start
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Position > 0 {
			at += byteAt(sql, int(pg.Position)-1)
		}
		return &Error{name, lineAt(src, at), err}
	}
	return nil
}

// byteAt returns the offset of the n-th character; PostgreSQL counts positions in those.
func byteAt(s string, n int) int {
	pos := 0
	for ; n > 0 && pos < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[pos:])
		pos += size
	}
	return pos
}

func lineAt(src string, pos int) int { return 1 + strings.Count(src[:pos], "\n") }
