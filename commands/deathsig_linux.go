package commands

import (
	"os/exec"
	"runtime"
	"syscall"
)

// dieWithUs has the kernel kill cmd when this process is killed. It has to be called by the
// goroutine that starts cmd, which has to call release when cmd has ended: the kernel
// watches the thread that started it, not the process.
func dieWithUs(cmd *exec.Cmd) (release func()) {
	runtime.LockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return runtime.UnlockOSThread
}
