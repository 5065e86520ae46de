package pgserver

import (
	"errors"
	"net"
	"sync"
	"time"
)

// longAgo is a deadline that interrupts a read at once.
var longAgo = time.Unix(1, 0)

// input is what the session's wire.Reader reads from. It sends what waits to be sent before it
// blocks, so that answers to pipelined messages go out together; and while a query runs it can
// watch for the client's end.
type input struct {
	nc    net.Conn
	flush func() error // called before each read from the network

	mu       sync.Mutex
	watching chan struct{} // closed by the watcher when it has ended
	have     bool          // the watcher read a byte
	b        [1]byte
}

// Read reads from the connection. The watcher must not be running.
func (in *input) Read(p []byte) (int, error) {
	if err := in.flush(); err != nil {
		return 0, err
	}
	if in.have {
		in.have = false
		p[0] = in.b[0]
		return 1, nil
	}
	return in.nc.Read(p)
}

// watch starts to wait for the client's end, and calls gone if it comes. A byte that comes is
// kept and ends the watch: the client is there and has more to say.
func (in *input) watch(gone func()) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.watching != nil || in.have {
		return
	}
	done := make(chan struct{})
	in.watching = done
	go func() {
		defer close(done)
		n, err := in.nc.Read(in.b[:])
		if n == 1 {
			in.have = true // read after <-done only
			return
		}
		if ne, ok := errors.AsType[net.Error](err); err != nil && (!ok || !ne.Timeout()) {
			gone()
		}
	}()
}

// unwatch ends the watch and waits for it.
func (in *input) unwatch() {
	in.mu.Lock()
	done := in.watching
	in.watching = nil
	in.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case <-done:
	default:
		_ = in.nc.SetReadDeadline(longAgo)
		<-done
		_ = in.nc.SetReadDeadline(time.Time{})
	}
}
