package sqlited

import (
	"context"
	"database/sql"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A handler answers questions about the catalog, and puts other statements into SQLite's
// words.
type handler struct {
	sql      *pgserver.SQLHandler
	database string
}

// Handler serves a database that Open has opened.
func Handler(db *sql.DB, database string) pgserver.Handler {
	h := &handler{sql: &pgserver.SQLHandler{DB: db, Error: sqliteError}, database: database}
	h.sql.Describe, h.sql.Value = h.describe, sqliteValue
	return pgserver.Chain(h, pgserver.Settings, pgserver.Notifications, pgserver.Cursors)
}

// Unwrap returns the handler inside.
func (h *handler) Unwrap() pgserver.Handler { return h.sql }

// prepare returns a statement in SQLite's words, or whether it is a question about the
// catalog.
func (h *handler) prepare(ctx context.Context, s *pgserver.Session, text string) (translated string, catalog bool, err error) {
	sh, ok := shapeOf(text)
	if ok && sh.asksCatalog() {
		return "", true, nil
	}
	if _, isCopy, err := pgserver.ParseCopy(text); isCopy {
		if err == nil && ok && sh.is(1, "(") && sh.pairs[1] > 0 { // COPY (SELECT …) TO
			translated, err = translate(sh.text(2, sh.pairs[1]), s.User(), zoneName(s.Location()))
			return "COPY (" + translated + " " + sh.text(sh.pairs[1], len(sh.tokens)), false, err
		}
		return text, false, err
	}
	if translated, err = translate(text, s.User(), zoneName(s.Location())); err != nil {
		return "", false, err
	}
	translated, err = h.expandReturning(ctx, s, translated)
	return translated, false, err
}

// expandReturning puts the columns' names in place of RETURNING *, whose columns SQLite tells
// only when it has run.
func (h *handler) expandReturning(ctx context.Context, s *pgserver.Session, text string) (string, error) {
	if !strings.Contains(text, "*") {
		return text, nil
	}
	sh, ok := shapeOf(text)
	if !ok {
		return text, nil
	}
	at := sh.returning()
	target, ok := sh.target()
	if at == 0 || !ok || !sh.is(at+1, "*") || at+2 != len(sh.tokens) {
		return text, nil
	}
	columns, err := h.columnsOf(ctx, s, map[string]bool{strings.ToLower(target): true})
	if err != nil || len(columns) == 0 {
		return text, err // SQLite says that there is no such table
	}
	var names []string
	for _, c := range columns {
		names = append(names, `"`+strings.ReplaceAll(c.name, `"`, `""`)+`"`)
	}
	return sh.text(0, at+1) + " " + strings.Join(names, ", "), nil
}

// ServeQuery answers a query.
func (h *handler) ServeQuery(w pgserver.ResponseWriter, q *pgserver.Query) error {
	text, asks, err := h.prepare(q.Context(), q.Session, q.SQL)
	if err != nil {
		return err
	}
	if asks {
		return h.serveCatalog(w, q, q.SQL)
	}
	q.SQL = text
	return h.sql.ServeQuery(w, q)
}

func (h *handler) serveCatalog(w pgserver.ResponseWriter, q *pgserver.Query, text string) error {
	args := make([]any, len(q.Args))
	for i, a := range q.Args {
		v, err := sqliteValue(a)
		if err != nil {
			return err
		}
		args[i] = v
	}
	r, err := h.answer(q.Context(), q.Session, text, args)
	if err != nil {
		return err
	}
	return r.send(w)
}

// Prepare prepares a query.
func (h *handler) Prepare(ctx context.Context, s *pgserver.Session, text string, types []uint32) (pgserver.Stmt, error) {
	translated, asks, err := h.prepare(ctx, s, text)
	if err != nil {
		return nil, err
	}
	sh, _ := shapeOf(text)
	if asks {
		types = sh.parameterTypes(types, nil)
		r, err := h.answer(ctx, s, text, make([]any, len(types)))
		if err != nil {
			return nil, err
		}
		return &catalogStmt{h, text, types, r.columns}, nil
	}
	if strings.Contains(text, "$") {
		columns, err := h.columnsOf(ctx, s, sh.names())
		if err != nil {
			return nil, err
		}
		types = sh.parameterTypes(types, columns)
	}
	stmt, err := h.sql.Prepare(ctx, s, translated, types)
	if err != nil || translated == text {
		return stmt, err
	}
	return translatedStmt{stmt, translated}, nil
}

// A translatedStmt is a prepared statement with another text than the client's.
type translatedStmt struct {
	pgserver.Stmt
	text string
}

// Query runs it.
func (s translatedStmt) Query(w pgserver.ResponseWriter, q *pgserver.Query) error {
	q.SQL = s.text
	return s.Stmt.Query(w, q)
}

// A catalogStmt is a prepared question about the catalog.
type catalogStmt struct {
	h       *handler
	sql     string
	types   []uint32
	columns []pgserver.Column
}

func (s *catalogStmt) Params() []uint32           { return s.types }
func (s *catalogStmt) Columns() []pgserver.Column { return s.columns }

// Query answers as of now.
func (s *catalogStmt) Query(w pgserver.ResponseWriter, q *pgserver.Query) error {
	return s.h.serveCatalog(w, q, s.sql)
}
