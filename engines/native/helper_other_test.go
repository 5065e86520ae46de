//go:build !linux

package native

// runHelper is not needed: the tests with helper processes are about Linux.
func runHelper(string) {}
