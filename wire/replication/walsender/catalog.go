package walsender

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// sql answers the SQL that a subscribing PostgreSQL sends to a server of [ServerVersion]
// (subscriptioncmds.c, tablesync.c, libpqwalreceiver.c). There is no SQL behind it: what is
// asked for is told by what the query names.
func (s *Session) sql(query string) error {
	q := strings.Join(strings.Fields(query), " ")
	q = strings.TrimSuffix(q, ";")
	word := strings.ToUpper(firstWord(q))
	switch {
	case q == "":
		return s.out.Complete("")
	case word == "BEGIN" || word == "START":
		s.status = wire.TxActive
		return s.out.Complete("BEGIN")
	case word == "COMMIT" || word == "ROLLBACK" || word == "END" || word == "ABORT":
		failed := s.status == wire.TxFailed
		s.status, s.snapshot = wire.TxIdle, nil
		if word == "ROLLBACK" || word == "ABORT" || failed {
			return s.out.Complete("ROLLBACK")
		}
		return s.out.Complete("COMMIT")
	case s.status == wire.TxFailed:
		return wire.Errorf(wire.CodeInFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
	case word == "SET":
		return s.out.Complete("SET")
	case strings.HasPrefix(q, "SELECT pg_catalog.set_config("):
		return s.rows("SELECT", fields("set_config", oidText), row(""))
	case word == "COPY":
		return s.copy(q)
	case strings.Contains(q, "pg_catalog.pg_publication_tables"):
		return s.publishedTables(q)
	case strings.Contains(q, "pg_catalog.pg_publication t"):
		return s.publications(q)
	case strings.Contains(q, "pg_catalog.pg_attribute a"):
		return s.attributes(q)
	case strings.Contains(q, "pg_catalog.pg_class c"):
		return s.class(q)
	}
	e := wire.Errorf(wire.CodeFeatureNotSupported, "this server publishes changes and knows no such query")
	e.Detail = "The query is: " + query
	return e
}

// literals returns the string constants, one or a list, that follow before in q.
func literals(q, before string) []string {
	_, rest, ok := strings.Cut(q, before)
	if !ok {
		return nil
	}
	l := newLexer(rest)
	var all []string
	for l.punct('('); l.tok.kind == 's'; l.punct(',') {
		all = append(all, l.tok.text)
		l.next()
	}
	return all
}

func (s *Session) publications(q string) error {
	var rows [][][]byte
	for _, name := range literals(q, "pubname IN ") {
		if s.p.hasPublication(name) {
			rows = append(rows, row(name))
		}
	}
	return s.rows("SELECT", fields("pubname", oidName), rows...)
}

func (p *Publisher) hasPublication(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pubs[name]) > 0
}

func (s *Session) publishedTables(q string) error {
	s.p.mu.Lock()
	var oids []uint32
	for _, name := range literals(q, "pubname IN ") {
		oids = append(oids, s.p.pubs[name]...)
	}
	slices.Sort(oids)
	var rows [][][]byte
	for _, oid := range slices.Compact(oids) {
		r := s.p.tables[oid].relation
		rows = append(rows, row(r.Schema, r.Name))
	}
	s.p.mu.Unlock()
	return s.rows("SELECT", fields("schemaname", oidName, "tablename", oidName), rows...)
}

// A column is something that a subscriber may select, and its type.
type column struct {
	expr    string
	typeOID int
}

// selected returns which of the columns the query selects, since each version of PostgreSQL
// selects others, or an error for one that is not among them.
func selected(q string, columns []column) (at []int, f []wire.Field, err error) {
	list, _, _ := strings.Cut(strings.TrimPrefix(q, "SELECT "), " FROM ")
	for expr := range strings.SplitSeq(list, ", ") {
		i := slices.IndexFunc(columns, func(c column) bool { return c.expr == expr })
		if i < 0 {
			return nil, nil, wire.Errorf(wire.CodeFeatureNotSupported, "this server publishes changes and cannot select %s", expr)
		}
		_, name, _ := strings.Cut(expr, ".")
		at = append(at, i)
		f = append(f, fields(name, columns[i].typeOID)...)
	}
	return at, f, nil
}

// project sends the selected columns of rows.
func (s *Session) project(q string, columns []column, rows [][]string) error {
	at, f, err := selected(q, columns)
	if err != nil {
		return err
	}
	var out [][][]byte
	for _, r := range rows {
		values := make([]string, len(at))
		for i, a := range at {
			values[i] = r[a]
		}
		out = append(out, row(values...))
	}
	return s.rows("SELECT", f, out...)
}

