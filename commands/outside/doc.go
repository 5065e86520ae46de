// Package outside tests pgx-dev as its users have it: as a process of its own, with the real
// clients, test runners and shells that people use, and killed at any moment. It holds nothing
// but tests; the transcripts of single commands are in testdata/script.
package outside
