package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/alecthomas/kong"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// A listenFlag is --listen unix[:DIR] or --listen tcp[:HOST:PORT].
type listenFlag struct{ network, address string }

// Decode reads the flag's value.
func (f *listenFlag) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("WHERE", &text); err != nil {
		return err
	}
	network, address, given := strings.Cut(text, ":")
	*f = listenFlag{network, address}
	switch {
	case network != "unix" && network != "tcp" || given && address == "":
		return fmt.Errorf("%q is not unix, unix:DIR, tcp, tcp:PORT or tcp:HOST:PORT", text)
	case network == "tcp" && given:
		if !strings.Contains(address, ":") {
			address = ":" + address
		}
		host, port, err := net.SplitHostPort(address)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return fmt.Errorf("%q is not a port, nor a host and a port", f.address)
		}
		f.address = net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port)
	}
	return nil
}

// fronts are the listeners of this process.
type fronts struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu  sync.Mutex
	err error
}

// serve serves ln in the background.
func (f *fronts) serve(ln net.Listener, srv engines.Server, auth engines.Authenticate) {
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	f.wg.Go(func() {
		err := engines.ServeAuthenticated(ctx, ln, func(context.Context, engines.Startup) (engines.Server, error) { return srv, nil }, auth)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.err = err
	})
}

// close ends every connection and waits for that.
func (f *fronts) close() error {
	if f.cancel != nil {
		f.cancel()
	}
	f.wg.Wait()
	return f.err
}

// listen serves the database at the flag's address; without one on the usual socket.
func (d *embedded) listen(ctx context.Context, f listenFlag) error {
	if f.network == "tcp" {
		return d.listenTCP(ctx, f.address)
	}
	if f.address == "" && d.info.Socket != "" {
		return nil // the native engine listens there by itself
	}
	dir, port, err := d.socketPlace(f.address)
	if err != nil {
		return err
	}
	ln, err := engines.ListenUnix(filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(port)))
	if err != nil {
		return err
	}
	d.info.Socket, d.info.Port = dir, port
	d.fronts.serve(ln, d.Server, nil)
	return nil
}

var socketName = regexp.MustCompile(`^\.s\.PGSQL\.([0-9]{1,5})$`)

// socketPlace returns the directory and the port number in the name of the socket that a
// person asked for: by the directory, or by the name that libpq gives sockets.
func (d *embedded) socketPlace(path string) (dir string, port int, err error) {
	if path == "" {
		dir, err = place.Run(d.Server.Info().Dir)
		return dir, defaultPort, err
	}
	if dir, err = filepath.Abs(path); err != nil {
		return "", 0, err
	}
	port = defaultPort
	if m := socketName.FindStringSubmatch(filepath.Base(dir)); m != nil {
		if port, err = strconv.Atoi(m[1]); err != nil {
			return "", 0, err
		}
		dir = filepath.Dir(dir)
	}
	if limit := place.MaxSocketDir(); len(dir) > limit {
		return "", 0, fmt.Errorf("listen in %s: its name has %d bytes, and sockets allow %d; choose a shorter one", dir, len(dir), limit)
	}
	if err := os.Mkdir(dir, 0o700); err == nil {
		d.cleanup = append(d.cleanup, dir)
	} else if !errors.Is(err, os.ErrExist) {
		return "", 0, fmt.Errorf("make a directory for the socket: %w", err)
	} else if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
		return "", 0, errors.Join(fmt.Errorf("listen in %s: clients look for the socket .s.PGSQL.%d in a directory, and that is none", dir, port), err)
	}
	return dir, port, nil
}

// defaultPort is PostgreSQL's (DEF_PGPORT).
const defaultPort = 5432

// serve prints the URL and serves until interrupted.
func (d *embedded) serve(ctx context.Context, env *Env) error {
	url, err := urlOf(d, d.database)
	if err != nil {
		return err
	}
	env.UI.Printf("%s\n", url)
	select {
	case <-ctx.Done():
		env.Log.Info("stop", "cause", context.Cause(ctx))
		return nil
	case <-d.Done():
		return cmp.Or(d.Err(), errors.New("the server ended by itself"))
	}
}
