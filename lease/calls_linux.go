package lease

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of a hall never wait, so they are made without a word to Go's scheduler.
// With it, the first call after a pause wakes the runtime's watchdog thread (sysmon, by a
// futex), which takes as long as all that a grant takes besides, and keeps it ticking.

// rawAccept accepts from a socket that does not block.
func rawAccept(door int) (int, syscall.Errno) {
	fd, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(door), 0, 0, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0, 0)
	return int(fd), errno
}

// rawPeer returns who connected a socket.
func rawPeer(fd int) (cred unix.Ucred, errno syscall.Errno) {
	size := uint32(unix.SizeofUcred)
	_, _, errno = syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERCRED,
		uintptr(unsafe.Pointer(&cred)), uintptr(unsafe.Pointer(&size)), 0)
	return cred, errno
}

// rawRead reads into b, which is not empty, from a socket that does not block.
func rawRead(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

// rawWrite writes b, which is not empty, to a socket that does not block.
func rawWrite(fd int, b []byte) {
	_, _, _ = syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
}

func rawClose(fd int) {
	_, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

// rawWatch makes an epoll instance report that fd can be read from.
func rawWatch(ep, fd int) syscall.Errno {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)}
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(ep), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&e)), 0, 0)
	return errno
}

// rawPoll returns what an epoll instance has to report now.
func rawPoll(ep int, events []unix.EpollEvent) []unix.EpollEvent {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return nil
	}
	return events[:n]
}
