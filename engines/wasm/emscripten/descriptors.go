package emscripten

import (
	"bytes"
	"time"
)

func descriptorCalls() map[string]Call {
	return map[string]Call{
		"__syscall_dup": func(p *Process, s []uint64) { p.dup(s, 0) },
		"__syscall_dup3": func(p *Process, s []uint64) {
			d, to := p.fd(s[0]), int(int32(s[1]))
			if d == nil || to < 0 {
				result(s, -eBADF)
				return
			}
			p.replace(to, d)
			result(s, int32(to))
		},
		"__syscall_fcntl64": func(p *Process, s []uint64) { p.fcntl(s) },
		"__syscall_ioctl":   func(_ *Process, s []uint64) { result(s, -eNOTTY) },
		"__syscall_pipe2":   pipe,
		"__syscall_pipe":    pipe,
		"__syscall_poll":    func(p *Process, s []uint64) { p.poll(s) },
		"fd_fdstat_get": func(p *Process, s []uint64) {
			d := p.fd(s[0])
			if d == nil {
				result(s, eBADF)
				return
			}
			b := p.view(uint32(s[1]), 24)
			clear(b)
			b[0] = 4 // regular file
			if d.file == nil {
				b[0] = 2 // character device
			}
			result(s, 0)
		},
	}
}

func pipe(p *Process, s []uint64) {
	buf := &bytes.Buffer{}
	r := p.install(&description{dev: pipeRead, pipe: buf, path: "pipe"}, 0)
	w := p.install(&description{dev: pipeWrite, pipe: buf, path: "pipe", flags: 1}, 0)
	p.putU32(uint32(s[0]), uint32(r))
	p.putU32(uint32(s[0])+4, uint32(w))
	result(s, 0)
}

func (p *Process) dup(s []uint64, least int) {
	d := p.fd(s[0])
	if d == nil {
		result(s, -eBADF)
		return
	}
	result(s, int32(p.install(d, least)))
}

func (p *Process) fcntl(s []uint64) {
	const fDupfd, fGetfl, fSetfl, fDupfdCloexec = 0, 3, 4, 1030
	d := p.fd(s[0])
	if d == nil {
		result(s, -eBADF)
		return
	}
	// The third argument is a pointer to the variable arguments.
	arg := func() int { return int(int32(p.u32(uint32(s[2])))) }
	switch int32(s[1]) {
	case fDupfd, fDupfdCloexec:
		p.dup(s, max(arg(), 0))
	case fGetfl:
		result(s, int32(d.flags))
	case fSetfl:
		const changeable = 0x400 | 0x800 // O_APPEND, O_NONBLOCK
		d.flags = d.flags&^changeable | arg()&changeable
		result(s, 0)
	default: // descriptor flags and record locks, which nobody else could see
		result(s, 0)
	}
}

// poll waits until a pipe can be read, the time is up, a timer of the guest is due, or
// somebody calls Wake. The last two end it with EINTR, as a signal would.
func (p *Process) poll(s []uint64) {
	fds, n, timeout := uint32(s[0]), uint32(s[1]), int32(s[2])
	if ready := p.ready(fds, n); ready > 0 || timeout == 0 {
		result(s, ready)
		return
	}
	if p.Alarms() {
		result(s, -eINTR)
		return
	}
	var expired <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(time.Duration(timeout) * time.Millisecond)
		defer t.Stop()
		expired = t.C
	}
	select {
	case <-p.wake:
		p.Alarms()
		result(s, -eINTR)
	case <-expired:
		result(s, p.ready(fds, n))
	}
}

// ready fills in the revents of a pollfd array and returns how many are not 0.
func (p *Process) ready(fds, n uint32) int32 {
	const pollIn, pollOut = 1, 4
	count := int32(0)
	for i := range n {
		at := fds + i*8
		fd, events := p.u32(at), uint16(p.u32(at+4))
		var revents uint16
		if d := p.fd(uint64(fd)); d != nil {
			switch d.dev {
			case pipeRead:
				if d.pipe.Len() > 0 {
					revents = pollIn
				}
			case pipeWrite:
				revents = pollOut
			case regular, null, zero, random:
				revents = pollIn | pollOut
			}
		}
		if revents &= events; revents != 0 {
			count++
		}
		p.putU32(at+4, uint32(events)|uint32(revents)<<16)
	}
	return count
}
