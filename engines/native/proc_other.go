//go:build !linux

package native

// startedByUs cannot be told without /proc; the record of the last start has to do.
func startedByUs(int, string) bool { return false }

// postgresIn returns nothing: it cannot be told where a process works.
func postgresIn(string) []int { return nil }
