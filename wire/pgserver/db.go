package pgserver

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
)

// DB serves a database/sql database: each session gets a connection of its own from the pool,
// and so its own transactions. $1 becomes what the driver wants where that is known; see
// [SQLHandler] for more.
func DB(db *sql.DB) Handler { return &SQLHandler{DB: db} }

// A SQLHandler is a Handler for a database/sql database.
//
// BEGIN, COMMIT and ROLLBACK become the driver's transactions, and a failed transaction refuses
// statements as PostgreSQL does. A query string with several statements is one transaction,
// unless they say otherwise. Column types follow from the driver's type names and, where it
// has none, from the first row.
//
// The columns of statements that return rows and change something (INSERT … RETURNING) are
// told before they run by their RETURNING list, as text.
type SQLHandler struct {
	DB *sql.DB
	// Placeholder writes the n-th parameter; nil chooses by the driver: ?1 for SQLite, ? for
	// MySQL, else $1. With "?" parameters must be used once each and in order.
	Placeholder func(n int) string
	// Types names the PostgreSQL type of a driver's type; nil or 0 falls back on the usual
	// names.
	Types func(databaseType string) uint32
	// Value makes of a parameter, or a value of COPY, what the driver is given; nil takes what
	// Any returns, as DriverValue turns it.
	Value func(v Value) (any, error)
	// Describe may correct the names and types of a statement's columns before the client is
	// told; nil leaves them as they are. Values are sent as the types it sets.
	Describe func(ctx context.Context, s *Session, sql string, columns []Column) error
	// Error translates a driver's error, to give it an SQLSTATE; nil takes it as it is.
	Error func(error) error
}

type dbSession struct {
	conn     *sql.Conn
	tx       *sql.Tx
	implicit bool // tx is that of a query string
	failed   bool
}

var dbKey = NewKey[*dbSession]("database/sql")

// EndSession gives the session's connection back.
func (h *SQLHandler) EndSession(s *Session) {
	if d, ok := dbKey.Get(s); ok && d.conn != nil {
		if d.tx != nil {
			_ = d.tx.Rollback() // it may have ended with the context
		}
		_ = d.conn.Close()
	}
}

func (h *SQLHandler) session(q *Query) (*dbSession, error) {
	d, ok := dbKey.Get(q.Session)
	if !ok {
		d = &dbSession{}
		dbKey.Set(q.Session, d)
	}
	if d.conn == nil {
		var err error
		if d.conn, err = h.DB.Conn(q.Context()); err != nil {
			return nil, wire.Errorf(wire.CodeTooManyConnections, "connect to the database: %w", err)
		}
	}
	return d, nil
}

// QueryContext runs a query of the server's own on a session's connection, in its
// transaction if there is one. The caller closes the rows before the handler returns.
func (h *SQLHandler) QueryContext(ctx context.Context, s *Session, text string, args ...any) (*sql.Rows, error) {
	d, err := h.session(&Query{Session: s, run: s.conn.current.Load()})
	if err != nil {
		return nil, err
	}
	if d.tx != nil && d.failed {
		return nil, errFailedTx
	}
	return d.query(ctx, text, args)
}

// TxStatus tells the transaction's state.
func (h *SQLHandler) TxStatus(s *Session) wire.TxStatus {
	d, ok := dbKey.Get(s)
	switch {
	case !ok || d.tx == nil || d.implicit:
		return wire.TxIdle
	case d.failed:
		return wire.TxFailed
	}
	return wire.TxActive
}

// Sync ends the transaction of a query string, and marks an explicit one failed.
func (h *SQLHandler) Sync(s *Session, failed bool) error {
	d, ok := dbKey.Get(s)
	if !ok || d.tx == nil {
		return nil
	}
	if !d.implicit {
		d.failed = d.failed || failed
		return nil
	}
	tx := d.tx
	d.tx, d.implicit = nil, false
	if failed {
		return h.translate(tx.Rollback())
	}
	return h.translate(tx.Commit())
}

func (h *SQLHandler) translate(err error) error {
	if err == nil || errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	if h.Error != nil {
		return h.Error(err)
	}
	return err
}

