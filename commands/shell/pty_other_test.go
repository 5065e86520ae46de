//go:build !linux

package shell_test

// child is the other end of a pseudo-terminal, which only Linux's tests have.
func child(string) int { return 2 }
