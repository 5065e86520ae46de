package commands

import "syscall"

// openUmask takes the owner's bits out of the umask: under one like 0777 we, and the servers
// that we start, could not use the files and directories that we make. What others may is as
// the umask says.
func openUmask() {
	old := syscall.Umask(0o077) // it cannot be read without being set
	syscall.Umask(old &^ 0o700)
}
