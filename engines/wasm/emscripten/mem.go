package emscripten

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

var le = binary.LittleEndian

// A Fault is an access of the host outside the guest's memory, on the guest's behalf: a
// bug in the guest.
type Fault struct {
	Addr, Size uint32
}

func (f *Fault) Error() string {
	return fmt.Sprintf("the guest passed a bad address: %d bytes at %#x", f.Size, f.Addr)
}

// view returns n bytes of guest memory, valid until the guest runs again.
func (p *Process) view(addr, n uint32) []byte {
	b, ok := p.Guest.Memory().Read(addr, n)
	if !ok {
		panic(&Fault{addr, n})
	}
	return b
}

func (p *Process) u32(addr uint32) uint32       { return le.Uint32(p.view(addr, 4)) }
func (p *Process) putU32(addr, v uint32)        { le.PutUint32(p.view(addr, 4), v) }
func (p *Process) putU64(addr uint32, v uint64) { le.PutUint64(p.view(addr, 8), v) }

// putString writes s with a final NUL.
func (p *Process) putString(addr uint32, s string) {
	b := p.view(addr, uint32(len(s))+1)
	copy(b, s)
	b[len(s)] = 0
}

// String reads a NUL-terminated string.
func (p *Process) String(addr uint32) string {
	mem := p.Guest.Memory()
	for n := uint32(256); ; n *= 2 {
		b := p.view(addr, min(n, mem.Size()-min(addr, mem.Size())))
		if before, _, ok := bytes.Cut(b, []byte{0}); ok {
			return string(before)
		}
		if n >= 1<<20 || len(b) < int(n) {
			panic(&Fault{addr, n})
		}
	}
}
