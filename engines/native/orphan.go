package native

import (
	"errors"
	"syscall"
	"time"
)

// endChildren ends what is left of a postmaster that was killed: backends that still hold
// its shared memory. They end by themselves as soon as they notice, which an idle one of
// an old version does not. The caller holds the directory's lock and knows that no
// postmaster runs there. It returns how many there were.
func endChildren(dir string, waited time.Duration) (left int) {
	sig := syscall.SIGQUIT
	if waited > time.Second {
		sig = syscall.SIGKILL
	}
	pids := postgresIn(dir)
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig)
	}
	return len(pids)
}

// awaitChildren ends what is left of a postmaster that was killed, and waits for that.
func awaitChildren(dir string) {
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		if endChildren(dir, time.Since(began)) == 0 {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

// endOrphan tells a postmaster whose owner is dead to stop. The death signal has normally
// done so; this is for a watchdog that was killed too, and a shutdown that hangs.
func endOrphan(pid int, waited time.Duration) error {
	var sig syscall.Signal
	switch {
	case waited > 15*time.Second:
		return errors.New("it does not stop")
	case waited > 10*time.Second:
		sig = syscall.SIGQUIT
	case waited > 100*time.Millisecond:
		sig = syscall.SIGINT
	default:
		return nil
	}
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}
