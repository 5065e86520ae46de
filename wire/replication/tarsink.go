package replication

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A TarSink writes a base backup as tar files: base.tar, OID.tar for each tablespace, and
// backup_manifest. To restore it, unpack base.tar into an empty data directory and each
// other file into the place of its tablespace; the file tablespace_map in base.tar has
// their places, and may be changed.
type TarSink struct {
	// Dir takes the files. It is created; if it is there it has to be empty.
	Dir string
	// NoSync leaves it to the operating system when the files reach the disk.
	NoSync bool
	// Wrap, if set, returns a writer that changes an archive on its way to the file, for
	// instance compresses it, and the suffix that the file's name gets. Closing it must
	// not close the file.
	Wrap func(file io.Writer) (w io.WriteCloser, suffix string, err error)

	existed bool
	files   []string
}

// Begin makes the directory.
func (s *TarSink) Begin([]Tablespace) error {
	d := DirSink{existed: make(map[string]bool)}
	if err := d.makeDir(s.Dir); err != nil {
		return err
	}
	s.existed = d.existed[s.Dir]
	return nil
}

// Archive writes one tablespace's tar file.
func (s *TarSink) Archive(t Tablespace, r io.Reader) error {
	if s.Wrap == nil {
		return s.write(t.Archive(), r)
	}
	// The suffix is known only once there is a writer, so the file gets its name last.
	path := filepath.Join(s.Dir, t.Archive())
	f, err := s.create(path)
	if err != nil {
		return err
	}
	w, suffix, err := s.Wrap(f)
	if err == nil {
		_, err = io.Copy(w, r)
		if cerr := w.Close(); err == nil {
			err = cerr
		}
	}
	if err := s.finish(f, err); err != nil {
		return err
	}
	if suffix == "" {
		return nil
	}
	s.files[len(s.files)-1] = path + suffix
	return os.Rename(path, path+suffix)
}

// Manifest writes the manifest, under a temporary name until Commit.
func (s *TarSink) Manifest(r io.Reader) error { return s.write(manifestName+".tmp", r) }

func (s *TarSink) create(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		s.files = append(s.files, path)
	}
	return f, err
}

func (s *TarSink) write(name string, r io.Reader) error {
	f, err := s.create(filepath.Join(s.Dir, name))
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, r, make([]byte, 256<<10))
	return s.finish(f, err)
}

// finish syncs and closes f after writing to it ended with err.
func (s *TarSink) finish(f *os.File, err error) error {
	if err == nil && !s.NoSync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

// Commit gives the manifest its name and syncs the directory.
func (s *TarSink) Commit() error {
	tmp := filepath.Join(s.Dir, manifestName+".tmp")
	if _, err := os.Lstat(tmp); err == nil {
		if err := os.Rename(tmp, filepath.Join(s.Dir, manifestName)); err != nil {
			return err
		}
	}
	if s.NoSync {
		return nil
	}
	return errors.Join(syncFile(s.Dir), syncFile(filepath.Dir(s.Dir)))
}

// Abort removes what was written.
func (s *TarSink) Abort() error {
	var errs []error
	for _, path := range s.files {
		errs = append(errs, os.Remove(path))
	}
	s.files = nil
	if !s.existed {
		if err := os.Remove(s.Dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
