//go:build unix

package oracle

import (
	"os"
	"syscall"
)

// identity says as whom the server runs: PostgreSQL refuses to run as root.
func (s *Server) identity() (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	const nobody = 65534
	if err := os.Chown(s.Dir, nobody, nobody); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}, nil
}

// stopNow asks for an immediate shutdown.
func stopNow(p *os.Process) error { return p.Signal(syscall.SIGQUIT) }
