package wasm

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// ErrArchive reports an archive that is damaged or holds no data directory.
var ErrArchive = errors.New("not an archive of a data directory")

// DumpDataDir writes the data directory as a gzipped tar archive, as it is between two
// transactions; Options.Archive reads it. Clients in a transaction are waited for, until
// ctx ends.
func (d *DB) DumpDataDir(ctx context.Context, w io.Writer) error {
	gz, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(gz)
	err = d.srv.eachFile(ctx, func(name string, st guestfs.Stat, read func(w io.Writer) error) error {
		h := &tar.Header{Name: name, Mode: int64(st.Mode.Perm()), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if st.Mode.IsDir() {
			h.Name, h.Typeflag = name+"/", tar.TypeDir
			return tw.WriteHeader(h)
		}
		h.Typeflag, h.Size = tar.TypeReg, st.Size
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		return read(tw)
	})
	if err != nil {
		return fmt.Errorf("dump the data directory: %w", err)
	}
	return errors.Join(tw.Close(), gz.Close())
}

// eachFile calls f with each directory and file of the data directory, parents first,
// after a checkpoint and while the guest stands still.
func (s *Server) eachFile(ctx context.Context, f func(name string, st guestfs.Stat, read func(w io.Writer) error) error) error {
	return s.b.do(ctx, func() error {
		if err := s.b.load(nil); err != nil {
			return err
		}
		r, err := s.b.query("CHECKPOINT")
		if err != nil {
			return err
		}
		if r.err != nil {
			return r.err
		}
		return s.walk(ctx, ".", f)
	})
}

func (s *Server) walk(ctx context.Context, dir string, f func(string, guestfs.Stat, func(io.Writer) error) error) error {
	entries, err := s.m.fs.ReadDir(path.Join(guest.DataDir, dir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		name := path.Join(dir, e.Name())
		full := path.Join(guest.DataDir, name)
		st, err := s.m.fs.Lstat(full)
		switch {
		case err != nil:
			return err
		case name == "postmaster.pid" || name == "postmaster.opts":
			continue
		case st.Mode&fs.ModeSymlink != 0:
			return fmt.Errorf("%s is a link; tablespaces cannot be copied", name)
		}
		err = f(name, st, func(w io.Writer) error { return s.copyOut(w, full, st.Size) })
		if err == nil && st.Mode.IsDir() {
			err = s.walk(ctx, name, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) copyOut(w io.Writer, name string, size int64) error {
	file, err := s.m.fs.Open(name, 0, 0)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for off := int64(0); off < size; {
		n, err := file.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			_, err = w.Write(buf[:n])
		}
		if err != nil {
			return errors.Join(err, file.Close())
		}
		off += int64(n)
	}
	return file.Close()
}

// unpackArchive writes what DumpDataDir wrote into the empty directory dir.
func unpackArchive(ctx context.Context, r io.Reader, dir string) error {
	bad := func(err error) error { return fmt.Errorf("%w: %w", ErrArchive, err) }
	gz, err := gzip.NewReader(r)
	if err != nil {
		return bad(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	tr := tar.NewReader(gz)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return bad(err)
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		name := strings.TrimSuffix(h.Name, "/")
		if !filepath.IsLocal(name) {
			return bad(fmt.Errorf("it has a file named %q", h.Name))
		}
		switch h.Typeflag {
		case tar.TypeDir:
			if err := root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		case tar.TypeReg:
			f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			_, err = io.Copy(f, tr)
			if err = errors.Join(err, f.Close()); err != nil {
				return bad(err)
			}
		default:
			return bad(fmt.Errorf("%s is neither a file nor a directory", h.Name))
		}
	}
	// The checksum at the very end counts too.
	if _, err := io.Copy(io.Discard, gz); err != nil {
		return bad(err)
	}
	if err := checkVersion(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there is no PG_VERSION in it", ErrArchive)
	} else if err != nil {
		return err
	}
	return nil
}
