//go:build !linux

package native

// removeMemory does nothing: what a killed server leaves in shared memory stays until the
// machine is restarted.
func removeMemory(string) {}
