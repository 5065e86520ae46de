//go:build !linux

package pgserver

import (
	"errors"
	"net"
)

const canPeer = false

func peerUser(net.Conn) (string, error) {
	return "", errors.New("peer authentication is supported on Linux only")
}
