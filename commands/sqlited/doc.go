// Package sqlited makes a PostgreSQL server of a SQLite database: SQL is SQLite's, but for
// what PostgreSQL's clients write as a matter of course (casts, arrays, catalog names), and
// what they ask of pg_catalog and information_schema is answered from SQLite's own schema.
package sqlited
