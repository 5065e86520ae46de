package shell

import (
	"context"
	"slices"
	"strings"
)

// completer completes names of relations and functions, words of SQL and backslash
// commands at the prompt.
func (s *shell) completer(ctx context.Context) func(before string) (int, []string) {
	return func(before string) (int, []string) {
		start := len(before)
		for start > 0 && (wordByte(before[start-1]) || strings.IndexByte(`."\+`, before[start-1]) >= 0) {
			start--
		}
		word := before[start:]
		if strings.HasPrefix(word, `\`) {
			return start, withPrefix(word, strings.Fields(commandNames))
		}
		if word == "" {
			return start, nil
		}
		candidates := withPrefix(strings.ToUpper(word), strings.Fields(keywords))
		if word == strings.ToLower(word) {
			for i, w := range candidates {
				candidates[i] = strings.ToLower(w)
			}
		}
		if s.conn == nil || s.conn.TxStatus() != 'I' { // a query of ours could end their transaction
			return start, candidates
		}
		return start, append(s.names(ctx, word), candidates...)
	}
}

// names returns the visible relations, schemas and columns that begin with a word; a
// person who presses Tab gets no error message if that fails.
func (s *shell) names(ctx context.Context, word string) []string {
	like := literal(strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(word) + "%")
	r, err := s.ask(ctx, `
SELECT DISTINCT name FROM (
  SELECT pg_catalog.quote_ident(c.relname) AS name FROM pg_catalog.pg_class c
  WHERE c.relkind IN ('r','v','m','f','p','S') AND pg_catalog.pg_table_is_visible(c.oid)
  UNION ALL SELECT pg_catalog.quote_ident(n.nspname) || '.' FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_(toast|temp)'
  UNION ALL SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r','v','m','f','p','S') AND pg_catalog.strpos(`+literal(word)+`, '.') > 0
  UNION ALL SELECT pg_catalog.quote_ident(a.attname)
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r','v','m','f','p')
    AND n.nspname NOT IN ('pg_catalog','information_schema') AND pg_catalog.pg_table_is_visible(c.oid)
) x WHERE name LIKE `+like+` AND (pg_catalog.left(name, 3) <> 'pg_' OR pg_catalog.left(`+literal(word)+`, 2) = 'pg')
ORDER BY 1 LIMIT 200`)
	if err != nil {
		return nil
	}
	var names []string
	for i := range r.rows {
		names = append(names, r.cell(i, 0))
	}
	return names
}

func withPrefix(prefix string, words []string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, prefix) })
}

const commandNames = `\! \? \a \c \connect \conninfo \copy \d \da \dE \df \di \dm \dn \ds \dS \dt \dT \du \dv \dx \e \echo
\g \gx \i \ir \l \o \p \pset \q \qecho \r \set \t \timing \warn \x`

// keywords are the words that statements are mostly made of.
const keywords = `ALTER ANALYZE AND AS ASC BEGIN BETWEEN BY CASCADE CASE CAST CHECK COALESCE COLUMN COMMENT COMMIT CONFLICT
CONSTRAINT COPY CREATE CROSS CURRENT_TIMESTAMP DATABASE DEFAULT DELETE DESC DISTINCT DO DROP ELSE END EXCEPT EXECUTE
EXISTS EXPLAIN EXTENSION FALSE FETCH FOREIGN FROM FULL FUNCTION GRANT GROUP HAVING ILIKE IN INDEX INNER INSERT INTERSECT
INTO IS JOIN KEY LATERAL LEFT LIKE LIMIT LISTEN MATERIALIZED MERGE NOT NOTHING NOTIFY NULL OFFSET ON OR ORDER OUTER OVER
PARTITION PREPARE PRIMARY REFERENCES REFRESH RELEASE REPLACE RETURNING REVOKE RIGHT ROLE ROLLBACK SAVEPOINT SCHEMA SELECT
SEQUENCE SET SHOW TABLE TEMPORARY THEN TO TRIGGER TRUE TRUNCATE TYPE UNION UNIQUE UPDATE USING VACUUM VALUES VIEW WHEN
WHERE WITH`
