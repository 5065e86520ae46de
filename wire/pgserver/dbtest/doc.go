// Package dbtest tests pgserver.DB with a real driver. It is apart from pgserver because fuzzing
// instruments all that a package's tests import, and a database takes minutes to instrument.
package dbtest
