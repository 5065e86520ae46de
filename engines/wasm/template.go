package wasm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
	"github.com/pgx-dev/pgx-dev/engines/wasm/pglite"
)

// A template is what new servers are made from: a data directory that was shut down, and
// a snapshot of a backend running on another, with that one's files. None of it is ever
// written to again.
type template struct {
	dir string
}

func (t template) data() string     { return filepath.Join(t.dir, "data") }
func (t template) live() string     { return filepath.Join(t.dir, "live") }
func (t template) snapshot() string { return filepath.Join(t.dir, "snapshot") }

// layout counts changes of how templates are made.
const layout = "3"

// template returns the template for a superuser's name, made once per machine: the first
// who needs it makes it, under a lock, beside its place.
func (e *Engine) template(ctx context.Context, l *loaded, user string) (template, error) {
	sum := sha256.Sum256([]byte(filepath.Base(l.files.Dir) + "\x00" + layout + "\x00" + user))
	base := filepath.Join(l.store, "template")
	t := template{filepath.Join(base, fmt.Sprintf("%x", sum[:8]))}
	if _, err := os.Stat(t.dir); err == nil {
		return t, nil
	}
	if err := os.MkdirAll(base, 0o700); err != nil {
		return t, err
	}
	lock, err := dirlock.Exclusive(ctx, t.dir+".lock")
	if err != nil {
		return t, err
	}
	defer lock.Unlock() //nolint:errcheck // nothing was written through it
	if _, err := os.Stat(t.dir); err == nil {
		return t, nil
	}
	e.say("make the template of new databases")
	tmp := template{t.dir + ".tmp"}
	if err := os.RemoveAll(tmp.dir); err != nil { // of somebody who was killed
		return t, err
	}
	defer os.RemoveAll(tmp.dir) //nolint:errcheck // gone after the rename
	if err := e.makeTemplate(ctx, l, tmp, user); err != nil {
		return t, fmt.Errorf("make the template of new databases: %w", err)
	}
	return t, os.Rename(tmp.dir, t.dir)
}

func (e *Engine) makeTemplate(ctx context.Context, l *loaded, t template, user string) error {
	for _, dir := range []string{t.data(), t.snapshot()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	m, err := e.mount(l, t.data(), "")
	if err != nil {
		return err
	}
	err = l.rt.Initdb(ctx, m.fs, user)
	if err == nil {
		// Booted and shut down once, so that what depends on that is done.
		var in *guest.Instance
		if in, err = l.rt.Boot(ctx, m.fs, guest.Options{User: user, Database: "postgres", NoSync: true, Params: e.params(nil, true, "8MB")}); err == nil {
			err = in.Shutdown()
			in.Close()
		}
	}
	if err = errors.Join(err, m.close()); err != nil {
		return err
	}
	if err := copyDir(ctx, t.data(), t.live()); err != nil {
		return err
	}
	return e.makeSnapshot(ctx, l, t, guest.Options{User: user, Database: "postgres", NoSync: true, Params: e.params(nil, true, "8MB")})
}

// makeSnapshot boots a backend on the template's live data, and saves its memory once it
// is warm.
func (e *Engine) makeSnapshot(ctx context.Context, l *loaded, t template, o guest.Options) error {
	m, err := e.mount(l, t.live(), "")
	if err != nil {
		return err
	}
	defer m.close() //nolint:errcheck // temporary files
	in, err := l.rt.Boot(ctx, m.fs, o)
	if err != nil {
		return err
	}
	defer in.Close()
	b, err := newBackend(in, o.Database, o.User, e.cfg.limits(), e.log)
	if err != nil {
		return err
	}
	if err := b.warm(); err != nil {
		return err
	}
	if r, err := b.query("CHECKPOINT"); err != nil || r.err != nil {
		return errors.Join(err, asError(r.err))
	}
	return in.Save(t.snapshot())
}

// warm fills the caches with what the first client of each clone will want to know.
func (b *backend) warm() error {
	if _, err := b.roleSettings(&startup{user: b.superuser}); err != nil {
		return err
	}
	for _, sql := range []string{"SELECT 1", "SELECT typname FROM pg_type WHERE oid = 'int4'::regtype"} {
		if r, err := b.query(sql); err != nil || r.err != nil {
			return errors.Join(err, asError(r.err))
		}
	}
	return nil
}

func asError(f *fault) error {
	if f == nil {
		return nil
	}
	return f
}

// copyDir copies a data directory.
func copyDir(ctx context.Context, from, to string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(dst, 0o700)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			return os.Symlink(target, dst)
		case !d.Type().IsRegular() || d.Name() == "postmaster.pid":
			return nil
		}
		return copyFile(p, dst)
	})
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// copy_file_range, where there is one: no bytes through this process, and none at all
	// on file systems that share blocks.
	_, err = dst.ReadFrom(src)
	return errors.Join(err, dst.Close())
}

// checkVersion reports whether a data directory is ours to open.
func checkVersion(dir string) error {
	_, _, major := pglite.ServerVersion()
	b, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if err != nil {
		return err
	}
	if got := string(trim(b)); got != major {
		return &versionError{dir, got, major}
	}
	return nil
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}
