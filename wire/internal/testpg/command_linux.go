package testpg

import (
	"os"
	"os/exec"
	"syscall"
)

// command returns a command that does not run as root, which PostgreSQL refuses: in a user
// namespace root is somebody else, and files stay root's. The command ends with the test.
func command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	if os.Getuid() == 0 {
		const nobody = 65534 // has a passwd entry everywhere, which initdb wants
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: 0, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: 0, Size: 1}}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true}
	}
	return cmd
}

// killGroup kills the command's process group.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
