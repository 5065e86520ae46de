//go:build unix

package proxy

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// buffers are for sessions that have something to read: one that waits for its client needs
// none.
type buffers struct{ sync.Pool }

const bufferSize = 8 << 10

func (b *buffers) get() []byte {
	if p, ok := b.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return new([bufferSize]byte)[:]
}

func (b *buffers) put(p []byte) {
	if len(p) == bufferSize && cap(p) == bufferSize {
		b.Put((*[bufferSize]byte)(p))
	}
}

// A reader reads from a client into a buffer that is there only when bytes are.
type reader struct {
	raw  syscall.RawConn // nil: of no use, because of TLS
	buf  []byte          // what was read, until it is given back
	n    int
	err  error
	try  func(fd uintptr) bool
	pool *buffers
}

func newReader(nc net.Conn, pool *buffers) *reader {
	c, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	r := &reader{raw: raw, pool: pool}
	r.try = r.attempt
	return r
}

// attempt reads without waiting, and reports whether there was something.
func (r *reader) attempt(fd uintptr) bool {
	buf := r.pool.get()
	for {
		r.n, r.err = syscall.Read(int(fd), buf)
		if r.err != syscall.EINTR { //nolint:errorlint // a system call's error is the number itself
			break
		}
	}
	switch {
	case r.n > 0:
		r.buf = buf
		return true
	case r.err == syscall.EAGAIN: //nolint:errorlint // as above
		r.pool.put(buf)
		return false
	case r.err == nil:
		r.err = io.EOF
	}
	r.pool.put(buf)
	return true
}

// read waits for bytes and returns them with the buffer that they are in, to be given back.
func (r *reader) read() (buf []byte, n int, err error) {
	r.buf = nil
	if err := r.raw.Read(r.try); err != nil {
		return nil, 0, err
	}
	if r.buf == nil {
		return nil, 0, r.err
	}
	return r.buf, r.n, nil
}
