// Package sqlited makes a PostgreSQL server of a SQLite database: SQL goes to SQLite as it
// is, and what psql and other clients ask of pg_catalog to list databases, schemas, tables
// and columns is answered from SQLite's own schema.
package sqlited
