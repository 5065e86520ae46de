package lease

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// PeerOf returns the process and the user at the other end of a unix socket, as they were
// when it connected.
func PeerOf(conn *net.UnixConn) (pid, uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = credErr
	}
	if err != nil {
		return 0, 0, fmt.Errorf("ask who is connected: %w", err)
	}
	return int(cred.Pid), int(cred.Uid), nil
}
