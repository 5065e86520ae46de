package wasm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// A moment is a server as it was then: its guest's memory and its files. Clones share it.
// It is in this process and for a running server what [Server.Freeze] writes to disk.
type moment struct {
	image    *guest.Image
	files    guestfs.Sharer
	database string // that the guest is connected to
	steps    uint64 // of the backend, when it was made

	mu   sync.Mutex
	refs int
}

func (f *moment) share() *moment {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refs++
	return f
}

func (f *moment) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refs--; f.refs > 0 {
		return nil
	}
	return errors.Join(f.image.Close(), f.files.Close())
}

// Clone starts a temporary server with a copy of this one's data as they are between two
// transactions; a client in a transaction is waited for, until ctx ends. Sessions are not
// copied, random numbers differ. It takes some milliseconds more than a temporary server
// when nothing has happened since the last Clone, and otherwise as long as writing what has
// changed since the server was started, or, of a server with a directory that lasts, the
// directory. The clone goes on when this server is closed.
func (s *Server) Clone(ctx context.Context) (*Server, error) {
	f, err := s.hold(ctx)
	if err == nil {
		var clone *Server
		clone, err = s.resume(ctx, f)
		if cerr := f.close(); cerr != nil {
			s.e.log.Warn("close what was cloned", "error", cerr)
		}
		if err == nil {
			return clone, nil
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("clone the server: %w", context.Cause(ctx))
	}
	select {
	case <-s.b.done:
		return nil, fmt.Errorf("clone the server: %w", err)
	default:
	}
	s.e.log.Warn("the server's memory cannot be cloned; its files are, and booted", "error", err)
	clone, err := s.cloneFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("clone the server: %w", err)
	}
	return clone, nil
}

// hold returns the server as it is; the caller closes it.
func (s *Server) hold(ctx context.Context) (*moment, error) {
	var mu sync.Mutex
	var made *moment
	gone := false // nobody waits any more
	err := s.b.do(ctx, func() error {
		if err := s.remember(ctx); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if !gone {
			made = s.last.share()
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	if gone = true; err != nil && made != nil { // ctx ended at the same moment
		err = errors.Join(err, made.close())
	}
	return made, err
}

// remember sees to it that s.last is how the server is now. It runs on the guest's
// goroutine.
func (s *Server) remember(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if s.last != nil && s.last.steps == s.b.steps {
		return nil
	}
	f, err := s.take(ctx)
	if err != nil {
		return err
	}
	old := s.last
	s.last = f
	if old != nil {
		return old.close()
	}
	return nil
}

// take takes the guest's memory and files.
func (s *Server) take(ctx context.Context) (*moment, error) {
	if err := s.b.load(nil); err != nil {
		return nil, err
	}
	// DDL has emptied the caches: to fill them once here saves each clone doing so, with memory
	// of its own.
	if err := s.b.warm(); err != nil {
		if _, ok := errors.AsType[*fault](err); !ok {
			return nil, err
		}
	}
	if entries, err := s.m.fs.ReadDir(guest.DataDir + "/pg_tblspc"); err != nil || len(entries) > 0 {
		return nil, errors.Join(errors.New("tablespaces cannot be copied"), err)
	}
	need := int64(tempNeed)
	overlay, ok := s.m.data.(*guestfs.Overlay)
	if !ok {
		size, err := sizeOf(s.info.Dir)
		if err != nil {
			return nil, err
		}
		need += size
	}
	base, err := place.Temp(need)
	if err != nil {
		return nil, err
	}
	tmp, lock, err := tempDir(base)
	if err != nil {
		return nil, err
	}
	done := func() error { return errors.Join(os.RemoveAll(tmp), lock.Unlock()) }
	files, err := copyTree(ctx, overlay, s.info.Dir, filepath.Join(tmp, "files"))
	if err != nil {
		return nil, errors.Join(err, done())
	}
	f := &moment{files: guestfs.Freeze(files, done), database: s.b.database, steps: s.b.steps, refs: 1}
	if f.image, err = s.b.in.Image(tmp); err != nil {
		return nil, errors.Join(err, f.files.Close())
	}
	return f, nil
}

// copyTree copies what an overlay shows, or without one the directory dir, into the new
// directory to.
func copyTree(ctx context.Context, overlay *guestfs.Overlay, dir, to string) (guestfs.Tree, error) {
	if err := os.Mkdir(to, 0o700); err != nil {
		return nil, err
	}
	if overlay != nil {
		return overlay.Copy(to)
	}
	if err := copyDir(ctx, dir, to); err != nil {
		return nil, err
	}
	return guestfs.OpenDir(to, true)
}

func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			size += fi.Size()
		}
		return err
	})
	return size, err
}

