package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// frozen describes a server that was frozen. It is a file beside the template that the
// rest of it is.
type frozen struct {
	Package  string `json:"package"` // whose program the memory is of
	User     string `json:"user"`
	Database string `json:"database"`

	dir string
}

const frozenFile = "frozen.json"

// pack names the program that a snapshot is good for.
func (l *loaded) pack() string { return filepath.Base(l.files.Dir) + " " + layout }

// Package names the program that the engine runs, with what of its configuration goes into
// a frozen server: what was frozen under another name cannot be thawed, or would be unlike.
func (e *Engine) Package(ctx context.Context) (string, error) {
	l, err := e.load(ctx)
	if err != nil {
		return "", err
	}
	return l.pack() + " " + e.buffers(true), nil
}

// Freeze writes what this server is into dir, which must not exist: its data, as they are
// between two transactions, and the memory of a backend that was booted on a copy of them
// in a database ("" is postgres). Sessions are not copied. [Engine.Thaw] starts servers
// from it, any number of them at once, in any process. dir appears when all is done; a
// killed Freeze leaves dir.tmp, which the next one removes.
func (s *Server) Freeze(ctx context.Context, dir, database string) error {
	if database == "" {
		database = "postgres"
	}
	if err := s.freeze(ctx, dir, database); err != nil {
		return fmt.Errorf("freeze the server: %w", err)
	}
	return nil
}

func (s *Server) freeze(ctx context.Context, dir, database string) error {
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("there is something at %s already", dir)
	}
	t := template{dir + ".tmp"}
	if err := os.RemoveAll(t.dir); err != nil {
		return err
	}
	defer os.RemoveAll(t.dir) //nolint:errcheck // gone after the rename
	for _, d := range []string{t.live(), t.snapshot()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	if err := s.copyData(ctx, t.live()); err != nil {
		return err
	}
	o := guest.Options{User: s.info.User, Database: database, NoSync: true, Params: s.e.params(s.params, true, s.e.buffers(true))}
	if err := s.e.makeSnapshot(ctx, s.l, t, o); err != nil {
		return err
	}
	b, err := json.Marshal(frozen{Package: s.l.pack(), User: s.info.User, Database: database})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(t.dir, frozenFile), b, 0o600); err != nil {
		return err
	}
	return os.Rename(t.dir, dir)
}

// copyData writes the server's data into an existing directory.
func (s *Server) copyData(ctx context.Context, dir string) error {
	return s.eachFile(ctx, func(name string, st guestfs.Stat, read func(w io.Writer) error) error {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if st.Mode.IsDir() {
			return os.Mkdir(p, 0o700)
		}
		f, err := os.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		return errors.Join(read(f), f.Close())
	})
}

// Thaw starts a temporary server from what [Server.Freeze] wrote into dir. Its pages of
// memory and its files are shared with all others from there until they are changed. The
// error wraps engines.ErrNotExist where nothing was frozen, and engines.ErrVersion where
// another version did it. While the server runs it holds the lock dir.lock shared.
func (e *Engine) Thaw(ctx context.Context, dir string) (engines.Server, error) {
	srv, err := e.thaw(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("start from what was frozen in %s: %w", dir, err)
	}
	return srv, nil
}

func (e *Engine) thaw(ctx context.Context, dir string) (*Server, error) {
	b, err := os.ReadFile(filepath.Join(dir, frozenFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", engines.ErrNotExist, err)
	} else if err != nil {
		return nil, err
	}
	from := &frozen{dir: dir}
	if err := json.Unmarshal(b, from); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", frozenFile, err)
	}
	return e.start(ctx, engines.Spec{User: from.User}, from)
}

// thaw restores a backend.
func (s *Server) thaw(ctx context.Context, from *frozen) (*guest.Instance, error) {
	if from.Package != s.l.pack() {
		return nil, fmt.Errorf("it is of %s, and this is %s: %w", from.Package, s.l.pack(), engines.ErrVersion)
	}
	lock, err := dirlock.TryShared(from.dir + ".lock")
	if err != nil {
		return nil, err
	}
	s.freeTemplate = lock.Unlock
	return s.restore(ctx, template{from.dir})
}

// restore brings a template's backend back over a copy-on-write view of its files.
func (s *Server) restore(ctx context.Context, t template) (*guest.Instance, error) {
	if err := s.openMounts("", t.live()); err != nil {
		return nil, err
	}
	img, err := guest.LoadImage(t.snapshot())
	if err != nil {
		return nil, err
	}
	in, err := s.revive(ctx, img)
	return in, errors.Join(err, img.Close())
}
