//go:build !linux

package wasm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// syncTree makes a new directory tree durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
