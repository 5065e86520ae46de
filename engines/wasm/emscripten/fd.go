package emscripten

import (
	"bytes"
	"crypto/rand"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// A device is what a description is, if it is no file.
type device int

const (
	regular device = iota
	null
	zero
	random
	standard // descriptors 0, 1, 2
	pipeRead
	pipeWrite
	closedPipe // the end of a pipe whose other end is not known, after a restore
)

// A description is an open file description: what dup'ed descriptors share.
type description struct {
	path  string
	flags int
	dev   device
	std   int
	file  guestfs.File
	pos   int64
	refs  int
	pipe  *bytes.Buffer
	dir   []fs.DirEntry // what getdents has still to give, once read
	dirOK bool
}

func (p *Process) fd(n uint64) *description {
	if i := int(int32(n)); i >= 0 && i < len(p.fds) {
		return p.fds[i]
	}
	return nil
}

// install puts d into the lowest free descriptor from least on.
func (p *Process) install(d *description, least int) int {
	d.refs++
	for i := least; i < len(p.fds); i++ {
		if p.fds[i] == nil {
			p.fds[i] = d
			return i
		}
	}
	for len(p.fds) < least {
		p.fds = append(p.fds, nil)
	}
	p.fds = append(p.fds, d)
	return len(p.fds) - 1
}

// replace puts d into descriptor n, as dup2 does.
func (p *Process) replace(n int, d *description) {
	d.refs++
	for len(p.fds) <= n {
		p.fds = append(p.fds, nil)
	}
	_ = p.close(n)
	p.fds[n] = d
}

func (p *Process) close(n int) error {
	if n < 0 || n >= len(p.fds) || p.fds[n] == nil {
		return syscall.EBADF
	}
	d := p.fds[n]
	p.fds[n] = nil
	if d.refs--; d.refs == 0 && d.file != nil {
		return d.file.Close()
	}
	return nil
}

// abs returns the absolute guest path that a path and a directory descriptor stand for.
func (p *Process) abs(dirfd uint64, s string) string {
	const atFdcwd = -100
	if strings.HasPrefix(s, "/") {
		return s
	}
	if int32(dirfd) == atFdcwd {
		return p.Cwd + "/" + s
	}
	if d := p.fd(dirfd); d != nil {
		return d.path + "/" + s
	}
	return "/" + s
}

func deviceOf(name string) (device, bool) {
	switch name {
	case "/dev/null":
		return null, true
	case "/dev/zero":
		return zero, true
	case "/dev/urandom", "/dev/random":
		return random, true
	}
	return regular, false
}

func (p *Process) open(name string, flags int, mode uint32) (*description, error) {
	name = path.Clean(name)
	if dev, ok := deviceOf(name); ok {
		return &description{dev: dev, path: name, flags: flags}, nil
	}
	f, err := p.FS.Open(name, flags, fs.FileMode(mode&0o777))
	if err != nil {
		return nil, err
	}
	return &description{file: f, path: name, flags: flags}, nil
}

// Redirect makes descriptor fd a file, opened with guest flags.
func (p *Process) Redirect(fd int, name string, flags int) error {
	d, err := p.open(name, flags, 0o600)
	if err != nil {
		return err
	}
	p.replace(fd, d)
	return nil
}

func (p *Process) read(d *description, b []byte) (int, error) {
	switch d.dev {
	case regular:
		n, err := d.file.ReadAt(b, d.pos)
		d.pos += int64(n)
		return n, err
	case zero:
		clear(b)
		return len(b), nil
	case random:
		return rand.Read(b)
	case pipeRead:
		if d.pipe.Len() == 0 {
			return 0, syscall.EAGAIN
		}
		return d.pipe.Read(b)
	case standard:
		if d.std == 0 && p.Stdin != nil {
			n, _ := p.Stdin.Read(b)
			return n, nil
		}
	}
	return 0, nil
}

func (p *Process) write(d *description, b []byte) (int, error) {
	switch d.dev {
	case regular:
		if d.flags&guestfs.OAppend != 0 {
			st, err := d.file.Stat()
			if err != nil {
				return 0, err
			}
			d.pos = st.Size
		}
		n, err := d.file.WriteAt(b, d.pos)
		d.pos += int64(n)
		p.wrote(d, n)
		return n, err
	case pipeWrite:
		return d.pipe.Write(b)
	case standard:
		if d.std == 2 {
			return p.Stderr.Write(b)
		}
		return p.Stdout.Write(b)
	}
	return len(b), nil
}

func (p *Process) wrote(d *description, n int) {
	if p.Written != nil {
		p.Written(d.path, n)
	}
}

func (d *description) stat() (guestfs.Stat, error) {
	if d.file == nil {
		return guestfs.Stat{Mode: fs.ModeCharDevice | 0o666, Ino: uint64(d.dev) + 1, Nlink: 1}, nil
	}
	return d.file.Stat()
}

// A Descriptor is an open descriptor as plain data, for a snapshot.
type Descriptor struct {
	FD    int    `json:"fd"`
	Path  string `json:"path"`
	Flags int    `json:"flags"`
	Pos   int64  `json:"pos"`
	Dev   int    `json:"dev"`
	Std   int    `json:"std"`
}

// Descriptors returns the open descriptors.
func (p *Process) Descriptors() []Descriptor {
	var out []Descriptor
	for i, d := range p.fds {
		if d != nil {
			out = append(out, Descriptor{i, d.path, d.flags, d.pos, int(d.dev), d.std})
		}
	}
	return out
}

// Restore opens what Descriptors returned in another process. Pipes come back empty and
// closed at the far end.
func (p *Process) Restore(ds []Descriptor) error {
	for _, s := range ds {
		d := &description{path: s.Path, flags: s.Flags, dev: device(s.Dev), std: s.Std}
		switch d.dev {
		case regular:
			var err error
			if d, err = p.open(s.Path, s.Flags&^(guestfs.OCreate|guestfs.OExcl|guestfs.OTrunc), 0); err != nil {
				return &fs.PathError{Op: "reopen", Path: s.Path, Err: err}
			}
			d.flags, d.pos = s.Flags, s.Pos
		case pipeRead, pipeWrite:
			d.dev = closedPipe
		}
		p.replace(s.FD, d)
	}
	return nil
}
