package native

import "golang.org/x/sys/unix"

// lowerPriority makes the calling thread yield to every other one: on Linux the nice value is
// a thread's own (setpriority(2), NOTES). There is nothing to do about an error: the work is
// then done at the usual priority.
func lowerPriority() { _ = unix.Setpriority(unix.PRIO_PROCESS, 0, 19) }
