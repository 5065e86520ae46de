package replication

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A DirSink unpacks a base backup into a data directory that a server can start in. What
// the server's archives name is created below the directory or not at all; directories get
// mode 0700 and files 0600.
//
// The server's control file comes late, but a directory that a killed process left behind
// may look like a cluster all the same: unpack into a directory with a temporary name and
// rename it after BaseBackup has returned.
type DirSink struct {
	// Dir is the data directory. It is created; if it is there it has to be empty.
	Dir string
	// MapTablespace returns the absolute path of the directory, missing or empty, that
	// takes a tablespace. nil: the one that it has on the server.
	MapTablespace func(Tablespace) (string, error)
	// NoSync leaves it to the operating system when the files reach the disk. Otherwise
	// Commit syncs each of them.
	NoSync bool

	places  map[uint32]place // by the tablespace's OID
	created []string         // what Abort removes, or empties if it was there before
	existed map[string]bool
	buf     []byte
}

// A place is where one tablespace goes.
type place struct {
	dir  string
	link bool // pg_tblspc/OID is a link to it
}

const manifestName = "backup_manifest"

func (s *DirSink) wantsLinks() bool { return true }

// Begin makes the directories.
func (s *DirSink) Begin(tablespaces []Tablespace) error {
	s.places = make(map[uint32]place)
	s.existed = make(map[string]bool)
	s.buf = make([]byte, 256<<10)
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return fmt.Errorf("prepare %s: %w", s.Dir, err)
	}
	s.Dir = dir
	if err := s.makeDir(dir); err != nil {
		return err
	}
	s.places[0] = place{dir: dir}
	for _, t := range tablespaces {
		if t.OID == 0 {
			continue
		}
		p, err := s.placeFor(t)
		if err != nil {
			return fmt.Errorf("tablespace %d at %s: %w", t.OID, t.Location, err)
		}
		s.places[t.OID] = p
	}
	return nil
}

func (s *DirSink) placeFor(t Tablespace) (place, error) {
	inPlace := "pg_tblspc/" + strconv.FormatUint(uint64(t.OID), 10)
	if t.Location == inPlace { // allow_in_place_tablespaces, since 15
		return place{dir: filepath.Join(s.Dir, inPlace)}, nil
	}
	dir := t.Location
	if s.MapTablespace != nil {
		var err error
		if dir, err = s.MapTablespace(t); err != nil {
			return place{}, err
		}
	}
	dir = filepath.Clean(dir)
	if !filepath.IsAbs(dir) {
		return place{}, fmt.Errorf("%q is no absolute path", dir)
	}
	if rel, err := filepath.Rel(s.Dir, dir); err == nil && filepath.IsLocal(rel) {
		return place{}, fmt.Errorf("%s is inside the data directory", dir)
	}
	if err := s.makeDir(dir); err != nil {
		return place{}, err
	}
	return place{dir: dir, link: true}, nil
}

// makeDir makes sure that dir is an empty directory that only its owner can enter.
func (s *DirSink) makeDir(dir string) error {
	switch entries, err := os.ReadDir(dir); {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("prepare backup directory: %w", err)
		}
	case err != nil:
		return fmt.Errorf("prepare backup directory: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("directory %s is not empty; choose another one or empty it", dir)
	default:
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("prepare backup directory: %w", err)
		}
		s.existed[dir] = true
	}
	s.created = append(s.created, dir)
	return nil
}

// Archive unpacks one tablespace.
func (s *DirSink) Archive(t Tablespace, r io.Reader) error {
	p, ok := s.places[t.OID]
	if !ok {
		return fmt.Errorf("tablespace %d was not announced", t.OID)
	}
	if t.OID != 0 && !p.link {
		if err := os.MkdirAll(p.dir, 0o700); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := s.unpack(root, t, tar.NewReader(r)); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			err = fmt.Errorf("%w: free some space or choose another place", err)
		}
		return fmt.Errorf("unpack into %s: %w", p.dir, err)
	}
	return nil
}

func (s *DirSink) unpack(root *os.Root, t Tablespace, tr *tar.Reader) error {
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(filepath.FromSlash(h.Name))
		if !filepath.IsLocal(name) {
			return fmt.Errorf("the server sends a path outside of the directory: %.80q", h.Name)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = makeDirIn(root, name)
		case tar.TypeReg:
			err = s.makeFile(root, name, tr)
		case tar.TypeSymlink:
			err = s.makeLink(root, t, name)
		default:
			err = fmt.Errorf("the server sends %.80q, which is neither a file nor a directory", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

func makeDirIn(root *os.Root, name string) error {
	if name == "." {
		return nil
	}
	err := root.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		if fi, serr := root.Lstat(name); serr == nil && fi.IsDir() {
			return nil
		}
	}
	return err
}

func (s *DirSink) makeFile(root *os.Root, name string, r io.Reader) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// Hiding the file's ReadFrom makes the copy use our buffer rather than a new one.
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, r, s.buf)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// makeLink makes the only links that a data directory needs: pg_tblspc/OID, to where the
// tablespace goes here, whatever the server says that it points to.
func (s *DirSink) makeLink(root *os.Root, t Tablespace, name string) error {
	parent, base := filepath.Split(name)
	oid, err := strconv.ParseUint(base, 10, 32)
	p, ok := s.places[uint32(oid)]
	if t.OID != 0 || strings.TrimSuffix(parent, string(filepath.Separator)) != "pg_tblspc" || err != nil || oid == 0 || !ok || !p.link {
		return fmt.Errorf("the server sends a link %.80q that is no tablespace's", name)
	}
	return root.Symlink(p.dir, name)
}

// Manifest writes the manifest, under a temporary name until Commit.
func (s *DirSink) Manifest(r io.Reader) error {
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return s.makeFile(root, manifestName+".tmp", r)
}

// Commit syncs what was written and gives the manifest its name.
func (s *DirSink) Commit() error {
	tmp := filepath.Join(s.Dir, manifestName+".tmp")
	if _, err := os.Lstat(tmp); err == nil {
		if !s.NoSync {
			if err := syncFile(tmp); err != nil {
				return err
			}
		}
		if err := os.Rename(tmp, filepath.Join(s.Dir, manifestName)); err != nil {
			return err
		}
	}
	if s.NoSync {
		return nil
	}
	for _, dir := range s.created {
		if err := syncTree(dir); err != nil {
			return fmt.Errorf("sync %s: %w", dir, err)
		}
	}
	return nil
}

// Abort removes what was made. Directories that were there before stay, empty.
func (s *DirSink) Abort() error {
	var errs []error
	for _, dir := range s.created {
		if !s.existed[dir] {
			errs = append(errs, os.RemoveAll(dir))
			continue
		}
		entries, err := os.ReadDir(dir)
		errs = append(errs, err)
		for _, e := range entries {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	s.created = nil
	return errors.Join(errs...)
}

// syncTree syncs every file and directory in dir, and the directory that dir is in.
func syncTree(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type().IsRegular() || d.IsDir() {
			return syncFile(path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return syncFile(filepath.Dir(dir))
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
