//go:build linux || darwin

package guest

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"github.com/tetratelabs/wazero/experimental"
)

// A reservation is address space for one guest memory: it never moves, costs only the
// pages that are touched, and can show a file copy-on-write.
type reservation struct {
	buf []byte
}

// Allocate implements experimental.MemoryAllocator.
func (r *reservation) Allocate(_, limit uint64) experimental.LinearMemory {
	buf, err := syscall.Mmap(-1, 0, int(limit), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		panic(fmt.Errorf("reserve %d MB for the guest: %w", limit>>20, err))
	}
	r.buf = buf
	return r
}

// Reallocate implements experimental.LinearMemory.
func (r *reservation) Reallocate(size uint64) []byte {
	if size > uint64(len(r.buf)) {
		return nil
	}
	return r.buf[:size]
}

// Free implements experimental.LinearMemory.
func (r *reservation) Free() {
	if r.buf != nil {
		_ = syscall.Munmap(r.buf)
		r.buf = nil
	}
}

// load shows the first size bytes of f, copy-on-write.
func (r *reservation) load(f *os.File, size uint32) error {
	_, _, e := syscall.Syscall6(syscall.SYS_MMAP, uintptr(unsafe.Pointer(&r.buf[0])), uintptr(size),
		syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_FIXED, f.Fd(), 0)
	if e != 0 {
		return fmt.Errorf("map the snapshot: %w", e)
	}
	return nil
}
