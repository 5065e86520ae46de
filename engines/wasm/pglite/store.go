package pglite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pgx-dev/pgx-dev/engines/dirlock"
)

// ErrNotFetched reports that a package is nowhere on this machine and must not be, or
// could not be, fetched.
var ErrNotFetched = errors.New("the package is not on this machine")

// A Source is where packages come from and where they are kept. The zero value of every
// field but Dir is usable. It is safe for concurrent use, also by several processes.
type Source struct {
	// Dir is the store: tarballs and unpacked packages. It is made if it is missing.
	Dir string
	// Tarballs are local files, tried first by hash: each may be any of the packages.
	Tarballs []string
	// Offline refuses to run npm.
	Offline bool
	// Complete tries to get pgvector even where PostgreSQL has been unpacked without it.
	Complete bool
	// Progress is told what is being done, if set.
	Progress func(step string)
}

// Files is an unpacked package set.
type Files struct {
	// Dir holds pglite.wasm, initdb.wasm and root/, which has pglite/ and home/.
	Dir string
	// Origin says where the main package was taken from.
	Origin string
}

// Open returns the unpacked main package with its extensions, and pgvector where it can
// be had. It does the least that is needed: nothing when the unpacked files are there.
func (s Source) Open(ctx context.Context) (Files, error) {
	main := Main()
	dir, alone := filepath.Join(s.Dir, main.key()+"+"+Vector().key()), filepath.Join(s.Dir, main.key())
	if files, err := read(dir); err == nil {
		return files, nil
	}
	if files, err := read(alone); err == nil && !s.Complete {
		return files, nil
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return Files{}, fmt.Errorf("make the runtime store: %w", err)
	}
	lock, err := dirlock.Exclusive(ctx, filepath.Join(s.Dir, "store.lock"))
	if err != nil {
		return Files{}, err
	}
	defer lock.Unlock() //nolint:errcheck // nothing was written through it
	if files, err := read(dir); err == nil {
		return files, nil
	}
	s.sweep()
	tarball, origin, err := s.tarball(ctx, main)
	if err != nil {
		return Files{}, err
	}
	vector, _, verr := s.tarball(ctx, Vector())
	if verr != nil {
		// PostgreSQL is of use without pgvector; a directory of its own says it is missing.
		dir = alone
		if files, err := read(dir); err == nil {
			return files, nil
		}
	}
	s.say("unpack " + main.Spec())
	tmp, err := os.MkdirTemp(s.Dir, ".unpack-")
	if err != nil {
		return Files{}, err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // gone after the rename
	if err := unpack(tarball, vector, tmp); err != nil {
		return Files{}, fmt.Errorf("unpack %s: %w", main.Spec(), err)
	}
	if err := os.WriteFile(filepath.Join(tmp, "ORIGIN"), []byte(origin), 0o600); err != nil {
		return Files{}, err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return Files{}, err
	}
	return Files{Dir: dir, Origin: origin}, nil
}

func (s Source) say(step string) {
	if s.Progress != nil {
		s.Progress(step)
	}
}

// read returns the unpacked files in dir if they are there; what is there is complete.
func read(dir string) (Files, error) {
	origin, err := os.ReadFile(filepath.Join(dir, "ORIGIN"))
	return Files{Dir: dir, Origin: string(origin)}, err
}

// sweep removes what interrupted unpackings left. The lock is held.
func (s Source) sweep() {
	left, _ := filepath.Glob(filepath.Join(s.Dir, ".unpack-*"))
	for _, dir := range left {
		_ = os.RemoveAll(dir)
	}
}

// tarball returns the verified bytes of a package and says where they are from.
func (s Source) tarball(ctx context.Context, p Package) (b []byte, origin string, err error) {
	var tried []error
	for _, file := range s.Tarballs {
		b, err := os.ReadFile(file)
		if err == nil {
			err = p.Verify(b)
		}
		if err == nil {
			return b, file, nil
		}
		tried = append(tried, fmt.Errorf("%s: %w", file, err))
	}
	if b, ok := bundled(p); ok && p.Verify(b) == nil {
		return b, "this program", nil
	}
	kept := filepath.Join(s.Dir, p.key()+".tgz")
	switch b, err := os.ReadFile(kept); {
	case err == nil && p.Verify(b) == nil:
		return b, "npm, kept in " + s.Dir, nil
	case err == nil:
		_ = os.Remove(kept) // damaged: as if it were not there
	case !errors.Is(err, fs.ErrNotExist):
		tried = append(tried, err)
	}
	if len(s.Tarballs) > 0 && p == Main() {
		// Files that were named and do not fit are an error, not a reason to look elsewhere.
		return nil, "", errors.Join(tried...)
	}
	if s.Offline {
		return nil, "", fmt.Errorf("%w: %s (fetching is off); get it with «npm pack %s» and name the file", ErrNotFetched, p.Spec(), p.Spec())
	}
	s.say("fetch " + p.Spec() + " with npm")
	if b, err = pack(ctx, p); err != nil {
		return nil, "", errors.Join(append(tried, err)...)
	}
	tmp := kept + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return nil, "", err
	}
	return b, "npm", os.Rename(tmp, kept)
}
