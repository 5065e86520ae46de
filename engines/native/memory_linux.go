package native

import "golang.org/x/sys/unix"

// removeMemory removes the System V shared memory segment that a killed server left and
// that only a next start in its directory would find. The directory is about to be
// removed. A segment that somebody uses, or that postgres removed already, is let be.
func removeMemory(dir string) {
	f, err := readPIDFile(dir)
	if err != nil || f.memory == 0 || f.serves(dir) {
		return
	}
	var desc unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(f.memory, unix.IPC_STAT, &desc); err != nil || desc.Nattch != 0 || int(desc.Cpid) != f.pid {
		return
	}
	_, _ = unix.SysvShmCtl(f.memory, unix.IPC_RMID, nil)
}
