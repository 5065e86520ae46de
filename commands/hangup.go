package commands

import (
	"os"
	"syscall"
)

// reloads returns a channel that gets a value for each SIGHUP from now on, as servers take
// it for "read your files again". With a terminal SIGHUP says that it is gone, and ends us
// as ever: then the channel stays silent.
func (e *Env) reloads() <-chan struct{} {
	c := make(chan struct{}, 1)
	if tty, err := os.Open("/dev/tty"); err == nil {
		_ = tty.Close()
		return c
	}
	e.hangup.Store(&c)
	return c
}

// takes reports whether a signal is none that ends us: somebody else here has it.
func (e *Env) takes(sig os.Signal) bool {
	switch sig {
	case syscall.SIGHUP:
		return e.hungUp()
	case syscall.SIGQUIT:
		return e.quits.Load() > 0
	}
	return false
}

// hungUp takes a SIGHUP for whoever asked for it.
func (e *Env) hungUp() bool {
	c := e.hangup.Load()
	if c == nil {
		return false
	}
	select {
	case *c <- struct{}{}:
	default: // one is waiting already
	}
	return true
}
