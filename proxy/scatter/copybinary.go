package scatter

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route"
)

// copyBinary refuses a COPY in binary of values that have numbers of types in them, where the
// shards have other numbers: the data go by as they are.
func (s *Session) copyBinary(ctx context.Context, d *route.Decision, branches []*branch, options map[string]string, query string) error {
	if !strings.EqualFold(options["format"], "binary") {
		return nil
	}
	for _, b := range branches {
		o := b.l.oids
		if o == nil {
			continue
		}
		t := translation{o.server, o.toClient}
		refused := func(name string) error {
			return refuse("COPY in binary of column "+quoteIdent(name)+", whose values have numbers of types in them that are not the same on all shards", "use the text format, or CSV")
		}
		if query != "" {
			st := &statement{sql: query}
			if err := s.describe(ctx, st); err != nil {
				return err
			}
			for _, f := range st.fields {
				if t.deep(o.serverOf(f.TypeOID)) {
					return refused(f.Name)
				}
			}
			return nil
		}
		c := d.Plan.Copy
		rows, err := b.l.table(fmt.Sprintf("SELECT attname, atttypid FROM pg_catalog.pg_attribute WHERE attrelid = %s::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped",
			quoteLiteral(quoteIdent(c.Schema)+"."+quoteIdent(c.Table))))
		if err != nil {
			return unplaced(err)
		}
		for _, row := range rows {
			oid, err := strconv.ParseUint(string(row[1]), 10, 32)
			if err != nil {
				return badRow()
			}
			if t.deep(uint32(oid)) && (c.Columns == nil || slices.Contains(c.Columns, string(row[0]))) {
				return refused(string(row[0]))
			}
		}
		return nil
	}
	return nil
}

// quoteLiteral is a string as SQL has it, whatever standard_conforming_strings says.
func quoteLiteral(s string) string {
	s = strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		return " E'" + strings.ReplaceAll(s, `\`, `\\`) + "'"
	}
	return "'" + s + "'"
}
