package emscripten

import (
	"io/fs"
	"path"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// putStat writes Emscripten's struct stat (96 bytes). Everything belongs to root, as the
// guest does.
func (p *Process) putStat(addr uint32, st guestfs.Stat) {
	mode := uint32(st.Mode.Perm())
	switch {
	case st.Mode.IsDir():
		mode |= 0o040000
	case st.Mode&fs.ModeSymlink != 0:
		mode |= 0o120000
	case st.Mode&fs.ModeCharDevice != 0:
		mode |= 0o020000
	default:
		mode |= 0o100000
	}
	b := p.view(addr, 96)
	clear(b)
	le.PutUint32(b[0:], 1)
	le.PutUint32(b[4:], mode)
	le.PutUint32(b[8:], st.Nlink)
	le.PutUint64(b[24:], uint64(st.Size))
	le.PutUint32(b[32:], 4096)
	le.PutUint32(b[36:], uint32((st.Size+511)/512))
	for _, at := range []int{40, 56, 72} { // access, modification, change
		le.PutUint64(b[at:], uint64(st.Mtime.Unix()))
		le.PutUint32(b[at+8:], uint32(st.Mtime.Nanosecond()))
	}
	le.PutUint64(b[88:], st.Ino)
}

func (p *Process) statPath(name string, follow bool) (guestfs.Stat, error) {
	if dev, ok := deviceOf(path.Clean(name)); ok {
		return (&description{dev: dev}).stat()
	}
	if follow {
		return p.FS.Stat(name)
	}
	return p.FS.Lstat(name)
}

func statCalls() map[string]Call {
	const atSymlinkNofollow = 0x100
	put := func(p *Process, s []uint64, addr uint64, st guestfs.Stat, err error) {
		if err == nil {
			p.putStat(uint32(addr), st)
		}
		result(s, -errno(err))
	}
	return map[string]Call{
		"__syscall_stat64": func(p *Process, s []uint64) {
			st, err := p.statPath(p.abs(atCwd, p.String(uint32(s[0]))), true)
			put(p, s, s[1], st, err)
		},
		"__syscall_lstat64": func(p *Process, s []uint64) {
			st, err := p.statPath(p.abs(atCwd, p.String(uint32(s[0]))), false)
			put(p, s, s[1], st, err)
		},
		"__syscall_fstat64": func(p *Process, s []uint64) {
			d := p.fd(s[0])
			if d == nil {
				result(s, -eBADF)
				return
			}
			st, err := d.stat()
			put(p, s, s[1], st, err)
		},
		"__syscall_newfstatat": func(p *Process, s []uint64) {
			name := p.String(uint32(s[1]))
			if d := p.fd(s[0]); name == "" && d != nil {
				st, err := d.stat()
				put(p, s, s[2], st, err)
				return
			}
			st, err := p.statPath(p.abs(s[0], name), s[3]&atSymlinkNofollow == 0)
			put(p, s, s[2], st, err)
		},
	}
}
