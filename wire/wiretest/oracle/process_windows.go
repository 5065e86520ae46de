package oracle

import (
	"os"
	"syscall"
)

// identity says as whom the server runs: as we do.
func (s *Server) identity() (*syscall.SysProcAttr, error) { return nil, nil }

// stopNow ends the postmaster; its children follow.
func stopNow(p *os.Process) error { return p.Kill() }