// Prepare tells parameters and columns.
func (h *SQLHandler) Prepare(ctx context.Context, s *Session, sql string, types []uint32) (Stmt, error) {
	params := make([]uint32, max(len(types), parameters(sql)))
	copy(params, types)
	st := &dbStmt{h: h, params: params}
	q := &Query{SQL: sql, Session: s, run: s.conn.current.Load()}
	d, err := h.session(q)
	if err != nil {
		return nil, err
	}
	kind := classify(sql)
	if d.tx != nil && d.failed && !kind.ends() {
		return nil, errFailedTx
	}
	switch {
	case kind.returning != "":
		if st.columns = returningColumns(kind.returning); st.columns == nil {
			return nil, wire.Errorf(wire.CodeFeatureNotSupported, "the columns of RETURNING * cannot be told before it runs; name them")
		}
		if err := h.describe(ctx, s, sql, st.columns); err != nil {
			return nil, err
		}
	case kind.reads:
		// Parameters are NULL, but where a database may insist on a number (LIMIT $1).
		nulls := make([]any, len(params))
		for i, oid := range params {
			if oid == pgtype.Int2OID || oid == pgtype.Int4OID || oid == pgtype.Int8OID {
				nulls[i] = int64(1)
			}
		}
		rows, err := d.query(ctx, h.rewrite(sql), nulls)
		if err != nil {
			return nil, h.translate(err)
		}
		src, err := h.source(rows)
		if err = errors.Join(err, rows.Close()); err != nil {
			return nil, h.translate(err)
		}
		st.columns = src.columns
		if err := h.describe(ctx, s, sql, st.columns); err != nil {
			return nil, err
		}
	}
	return st, nil
}

func (h *SQLHandler) describe(ctx context.Context, s *Session, sql string, columns []Column) error {
	if h.Describe == nil {
		return nil
	}
	return h.Describe(ctx, s, sql, columns)
}

type dbStmt struct {
	h       *SQLHandler
	params  []uint32
	columns []Column
}

func (s *dbStmt) Params() []uint32  { return s.params }
func (s *dbStmt) Columns() []Column { return s.columns }
func (s *dbStmt) Query(w ResponseWriter, q *Query) error {
	return s.h.serve(w, q, s.columns)
}

// ServeQuery runs a statement.
func (h *SQLHandler) ServeQuery(w ResponseWriter, q *Query) error { return h.serve(w, q, nil) }

var errFailedTx = &wire.Error{
	Code:    wire.CodeInFailedSQLTransaction,
	Message: "current transaction is aborted, commands ignored until end of transaction block",
}

func (h *SQLHandler) serve(w ResponseWriter, q *Query, columns []Column) error {
	d, err := h.session(q)
	if err != nil {
		return err
	}
	kind := classify(q.SQL)
	if d.tx != nil && d.failed && !kind.ends() {
		return errFailedTx
	}
	err = h.run(w, q, d, kind, columns)
	if err != nil && d.tx != nil {
		d.failed = true
	}
	return err
}

func (h *SQLHandler) run(w ResponseWriter, q *Query, d *dbSession, kind statementKind, columns []Column) error {
	if kind.tx != noTx {
		return h.transaction(w, q, d, kind.tx)
	}
	if q.More && d.tx == nil {
		if err := h.begin(q, d, nil); err != nil {
			return err
		}
		d.implicit = true
	}
	if c, ok, err := ParseCopy(q.SQL); ok {
		if err != nil {
			return err
		}
		return h.copy(w, q, d, c)
	}
	if n := parameters(q.SQL); n > len(q.Args) {
		return wire.Errorf(wire.CodeUndefinedParameter, "there is no parameter $%d", n)
	}
	values := make([]any, len(q.Args))
	for i, a := range q.Args {
		v, err := h.value(a)
		if err != nil {
			return err
		}
		values[i] = v
	}
	text := h.rewrite(q.SQL)
	if kind.reads || kind.returning != "" {
		rows, err := d.query(q.Context(), text, values)
		if err != nil {
			return h.translate(err)
		}
		err = h.send(w, q, rows, kind, columns)
		return h.translate(errors.Join(err, rows.Close()))
	}
	result, err := d.exec(q.Context(), text, values)
	if err != nil {
		return h.translate(err)
	}
	if kind.recovers {
		d.failed = false
	}
	n, err := result.RowsAffected()
	if err != nil {
		n = 0 // not every driver knows
	}
	return w.Complete(kind.complete(n))
}

