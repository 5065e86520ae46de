package pglite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pgx-dev/pgx-dev/engines/dirlock"
)

// PgDump returns the file with pg_dump as WebAssembly, from the package Tools, and says
// where that was taken from. Like Open it does the least that is needed.
func (s Source) PgDump(ctx context.Context) (file, origin string, err error) {
	tools := Tools()
	dir := filepath.Join(s.Dir, "tools-"+tools.key())
	file = filepath.Join(dir, "bin", "pg_dump")
	if files, err := read(dir); err == nil {
		return file, files.Origin, nil
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return "", "", fmt.Errorf("make the runtime store: %w", err)
	}
	lock, err := dirlock.Exclusive(ctx, filepath.Join(s.Dir, "store.lock"))
	if err != nil {
		return "", "", err
	}
	defer lock.Unlock() //nolint:errcheck // nothing was written through it
	if files, err := read(dir); err == nil {
		return file, files.Origin, nil
	}
	s.sweep()
	tarball, origin, err := s.tarball(ctx, tools)
	if err != nil {
		return "", "", err
	}
	s.say("unpack " + tools.Spec())
	tmp, err := os.MkdirTemp(s.Dir, ".unpack-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // gone after the rename
	if err := unpackTools(tarball, tmp); err != nil {
		return "", "", fmt.Errorf("unpack %s: %w", tools.Spec(), err)
	}
	if err := os.WriteFile(filepath.Join(tmp, "ORIGIN"), []byte(origin), 0o600); err != nil {
		return "", "", err
	}
	return file, origin, os.Rename(tmp, dir)
}

// unpackTools lays the package out in dir: bin/pg_dump, which the program looks for under
// this name and wants executable, and LICENSE.
func unpackTools(tarball []byte, dir string) error {
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		return err
	}
	program := filepath.Join(dir, "bin", "pg_dump")
	err := each(tarball, func(name string, b []byte) error {
		switch name {
		case "package/dist/pg_dump.wasm":
			return os.WriteFile(program, b, 0o500)
		case "package/LICENSE":
			return os.WriteFile(filepath.Join(dir, "LICENSE"), b, 0o600)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("there is no pg_dump in it: %w", err)
	}
	return nil
}
