package wasm

import (
	"context"
	"errors"
)

// Crash makes the server's guest trap.
func Crash(s *Server) {
	go func() {
		_ = s.b.do(context.Background(), func() error { panic(errors.New("a trap, for a test")) })
	}()
}
