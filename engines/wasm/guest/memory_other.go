//go:build !linux && !darwin

package guest

import (
	"fmt"
	"io"
	"os"

	"github.com/tetratelabs/wazero/experimental"
)

// A reservation is the memory of one guest, in Go's heap.
type reservation struct {
	buf []byte
}

// Allocate implements experimental.MemoryAllocator. The whole limit is allocated, because
// the memory must not move; the system gives pages only as they are touched.
func (r *reservation) Allocate(_, limit uint64) experimental.LinearMemory {
	r.buf = make([]byte, limit)
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
func (r *reservation) Free() { r.buf = nil }

// load copies the first size bytes of f.
func (r *reservation) load(f *os.File, size uint32) error {
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, int64(size)), r.buf[:size]); err != nil {
		return fmt.Errorf("read the snapshot: %w", err)
	}
	return nil
}
