package guest

import (
	"encoding/binary"
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ownPages reports for each page of mapped memory whether this process has one of its own
// there, rather than that of a file or none; nil where the system does not tell
// (Documentation/admin-guide/mm/pagemap.rst of Linux).
func ownPages(mem []byte) []bool {
	const (
		present  = 1 << 63
		swapped  = 1 << 62
		fileOrNo = 1 << 61 // page of a file, or shared anonymous memory
	)
	if os.Getpagesize() != osPage {
		return nil
	}
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil
	}
	defer f.Close()
	entries := make([]byte, len(mem)/osPage*8)
	at := int64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))) / osPage * 8
	if n, err := f.ReadAt(entries, at); err != nil || n != len(entries) {
		return nil
	}
	own := make([]bool, len(mem)/osPage)
	for i := range own {
		e := binary.NativeEndian.Uint64(entries[i*8:])
		own[i] = e&swapped != 0 || e&present != 0 && e&fileOrNo == 0
	}
	return own
}

// copySparse copies a file into an empty one of the same size, but not its holes.
func copySparse(dst, src *os.File) error {
	var c copier
	for off := int64(0); ; {
		data, err := unix.Seek(int(src.Fd()), off, unix.SEEK_DATA)
		switch {
		case errors.Is(err, syscall.ENXIO):
			return nil // only a hole is left
		case err != nil:
			return copyAll(dst, src)
		}
		end, err := unix.Seek(int(src.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := c.part(dst, src, data, end); err != nil {
			return err
		}
		off = end
	}
}

// A copier copies parts of files.
type copier struct {
	apart bool // the files are on different file systems
	buf   []byte
}

// part copies bytes to the same place of another file, in the kernel where it can.
func (c *copier) part(dst, src *os.File, from, to int64) error {
	for from < to && !c.apart {
		in, out := from, from
		n, err := unix.CopyFileRange(int(src.Fd()), &in, int(dst.Fd()), &out, int(to-from), 0)
		if c.apart = err != nil || n <= 0; !c.apart {
			from += int64(n)
		}
	}
	if from < to && c.buf == nil {
		c.buf = make([]byte, 256<<10)
	}
	for from < to {
		n, err := src.ReadAt(c.buf[:min(int64(len(c.buf)), to-from)], from)
		if n == 0 {
			return err
		}
		if _, err := dst.WriteAt(c.buf[:n], from); err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}
