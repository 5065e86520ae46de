package sqlited

import (
	"context"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A handler answers queries about the catalog and hands all others on.
type handler struct {
	pgserver.Handler
	catalog catalog
}

// Unwrap returns the handler inside.
func (h *handler) Unwrap() pgserver.Handler { return h.Handler }

// ServeQuery answers a query.
func (h *handler) ServeQuery(w pgserver.ResponseWriter, q *pgserver.Query) error {
	r, err := h.catalog.answer(q.Context(), q.Session, q.SQL)
	if err != nil {
		return err
	}
	if r == nil {
		q.SQL = rewrite(q.SQL, q.Session.User())
		return h.Handler.ServeQuery(w, q)
	}
	return r.send(w)
}

// Prepare prepares a query.
func (h *handler) Prepare(ctx context.Context, s *pgserver.Session, sql string, types []uint32) (pgserver.Stmt, error) {
	r, err := h.catalog.answer(ctx, s, sql)
	if err != nil {
		return nil, err
	}
	if r == nil {
		text := rewrite(sql, s.User())
		stmt, err := h.Handler.(pgserver.Preparer).Prepare(ctx, s, text, types)
		if err != nil || text == sql {
			return stmt, err
		}
		return rewrittenStmt{stmt, text}, nil
	}
	return &catalogStmt{h, sql, types, r.columns}, nil
}

// A rewrittenStmt is a prepared statement with another text than the client's.
type rewrittenStmt struct {
	pgserver.Stmt
	text string
}

// Query runs it.
func (s rewrittenStmt) Query(w pgserver.ResponseWriter, q *pgserver.Query) error {
	q.SQL = s.text
	return s.Stmt.Query(w, q)
}

// A catalogStmt is a prepared query about the catalog.
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
	r, err := s.h.catalog.answer(q.Context(), q.Session, s.sql)
	if err != nil {
		return err
	}
	return r.send(w)
}

// A result is the answer to a query about the catalog.
type result struct {
	columns []pgserver.Column
	rows    [][]any
}

func (r *result) send(w pgserver.ResponseWriter) error {
	if err := w.Columns(r.columns...); err != nil {
		return err
	}
	for _, row := range r.rows {
		if err := w.Row(row...); err != nil {
			return err
		}
	}
	return nil
}

// notAnswered is the error for a query about the catalog that we do not understand. A client
// is better off with that than with an answer that is not true.
func notAnswered(sql string) error {
	return wire.Errorf(wire.CodeFeatureNotSupported, "this is SQLite: of pg_catalog only what psql's \\l, \\d, \\dt, \\dv, \\di, \\dn and \\du ask is there, not: %.200s", strings.Join(strings.Fields(sql), " "))
}
