package emscripten

import (
	"io/fs"
	"syscall"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// atCwd is AT_FDCWD as an argument.
const atCwd = uint64(0xffffff9c)

func pathCalls() map[string]Call {
	path1 := func(op func(p *Process, path string, s []uint64) error) Call {
		return func(p *Process, s []uint64) {
			result(s, -errno(op(p, p.abs(atCwd, p.String(uint32(s[0]))), s)))
		}
	}
	at := func(op func(p *Process, path string, s []uint64) error) Call {
		return func(p *Process, s []uint64) {
			result(s, -errno(op(p, p.abs(s[0], p.String(uint32(s[1]))), s)))
		}
	}
	two := func(op func(f *guestfs.FS, from, to string) error) Call {
		return func(p *Process, s []uint64) {
			from, to := p.abs(s[0], p.String(uint32(s[1]))), p.abs(s[2], p.String(uint32(s[3])))
			result(s, -errno(op(p.FS, from, to)))
		}
	}
	return map[string]Call{
		"__syscall_openat": func(p *Process, s []uint64) {
			var mode uint32
			if uint32(s[3]) != 0 {
				mode = p.u32(uint32(s[3]))
			}
			d, err := p.open(p.abs(s[0], p.String(uint32(s[1]))), int(int32(s[2])), mode)
			if err != nil {
				result(s, -errno(err))
				return
			}
			result(s, int32(p.install(d, 0)))
		},
		"__syscall_faccessat": at(func(p *Process, path string, s []uint64) error {
			if _, ok := deviceOf(path); ok {
				return nil
			}
			_, err := p.FS.Stat(path)
			return err
		}),
		"__syscall_chmod":     path1(func(p *Process, path string, s []uint64) error { return p.FS.Chmod(path, fs.FileMode(s[1]&0o777)) }),
		"__syscall_fchmodat2": at(func(p *Process, path string, s []uint64) error { return p.FS.Chmod(path, fs.FileMode(s[2]&0o777)) }),
		"__syscall_fchmod": func(p *Process, s []uint64) {
			d := p.fd(s[0])
			if d == nil || d.file == nil {
				result(s, -eBADF)
				return
			}
			result(s, -errno(p.FS.Chmod(d.path, fs.FileMode(s[1]&0o777))))
		},
		"__syscall_fchownat":  ok, // one user owns everything
		"__syscall_fchown32":  ok,
		"__syscall_utimensat": ok, // nothing in PostgreSQL depends on file times
		"__syscall_mkdirat":   at(func(p *Process, path string, s []uint64) error { return p.FS.Mkdir(path, fs.FileMode(s[2]&0o777)) }),
		"__syscall_rmdir":     path1(func(p *Process, path string, _ []uint64) error { return p.FS.Remove(path, true) }),
		"__syscall_unlinkat": at(func(p *Process, path string, s []uint64) error {
			const atRemovedir = 0x200
			return p.FS.Remove(path, s[2]&atRemovedir != 0)
		}),
		"__syscall_renameat": two((*guestfs.FS).Rename),
		"__syscall_linkat":   two((*guestfs.FS).Link),
		"__syscall_symlinkat": func(p *Process, s []uint64) {
			result(s, -errno(p.FS.Symlink(p.String(uint32(s[0])), p.abs(s[1], p.String(uint32(s[2]))))))
		},
		"__syscall_readlinkat": func(p *Process, s []uint64) {
			target, err := p.FS.Readlink(p.abs(s[0], p.String(uint32(s[1]))))
			if err != nil {
				result(s, -errno(err))
				return
			}
			result(s, int32(copy(p.view(uint32(s[2]), uint32(s[3])), target)))
		},
		"__syscall_getdents64": func(p *Process, s []uint64) { p.getdents(s) },
		"__syscall_statfs64":   nosys,
	}
}

// getdents fills a buffer with Emscripten's struct dirent: 280 bytes each, of d_ino, d_off,
// d_reclen, d_type and a name of 256 bytes.
func (p *Process) getdents(s []uint64) {
	const size = 280
	d := p.fd(s[0])
	if d == nil || d.file == nil {
		result(s, -eBADF)
		return
	}
	if !d.dirOK {
		entries, err := p.FS.ReadDir(d.path)
		if err != nil {
			result(s, -errno(err))
			return
		}
		d.dir, d.dirOK, d.pos = entries, true, 0
	}
	n := min(int(uint32(s[2]))/size, len(d.dir))
	if n == 0 && len(d.dir) > 0 {
		result(s, -errno(syscall.EINVAL))
		return
	}
	buf := p.view(uint32(s[1]), uint32(n*size))
	clear(buf)
	for i, e := range d.dir[:n] {
		b := buf[i*size:]
		d.pos++
		le.PutUint64(b, uint64(d.pos)+10)
		le.PutUint64(b[8:], uint64(d.pos*size))
		le.PutUint16(b[16:], size)
		b[18] = 8 // DT_REG
		if e.IsDir() {
			b[18] = 4 // DT_DIR
		} else if e.Type()&fs.ModeSymlink != 0 {
			b[18] = 10 // DT_LNK
		}
		copy(b[19:size-1], e.Name())
	}
	d.dir = d.dir[n:]
	result(s, int32(n*size))
}
