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

// ScratchStore makes the store of an engine that keeps nothing.
func ScratchStore(e *Engine) (string, error) { return e.scratchStore() }

// Abandon gives the lock of that store up, as a process that is killed does.
func Abandon(e *Engine) error { return e.hold.Unlock() }

// Sweep does what every engine does first.
func Sweep() { sweepTemp() }
