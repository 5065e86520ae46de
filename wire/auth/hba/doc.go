// Package hba reads the two files that decide who may connect and how: pg_hba.conf and
// pg_ident.conf, in PostgreSQL's own syntax (src/backend/libpq/hba.c), includes among them.
//
// [Parse] makes [Rules] of a file; every error names file and line, and all errors are told at
// once. [Rules.Match] finds the first rule that fits a connection; no rule is a refusal, as in
// PostgreSQL. Looking up host names and roles is the caller's: see [Env].
//
// Regular expressions are Go's (RE2), not PostgreSQL's: back references inside a pattern do
// not exist, everything an hba file commonly holds is the same.
package hba
