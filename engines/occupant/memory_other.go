//go:build !linux

package occupant

// FreeMemory does nothing: what a killed server leaves in shared memory stays until the
// machine is restarted.
func FreeMemory(string) {}
