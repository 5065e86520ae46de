package guest

import (
	"encoding/binary"
	"io"
	"os"
)

const osPage = 4096

// writeMemory writes the guest's memory to an empty file, without pages that are zero. Of
// memory that was restored from an image and not touched since, the image has the pages:
// they are copied from there, if the system tells which they are.
func (in *Instance) writeMemory(f *os.File) error {
	size := in.Memory().Size()
	mem, _ := in.Memory().Read(0, size)
	if err := f.Truncate(int64(size)); err != nil {
		return err
	}
	own := ownPages(mem)
	if own == nil || in.image == nil {
		own = nil
	} else if err := copySparse(f, in.image.f); err != nil {
		return err
	}
	skip := func(at int) bool {
		if own != nil {
			return !own[at/osPage]
		}
		return zero(mem[at : at+osPage])
	}
	for from := 0; from < len(mem); {
		if skip(from) {
			from += osPage
			continue
		}
		to := from + osPage
		for to < len(mem) && to-from < 1<<20 && !skip(to) {
			to += osPage
		}
		if _, err := f.WriteAt(mem[from:to], int64(from)); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func zero(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
	}
	return true
}

// copyAll copies a file into another without its holes, as far as zero pages tell.
func copyAll(dst, src *os.File) error {
	buf := make([]byte, 64<<10)
	for off := int64(0); ; {
		n, err := src.ReadAt(buf, off)
		for at := 0; at < n; at += osPage {
			if page := buf[at:min(at+osPage, n)]; !zero(page) {
				if _, err := dst.WriteAt(page, off+int64(at)); err != nil {
					return err
				}
			}
		}
		off += int64(n)
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
