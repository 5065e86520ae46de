package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/lease"
)

// port is the number in the sockets' names (DEF_PGPORT).
const port = 5432

// A guest is one server with its socket. It is safe for concurrent use.
type guest struct {
	source *Source
	name   string        // the lease's
	dir    string        // of the socket
	own    *dirlock.Lock // not nil: dir is no part of the server's directory; it says that dir is in use
	work   sync.WaitGroup

	mu     sync.Mutex
	srv    engines.Server
	hangup context.CancelFunc // ends the listening and all connections
	served chan struct{}      // closed when that has ended
	closed bool
}

// start starts a server and listens for it.
func (s *Source) start(ctx context.Context, e Engine, template string) (*guest, error) {
	srv, err := e.Thaw(ctx, template)
	if err != nil {
		return nil, err
	}
	g := &guest{source: s, srv: srv}
	if err := g.open(); err != nil {
		return nil, errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
	}
	g.watch(srv)
	return g, nil
}

// watch tells the pool when a server ends by itself.
func (g *guest) watch(srv engines.Server) {
	g.work.Go(func() {
		<-srv.Done()
		if srv.Err() == nil {
			return
		}
		g.source.log.Warn("a server ended by itself", "name", g.name, "err", srv.Err())
		g.source.mu.Lock()
		f := g.source.notify
		g.source.mu.Unlock()
		f()
	})
}

// open makes the socket: in the server's own directory, which goes with it even where this
// process is killed, or where that one's name is too long, in one of the short ones.
func (g *guest) open() (err error) {
	g.dir = g.srv.Info().Dir
	if len(g.dir) > place.MaxSocketDir() {
		if g.dir, err = place.Run(g.dir); err != nil {
			return err
		}
		if g.own, err = dirlock.TryExclusive(filepath.Join(g.dir, dirLock)); err != nil {
			return err
		}
	}
	return g.listen()
}

// dirLock is what the wasm engine knows the temporary directories by that it may remove
// once nobody holds it.
const dirLock = "lock"

// listen serves clients. g.mu is held, or nobody else has g yet.
func (g *guest) listen() error {
	ln, err := engines.ListenUnix(filepath.Join(g.dir, ".s.PGSQL."+strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("listen for the leased server: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	srv := g.srv
	go func() {
		defer close(served)
		err := engines.Serve(ctx, ln, func(context.Context, engines.Startup) (engines.Server, error) { return srv, nil })
		if err != nil {
			g.source.log.Warn("listen for the leased server", "name", g.name, "err", err)
		}
	}()
	g.hangup, g.served = cancel, served
	return nil
}

// silence ends the listening and every connection. g.mu is held.
func (g *guest) silence() {
	g.hangup()
	<-g.served
}

// hangUp ends every connection.
func (g *guest) hangUp() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errors.New("the server has been closed")
	}
	g.silence()
	return g.listen()
}

// replace puts another server in the place of this one.
func (g *guest) replace(ctx context.Context, srv engines.Server) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errors.Join(errors.New("the server has been closed"), srv.Close(ctx))
	}
	g.silence()
	old := g.srv
	g.srv = srv
	g.watch(srv)
	err := old.Close(ctx)
	// The socket was in the old one's directory.
	if g.own == nil {
		mkErr := os.Mkdir(g.dir, 0o700)
		if mkErr == nil {
			g.own, mkErr = dirlock.TryExclusive(filepath.Join(g.dir, dirLock))
		}
		if mkErr != nil {
			return errors.Join(err, mkErr)
		}
	}
	return errors.Join(err, g.listen())
}

func (g *guest) close(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	g.silence()
	err := g.srv.Close(ctx)
	g.work.Wait()
	if g.own != nil {
		err = errors.Join(err, os.RemoveAll(g.dir), g.own.Unlock())
	}
	return err
}

// alive reports whether the server runs. It does not wait.
func (g *guest) alive() bool {
	if !g.mu.TryLock() {
		return true // it is being replaced or closed, by somebody who has the item
	}
	defer g.mu.Unlock()
	select {
	case <-g.srv.Done():
		return false
	default:
		return !g.closed
	}
}

func (g *guest) server() engines.Server {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.srv
}

// item describes the guest to the pool.
func (g *guest) item(version string) *lease.Item {
	env := environ(g.srv.Info(), g.dir, g.source.database)
	return &lease.Item{
		Name: g.name, Version: version, URL: env[0][len(urlVariable):], Env: env,
		Dial: func(ctx context.Context) (net.Conn, error) { return g.server().Dial(ctx) },
		Config: func() (*pgx.ConnConfig, error) {
			return engines.ConnConfig(g.server(), g.source.database, "")
		},
	}
}

const urlVariable = "DATABASE_URL="

// environ leads clients to a server by its socket.
func environ(info engines.Info, dir, database string) []string {
	info.Socket, info.Port = dir, port
	return []string{
		urlVariable + info.URL(database), "PGHOST=" + dir, "PGPORT=" + strconv.Itoa(port),
		"PGUSER=" + info.User, "PGDATABASE=" + database,
	}
}
