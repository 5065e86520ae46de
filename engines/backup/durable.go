package backup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// writeFile puts a file in place whole and durably.
func writeFile(path string, b []byte) error {
	return install(path, func(f *os.File) error {
		_, err := f.Write(b)
		return err
	})
}

// install has write fill a temporary file beside path, flushes it, renames it to path and
// flushes the directory.
func install(path string, write func(*os.File) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".tmp."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already if all went well
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFile(dir)
}

// sameContent reports whether two files hold the same bytes.
func sameContent(a, b string) (bool, error) {
	fa, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer func() { _ = fa.Close() }()
	fb, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer func() { _ = fb.Close() }()
	const block = 1 << 20
	ba, bb := make([]byte, block), make([]byte, block)
	for {
		na, ea := io.ReadFull(fa, ba)
		nb, eb := io.ReadFull(fb, bb)
		if na != nb || string(ba[:na]) != string(bb[:nb]) {
			return false, nil
		}
		if ea != nil || eb != nil {
			done := func(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
			if done(ea) && done(eb) {
				return true, nil
			}
			return false, errors.Join(ea, eb)
		}
	}
}
