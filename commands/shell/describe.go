package shell

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/commands/shell/rows"
)

// describe runs the commands that read the catalogs: \l and those that begin with \d. The
// queries are made for PostgreSQL 9.6 to 18; where the catalogs differ, serverVersion
// decides.
func (s *shell) describe(ctx context.Context, c *command) error {
	name := strings.TrimSuffix(c.name, "+")
	if name != c.name {
		return s.complain("\\%s: this shell has no \"+\"; \\%s shows less, PostgreSQL's psql more", c.name, name)
	}
	if s.conn == nil {
		return s.complain("there is no connection; \\c makes one")
	}
	system := strings.HasSuffix(name, "S")
	name = strings.TrimSuffix(name, "S")
	return s.one(c, func(arg string) error {
		arg = strings.TrimRight(arg, ";")
		l := lister{s: s, system: system || arg != "", named: arg != "", pattern: parsePattern(arg), arg: arg}
		var err error
		switch name {
		case "l", "list":
			err = l.databases(ctx)
		case "d":
			if arg != "" {
				err = l.relations(ctx)
			} else {
				err = l.relationList(ctx, "tvmsE")
			}
		case "df", "da":
			err = l.functions(ctx, name == "da")
		case "dn":
			err = l.schemas(ctx)
		case "dT":
			err = l.types(ctx)
		case "du", "dg":
			err = l.roles(ctx)
		case "dx":
			err = l.extensions(ctx)
		default:
			if strings.Trim(name[1:], "tvmisE") != "" {
				return s.unknown(c.name)
			}
			err = l.relationList(ctx, name[1:])
		}
		return s.catalogError(err)
	})
}

// catalogError shows an error of a query on the catalogs.
func (s *shell) catalogError(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && s.conn != nil && !s.conn.IsClosed() {
		fmt.Fprint(s.Stderr, message(pg, "", true))
		return errStatement
	}
	return err
}

// A lister answers one \d command.
type lister struct {
	s       *shell
	system  bool // system objects too
	named   bool // a pattern was given
	pattern pattern
	arg     string
}

// A result is a whole result set.
type result struct {
	columns []rows.Column
	rows    [][][]byte
}

// cell returns a value as text, "" for NULL.
func (r result) cell(row, column int) string { return string(r.rows[row][column]) }

// serverVersion returns the server's version as 90600 or 150000: the major part only.
func (s *shell) serverVersion() int {
	text := s.conn.ParameterStatus("server_version")
	end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end >= 0 {
		text = text[:end]
	}
	first, rest, _ := strings.Cut(text, ".")
	major, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	if major >= 10 {
		return major * 10000
	}
	second, _, _ := strings.Cut(rest, ".")
	minor, err := strconv.Atoi(second)
	if err != nil {
		return major * 10000
	}
	return major*10000 + minor*100
}

// ask runs a query for ourselves.
func (s *shell) ask(ctx context.Context, sql string) (result, error) {
	s.running = &query{sql: sql}
	defer func() { s.running = nil }()
	defer s.cancelOn(ctx)()
	results, err := s.conn.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		if s.conn.IsClosed() {
			return result{}, s.lost(ctx, err)
		}
		return result{}, err
	}
	last := results[len(results)-1]
	r := result{rows: last.Rows}
	for _, f := range last.FieldDescriptions {
		r.columns = append(r.columns, rows.Column{Name: f.Name, Type: f.DataTypeOID})
	}
	return r, nil
}

// show prints a result set of ours.
func (s *shell) show(r result, title string, footers []string) error {
	q := s.query("")
	if footers != nil {
		q.rows.Expanded = rows.Off // names would be lost among footers
	}
	w := rows.New(q.out, q.rows, rows.Set{Columns: r.columns, Title: title})
	for _, row := range r.rows {
		if err := w.Row(row); err != nil {
			return errors.Join(err, w.Abort())
		}
	}
	err := w.Close(footers)
	if errors.Is(err, errInterrupted) {
		return errStatement
	}
	return err
}

// list shows what a query finds under a title.
func (l lister) list(ctx context.Context, title, sql string) error {
	r, err := l.s.ask(ctx, sql)
	if err != nil {
		return err
	}
	return l.s.show(r, title, nil)
}
