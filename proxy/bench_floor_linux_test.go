package proxy_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// floor is the least that can stand between clients and a pool of servers in Go: one raw epoll, one
// buffer, no locks, no counters, no look at what goes by but for the last byte of the answer. Clients
// that do not ask for a whole query or series at a time, or get answers longer than the buffer, are
// served wrongly. What the proxy takes beyond it is what it does for its clients.
func floor(ln net.Listener, dial func(context.Context) (net.Conn, error)) error {
	f := &floors{conns: map[int32]*floorConn{}}
	var err error
	if f.epoll, err = syscall.EpollCreate1(0); err != nil {
		return err
	}
	for range benchPool {
		nc, err := dial(context.Background())
		if err != nil {
			return err
		}
		startup := []byte("\x00\x00\x00\x00\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00")
		binary.BigEndian.PutUint32(startup, uint32(len(startup)))
		if err := floorLogin(nc, startup); err != nil {
			return err
		}
		c, err := f.add(nc)
		if err != nil {
			return err
		}
		f.idle = append(f.idle, c)
	}
	go f.run()
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		var head [4]byte
		if _, err := io.ReadFull(nc, head[:]); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, nc, int64(binary.BigEndian.Uint32(head[:]))-4); err != nil {
			return err
		}
		if _, err := nc.Write([]byte("R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I")); err != nil {
			return err
		}
		f.mu.Lock()
		_, err = f.add(nc)
		f.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// floorLogin logs in where that needs no password.
func floorLogin(nc net.Conn, startup []byte) error {
	if _, err := nc.Write(startup); err != nil {
		return err
	}
	b := make([]byte, 4096)
	for n := 0; ; {
		k, err := nc.Read(b[n:])
		if err != nil {
			return err
		}
		if n += k; n >= 6 && string(b[n-6:n-1]) == "Z\x00\x00\x00\x05" {
			return nil
		}
	}
}

type floorConn struct {
	fd    int32
	peer  *floorConn // the server of a client that has asked, and the other way round
	asked []byte     // by a client that waits for a server
}

type floors struct {
	epoll int
	idle  []*floorConn
	queue []*floorConn

	mu    sync.Mutex // taken once a turn
	conns map[int32]*floorConn
}

func (f *floors) add(nc net.Conn) (*floorConn, error) {
	file, err := nc.(interface {
		SyscallConn() (syscall.RawConn, error)
	}).SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &floorConn{fd: -1}
	if err := file.Control(func(fd uintptr) {
		if n, err := syscall.Dup(int(fd)); err == nil {
			c.fd = int32(n)
		}
	}); err != nil {
		return nil, err
	}
	_ = nc.Close()
	f.conns[c.fd] = c
	return c, syscall.EpollCtl(f.epoll, syscall.EPOLL_CTL_ADD, int(c.fd), &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: c.fd})
}

func (f *floors) run() {
	events := make([]syscall.EpollEvent, 256)
	buf := make([]byte, 64<<10)
	for {
		n, _, _ := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(f.epoll), uintptr(unsafe.Pointer(&events[0])), 256, 10, 0, 0)
		if int(n) < 1 {
			runtime.Gosched()
			continue
		}
		f.mu.Lock()
		for _, e := range events[:n] {
			c := f.conns[e.Fd]
			k := floorCall(syscall.SYS_RECVFROM, c.fd, buf, 0)
			if k < 1 || c.peer == nil && buf[0] == 'X' { // Terminate
				_ = syscall.Close(int(c.fd))
				delete(f.conns, e.Fd)
				continue
			}
			b := buf[:k]
			switch {
			case c.peer == nil && len(f.idle) == 0:
				c.asked = append(c.asked[:0], b...)
				f.queue = append(f.queue, c)
			case c.peer == nil:
				s := f.idle[len(f.idle)-1]
				f.idle = f.idle[:len(f.idle)-1]
				f.pair(c, s, b)
			default:
				floorCall(syscall.SYS_SENDTO, c.peer.fd, b, syscall.MSG_NOSIGNAL)
				if k < 6 || string(b[k-6:]) != "Z\x00\x00\x00\x05I" {
					break
				}
				c.peer.peer, c.peer = nil, nil
				if len(f.queue) == 0 {
					f.idle = append(f.idle, c)
					break
				}
				next := f.queue[0]
				f.queue = f.queue[:copy(f.queue, f.queue[1:])]
				f.pair(next, c, next.asked)
			}
		}
		f.mu.Unlock()
	}
}

func (f *floors) pair(c, s *floorConn, b []byte) {
	c.peer, s.peer = s, c
	floorCall(syscall.SYS_SENDTO, s.fd, b, syscall.MSG_NOSIGNAL)
}

func floorCall(call uintptr, fd int32, b []byte, flags uintptr) int {
	n, _, errno := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), flags, 0, 0)
	if errno != 0 {
		fmt.Fprintln(os.Stderr, "floor:", errno)
		return -1
	}
	return int(n)
}