// resume starts a server from what hold returned.
func (s *Server) resume(ctx context.Context, f *moment) (_ *Server, err error) {
	clone := s.sibling()
	var in *guest.Instance
	defer func() {
		if err != nil {
			if in != nil {
				in.Close()
			}
			if clone.m != nil {
				err = errors.Join(err, clone.m.close())
			}
		}
	}()
	clone.m, err = s.e.mountTree(s.l, func(changes string) (guestfs.Tree, error) {
		files, err := f.files.Share()
		if err != nil {
			return nil, err
		}
		return guestfs.NewOverlay(files, changes), nil
	})
	if err != nil {
		return nil, err
	}
	clone.info.Dir = clone.m.tmp
	if in, err = clone.revive(ctx, f.image); err != nil {
		return nil, err
	}
	in.Proc.NoSync = true // there is nothing that would outlive the process
	if err = clone.attach(in, f.database); err != nil {
		return nil, err
	}
	clone.launch()
	return clone, nil
}

// sibling returns a temporary server like s, without a guest yet.
func (s *Server) sibling() *Server {
	clone := &Server{e: s.e, l: s.l, temp: true, params: s.params, done: make(chan struct{}), info: s.info, boot: s.boot}
	clone.boot.NoSync = true
	clone.info.TCP = ""
	return clone
}

// cloneFiles clones a server by its files alone, which a guest boots from.
func (s *Server) cloneFiles(ctx context.Context) (_ *Server, err error) {
	base, err := place.Temp(tempNeed)
	if err != nil {
		return nil, err
	}
	tmp, lock, err := tempDir(base)
	if err != nil {
		return nil, err
	}
	clone := s.sibling()
	clone.freeTemplate = func() error { return errors.Join(os.RemoveAll(tmp), lock.Unlock()) }
	data := filepath.Join(tmp, "files")
	defer func() {
		if err != nil {
			if clone.m != nil {
				err = errors.Join(err, clone.m.close())
			}
			err = errors.Join(err, clone.freeTemplate())
		}
	}()
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	if err := s.copyData(ctx, data); err != nil {
		return nil, err
	}
	if clone.m, err = s.e.mount(s.l, "", data); err != nil {
		return nil, err
	}
	clone.info.Dir = clone.m.tmp
	o := clone.boot
	o.User = s.info.User
	in, err := s.l.rt.Boot(ctx, clone.m.fs, o)
	if err != nil {
		return nil, err
	}
	if err := clone.attach(in, o.Database); err != nil {
		in.Close()
		return nil, err
	}
	clone.launch()
	return clone, nil
}

// Clone opens a temporary database with a copy of this one's data as they are between two
// transactions; see Server.Clone. Sessions are not copied. It shares the engine.
func (d *DB) Clone(ctx context.Context) (*DB, error) {
	srv, err := d.srv.Clone(ctx)
	if err != nil {
		return nil, err
	}
	clone := &DB{options: d.options, database: d.database, srv: srv, engine: d.engine.share()}
	if err := clone.connect(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("clone the database: %w", err), clone.Close(context.WithoutCancel(ctx)))
	}
	return clone, nil
}

// An ownEngine is an engine that a DB has made for itself and its clones; the last of them
// closes it. nil is nobody's.
type ownEngine struct {
	e *Engine

	mu   sync.Mutex
	refs int
}

func (o *ownEngine) share() *ownEngine {
	if o != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.refs++
	}
	return o
}

func (o *ownEngine) close() error {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.refs--; o.refs > 0 {
		return nil
	}
	return o.e.Close()
}
