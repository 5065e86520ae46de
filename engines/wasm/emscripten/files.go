package emscripten

import (
	"io"
	"syscall"
)

// vector runs op over an iovec until it is short, and stores the total.
func (p *Process) vector(s []uint64, into uint32, op func(d *description, b []byte, done int64) (int, error)) {
	d := p.fd(s[0])
	if d == nil {
		result(s, eBADF)
		return
	}
	iov, total := uint32(s[1]), 0
	for range uint32(s[2]) {
		addr, n := p.u32(iov), p.u32(iov+4)
		iov += 8
		if n == 0 {
			continue
		}
		k, err := op(d, p.view(addr, n), int64(total))
		total += k
		if err != nil {
			result(s, errno(err))
			return
		}
		if k < int(n) {
			break
		}
	}
	p.putU32(into, uint32(total))
	result(s, 0)
}

func fileCalls() map[string]Call {
	sync := func(negative bool) Call {
		return func(p *Process, s []uint64) {
			var err error
			if d := p.fd(s[0]); d == nil {
				err = syscall.EBADF
			} else if d.file != nil && !p.NoSync {
				err = d.file.Sync()
			}
			if e := errno(err); negative {
				result(s, -e)
			} else {
				result(s, e)
			}
		}
	}
	return map[string]Call{
		"fd_close": func(p *Process, s []uint64) { result(s, errno(p.close(int(int32(s[0]))))) },
		"fd_read": func(p *Process, s []uint64) {
			p.vector(s, uint32(s[3]), func(d *description, b []byte, _ int64) (int, error) { return p.read(d, b) })
		},
		"fd_write": func(p *Process, s []uint64) {
			p.vector(s, uint32(s[3]), func(d *description, b []byte, _ int64) (int, error) { return p.write(d, b) })
		},
		"fd_pread": func(p *Process, s []uint64) {
			off := int64(s[3])
			p.vector(s, uint32(s[4]), func(d *description, b []byte, done int64) (int, error) {
				if d.file == nil {
					return p.read(d, b)
				}
				return d.file.ReadAt(b, off+done)
			})
		},
		"fd_pwrite": func(p *Process, s []uint64) {
			off := int64(s[3])
			p.vector(s, uint32(s[4]), func(d *description, b []byte, done int64) (int, error) {
				if d.file == nil {
					return p.write(d, b)
				}
				n, err := d.file.WriteAt(b, off+done)
				p.wrote(d, n)
				return n, err
			})
		},
		"fd_sync":             sync(false),
		"__syscall_fdatasync": sync(true),
		"fd_seek":             func(p *Process, s []uint64) { p.seek(s) },
		"__syscall_ftruncate64": func(p *Process, s []uint64) {
			d := p.fd(s[0])
			if d == nil || d.file == nil {
				result(s, -eBADF)
				return
			}
			result(s, -errno(d.file.Truncate(int64(s[1]))))
		},
		"__syscall_truncate64": func(p *Process, s []uint64) {
			d, err := p.open(p.abs(atCwd, p.String(uint32(s[0]))), 2, 0)
			if err == nil && d.file != nil {
				err = d.file.Truncate(int64(s[1]))
				if cerr := d.file.Close(); err == nil {
					err = cerr
				}
			}
			result(s, -errno(err))
		},
		"__syscall_fallocate": func(p *Process, s []uint64) {
			d := p.fd(s[0])
			if d == nil || d.file == nil {
				result(s, -eBADF)
				return
			}
			st, err := d.file.Stat()
			if end := int64(s[2]) + int64(s[3]); err == nil && st.Size < end {
				err = d.file.Truncate(end)
			}
			result(s, -errno(err))
		},
		"__syscall_fadvise64": ok,
	}
}

func (p *Process) seek(s []uint64) {
	d := p.fd(s[0])
	switch {
	case d == nil:
		result(s, eBADF)
		return
	case d.dev == standard || d.dev == pipeRead || d.dev == pipeWrite:
		result(s, eSPIPE)
		return
	}
	pos := int64(s[1])
	switch int(int32(s[2])) {
	case io.SeekCurrent:
		pos += d.pos
	case io.SeekEnd:
		st, err := d.stat()
		if err != nil {
			result(s, errno(err))
			return
		}
		pos += st.Size
	}
	if pos < 0 {
		result(s, eINVAL)
		return
	}
	d.pos = pos
	if pos == 0 {
		d.dirOK = false // rewinddir
	}
	p.putU64(uint32(s[3]), uint64(pos))
	result(s, 0)
}