func (h *SQLHandler) value(v Value) (any, error) {
	if h.Value != nil {
		return h.Value(v)
	}
	out, err := v.Any()
	return DriverValue(out), err
}

func (d *dbSession) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	if d.tx != nil {
		return d.tx.QueryContext(ctx, text, args...)
	}
	return d.conn.QueryContext(ctx, text, args...)
}

func (d *dbSession) exec(ctx context.Context, text string, args []any) (sql.Result, error) {
	if d.tx != nil {
		return d.tx.ExecContext(ctx, text, args...)
	}
	return d.conn.ExecContext(ctx, text, args...)
}

// begin starts a transaction that ends with the session, not with the query.
func (h *SQLHandler) begin(q *Query, d *dbSession, opts *sql.TxOptions) error {
	tx, err := d.conn.BeginTx(q.Session.Context(), opts)
	if err != nil {
		return h.translate(err)
	}
	d.tx, d.failed, d.implicit = tx, false, false
	return nil
}

func (h *SQLHandler) transaction(w ResponseWriter, q *Query, d *dbSession, what txCommand) error {
	warn := func(code wire.Code, text string) error {
		return w.Notice(&wire.Error{Severity: wire.SeverityWarning, Code: code, Message: text})
	}
	if what == beginTx {
		switch {
		case d.tx != nil && d.implicit:
			d.implicit = false
		case d.tx != nil:
			if err := warn(wire.CodeActiveSQLTransaction, "there is already a transaction in progress"); err != nil {
				return err
			}
		default:
			if err := h.begin(q, d, txOptions(q.SQL)); err != nil {
				return err
			}
		}
		return w.Complete("BEGIN")
	}
	tag := map[txCommand]string{commitTx: "COMMIT", rollbackTx: "ROLLBACK"}[what]
	if d.tx == nil || d.implicit {
		if err := warn(wire.CodeNoActiveSQLTransaction, "there is no transaction in progress"); err != nil {
			return err
		}
		if d.tx == nil {
			return w.Complete(tag)
		}
	}
	tx, failed := d.tx, d.failed
	d.tx, d.failed, d.implicit = nil, false, false
	if what == rollbackTx || failed {
		if err := h.translate(tx.Rollback()); err != nil {
			return err
		}
		return w.Complete("ROLLBACK")
	}
	if err := h.translate(tx.Commit()); err != nil {
		return err
	}
	return w.Complete("COMMIT")
}

// rewrite puts the driver's placeholders in place of $n.
func (h *SQLHandler) rewrite(text string) string {
	if parameters(text) == 0 {
		return text
	}
	placeholder := h.Placeholder
	if placeholder == nil {
		switch name := strings.ToLower(fmt.Sprintf("%T", h.DB.Driver())); {
		case strings.Contains(name, "sqlite"):
			placeholder = func(n int) string { return "?" + strconv.Itoa(n) }
		case strings.Contains(name, "mysql"):
			placeholder = func(int) string { return "?" }
		default:
			return text
		}
	}
	var b strings.Builder
	l := lexer{sql: text}
	for t := l.next(); t.kind != tokEnd; t = l.next() {
		if n, err := strconv.Atoi(strings.TrimPrefix(t.text, "$")); t.kind == tokParam && err == nil {
			b.WriteString(placeholder(n))
			continue
		}
		b.WriteString(t.text)
	}
	return b.String()
}

// DriverValue makes of pgx's Go types those that database/sql knows.
func DriverValue(v any) any {
	switch x := v.(type) {
	case int16:
		return int64(x)
	case int32:
		return int64(x)
	case uint32:
		return int64(x)
	case float32:
		return float64(x)
	case [16]byte:
		return fmt.Sprintf("%x-%x-%x-%x-%x", x[:4], x[4:6], x[6:8], x[8:10], x[10:])
	case []any: // an array
		if text, err := json.Marshal(x); err == nil {
			return string(text)
		}
	case pgtype.Numeric:
		if text, err := x.Value(); err == nil {
			return text
		}
	}
	return v
}
