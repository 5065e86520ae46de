//go:build !linux

package native

// lowerPriority does nothing: elsewhere the nice value is the whole process's.
func lowerPriority() {}
