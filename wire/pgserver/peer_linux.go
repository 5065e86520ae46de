package pgserver

import (
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"syscall"
)

const canPeer = true

// peerUser returns the operating system's user at the other end of a Unix socket
// (getpeereid; SO_PEERCRED on Linux).
func peerUser(nc net.Conn) (string, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return "", errors.New("the connection is no socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return "", err
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return "", err
	}
	if credErr != nil {
		return "", fmt.Errorf("ask who the peer is: %w", credErr)
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(cred.Uid), 10))
	if err != nil {
		return "", err
	}
	return u.Username, nil
}
