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

// SpoilTable takes a slot of the guest's function table, as a library that fails to load
// does.
func SpoilTable(s *Server) {
	_ = s.b.do(context.Background(), func() error { return s.b.in.SpoilTable() })
}
