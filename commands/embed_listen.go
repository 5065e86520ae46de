package commands

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"sync"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// fronts are the listeners of this process.
type fronts struct {
	ln     *listening
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu  sync.Mutex
	err error
}

// serve serves ln in the background.
func (f *fronts) serve(ln *listening, srv engines.Server, auth engines.Authenticate) {
	ctx, cancel := context.WithCancel(context.Background())
	f.ln, f.cancel = ln, cancel
	f.wg.Go(func() {
		err := engines.ServeAuthenticated(ctx, ln, func(context.Context, engines.Startup) (engines.Server, error) { return srv, nil }, auth)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.err = err
	})
}

// close ends every connection and waits for that.
func (f *fronts) close() error {
	if f.cancel == nil {
		return nil
	}
	f.cancel()
	f.wg.Wait()
	return errors.Join(f.err, f.ln.Close())
}

// listen serves the database at the flag's address; without one on the usual socket. On TCP
// it lets in those who know their role's password; the superuser gets one, in a password
// file.
func (d *embedded) listen(ctx context.Context, f listenFlag) error {
	if !f.tcp() && f.address == "" && d.info.Socket != "" {
		return nil // the native engine listens there by itself
	}
	var auth engines.Authenticate
	if f.tcp() {
		pgpass := filepath.Join(d.control, "pgpass")
		if err := cluster.MakePassFile(ctx, d, pgpass); err != nil {
			return err
		}
		d.pgpass, auth = pgpass, engines.Passwords()
	}
	ln, err := f.listen(d.Server.Info().Dir)
	if err != nil {
		return err
	}
	d.info.Socket, d.info.Port = ln.dir, ln.port
	if f.tcp() {
		d.info.Port, d.info.TCP = 0, reachable(ln.Addr()) // TCP is what was asked for
	}
	d.fronts.serve(ln, d.Server, auth)
	return nil
}

// serve prints the URL and serves until interrupted.
func (d *embedded) serve(ctx context.Context, env *Env) error {
	url, err := urlOf(d, d.database)
	if err != nil {
		return err
	}
	if err := env.ready(url); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		env.Log.Info("stop", "cause", context.Cause(ctx))
		return nil
	case <-d.Done():
		return cmp.Or(d.Err(), errors.New("the server ended by itself"))
	}
}
