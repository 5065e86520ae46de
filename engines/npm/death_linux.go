package npm

import "syscall"

// setDeathSignal has the child killed when the thread that starts it ends.
func setDeathSignal(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
