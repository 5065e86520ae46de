// Package native runs real PostgreSQL servers: it finds or fetches the programs, makes
// data directories from a cached initdb, and starts and stops the postmaster.
package native