// class answers with OID, replica identity and kind of a table.
func (s *Session) class(q string) error {
	schema, name := literals(q, "n.nspname = "), literals(q, "c.relname = ")
	var rows [][]string
	if len(schema) == 1 && len(name) == 1 {
		if oid, ok := s.p.tableNamed(schema[0], name[0]); ok {
			rows = append(rows, []string{strconv.FormatUint(uint64(oid), 10), "d", "r"})
		}
	}
	return s.project(q, []column{{"c.oid", oidOID}, {"c.relreplident", oidChar}, {"c.relkind", oidChar}}, rows)
}

func (p *Publisher) tableNamed(schema, name string) (oid uint32, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for oid, t := range p.tables {
		if t.relation.Schema == schema && t.relation.Name == name {
			return oid, true
		}
	}
	return 0, false
}

// tableNow returns a table as it is now.
func (p *Publisher) tableNow(oid uint32) *table {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tables[oid].clone()
}

// attributes answers with number, name, type, modifier and being part of the key, of each
// column.
func (s *Session) attributes(q string) error {
	m := regexp.MustCompile(`a\.attrelid = (\d+)`).FindStringSubmatch(q)
	if m == nil {
		return wire.Errorf(wire.CodeFeatureNotSupported, "this server knows no such query of pg_attribute")
	}
	oid, err := strconv.ParseUint(m[1], 10, 32)
	if err != nil {
		return wire.Errorf(wire.CodeInvalidTextRepresentation, "%s is no OID", m[1])
	}
	var rows [][]string
	if r, ok := s.p.relation(uint32(oid)); ok {
		for i, c := range r.Columns {
			rows = append(rows, []string{
				strconv.Itoa(i + 1), c.Name, strconv.FormatUint(uint64(c.TypeOID), 10), strconv.Itoa(int(c.TypeMod)), map[bool]string{true: "t", false: "f"}[c.Key],
			})
		}
	}
	return s.project(q, []column{
		{"a.attnum", oidInt2}, {"a.attname", oidName}, {"a.atttypid", oidOID}, {"a.atttypmod", oidInt4}, {"a.attnum = ANY(i.indkey)", oidBool},
	}, rows)
}

// copy sends a table's rows: COPY schema.table [(column, …)] TO STDOUT.
func (s *Session) copy(q string) error {
	l := newLexer(q)
	l.keyword("COPY")
	schema := l.ident()
	if !l.punct('.') {
		l.unexpected()
	}
	name := l.ident()
	var columns []string
	if l.punct('(') {
		for l.err == nil {
			columns = append(columns, l.ident())
			if l.punct(')') {
				break
			}
			if !l.punct(',') {
				l.unexpected()
			}
		}
	}
	if !l.keyword("TO") || !l.keyword("STDOUT") {
		l.unexpected()
	}
	if err := l.end(); err != nil {
		return err
	}
	oid, ok := s.p.tableNamed(schema, name)
	t := s.snapshot[oid]
	if ok && t == nil { // no snapshot, or the table was made after it
		t = s.p.tableNow(oid)
	}
	if t == nil {
		return wire.Errorf(wire.CodeUndefinedTable, "relation \"%s.%s\" does not exist", schema, name)
	}
	at, err := t.positions(columns)
	if err != nil {
		return err
	}
	return s.copyRows(t, at)
}

// positions returns where columns are in a row; none means all.
func (t *table) positions(columns []string) ([]int, error) {
	var at []int
	if columns == nil {
		for i := range t.relation.Columns {
			at = append(at, i)
		}
		return at, nil
	}
	for _, name := range columns {
		i := slices.IndexFunc(t.relation.Columns, func(c pgoutput.Column) bool { return c.Name == name })
		if i < 0 {
			return nil, wire.Errorf(wire.CodeUndefinedColumn, "column %q of relation %q does not exist", name, t.relation.Name)
		}
		at = append(at, i)
	}
	return at, nil
}

func (s *Session) copyRows(t *table, at []int) error {
	w, err := s.out.CopyOut(len(at))
	if err != nil {
		return err
	}
	n := 0
	var line []byte
	for _, r := range t.all() {
		line = line[:0]
		for i, column := range at {
			if i > 0 {
				line = append(line, '\t')
			}
			line = appendCopyText(line, r[column])
		}
		line = append(line, '\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
		n++
	}
	if err := w.Close(); err != nil {
		return err
	}
	return s.out.Complete("COPY " + strconv.Itoa(n))
}

// appendCopyText writes a value in COPY's text format (CopyAttributeOutText in copyto.c).
func appendCopyText(b []byte, v pgoutput.Value) []byte {
	if v.Kind == pgoutput.Null {
		return append(b, `\N`...)
	}
	for _, c := range v.Data {
		switch c {
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '\v':
			b = append(b, `\v`...)
		case '\\':
			b = append(b, `\\`...)
		default:
			b = append(b, c)
		}
	}
	return b
}
