package pglite

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// maxFile bounds what one file of a package may unpack to.
const maxFile = 64 << 20

// unpack lays the packages out in dir: pglite.wasm, initdb.wasm, LICENSE, and root/ with
// the files that the guest sees. vector may be nil.
func unpack(main, vector []byte, dir string) error {
	var data, script []byte
	var extensions [][]byte
	err := each(main, func(name string, b []byte) error {
		switch name {
		case "package/dist/pglite.wasm", "package/dist/initdb.wasm", "package/LICENSE":
			return os.WriteFile(filepath.Join(dir, path.Base(name)), b, 0o600)
		case "package/dist/pglite.data":
			data = b
		case "package/dist/pglite.js":
			script = b
		default:
			if strings.HasPrefix(name, "package/dist/") && strings.HasSuffix(name, ".tar.gz") {
				extensions = append(extensions, b)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if vector != nil {
		err := each(vector, func(name string, b []byte) error {
			if name == "package/dist/vector.tar.gz" {
				extensions = append(extensions, b)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	rootDir := filepath.Join(dir, "root")
	if err := os.MkdirAll(filepath.Join(rootDir, "home", "postgres"), 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(rootDir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := splitData(root, data, script); err != nil {
		return err
	}
	for _, ext := range extensions {
		if err := each(ext, func(name string, b []byte) error { return put(root, "pglite/"+name, b) }); err != nil {
			return err
		}
	}
	// initdb and postgres look for each other's program files, and want them executable.
	for _, prog := range []string{"pglite/bin/initdb", "pglite/bin/postgres"} {
		if err := root.Chmod(prog, 0o500); err != nil {
			return err
		}
	}
	return nil
}

// each calls f with the regular files of a gzipped tar archive.
func each(archive []byte, f func(name string, b []byte) error) error {
	gz, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	tr := tar.NewReader(gz)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Size > maxFile {
			return fmt.Errorf("%s: too large (%d bytes)", h.Name, h.Size)
		}
		b, err := io.ReadAll(io.LimitReader(tr, maxFile))
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		if err := f(path.Clean(h.Name), b); err != nil {
			return err
		}
	}
}

// put writes a file below root, which it cannot leave.
func put(root *os.Root, name string, b []byte) error {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	return root.WriteFile(name, b, 0o600)
}

// splitData writes the files that Emscripten packed into pglite.data; the table of their
// names and places is in pglite.js.
func splitData(root *os.Root, data, script []byte) error {
	entries := regexp.MustCompile(`filename:"([^"]+)",start:(\d+),end:(\d+)`).FindAllSubmatch(script, -1)
	if len(entries) < 100 {
		return fmt.Errorf("pglite.js names %d files of pglite.data; some hundreds are expected", len(entries))
	}
	for _, e := range entries {
		from, err1 := strconv.Atoi(string(e[2]))
		to, err2 := strconv.Atoi(string(e[3]))
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if from < 0 || from > to || to > len(data) {
			return fmt.Errorf("pglite.js places %s at %d to %d of %d bytes", e[1], from, to, len(data))
		}
		if err := put(root, string(e[1]), data[from:to]); err != nil {
			return err
		}
	}
	return nil
}
