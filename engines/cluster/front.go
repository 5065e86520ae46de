package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/pgx-dev/pgx-dev/engines"
)

// A front serves a server on sockets of the supervisor, for an engine that has none of its
// own because its PostgreSQL runs inside the process.
type front struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// frontPort is in the socket's name, where clients look for PostgreSQL's own port.
const frontPort = 5432

// tcpTries is how many ports are tried where the first is taken.
const tcpTries = 100

// serveFront listens on the usual socket in dir and, if tcp is not empty, on that TCP
// address or the next free port, for those who know a password. It returns the TCP address.
func serveFront(srv engines.Server, dir, tcp string, log *slog.Logger) (_ *front, address string, err error) {
	wrap := func(err error) error { return fmt.Errorf("serve the %s engine: %w", srv.Info().Engine, err) }
	if err := loopback(tcp); err != nil {
		return nil, "", wrap(err)
	}
	unix, err := engines.ListenUnix(filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(frontPort)))
	if err != nil {
		return nil, "", wrap(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &front{cancel: cancel}
	f.serve(ctx, unix, srv, nil, log)
	if tcp == "" {
		return f, "", nil
	}
	ln, err := engines.ListenTCP(tcp, tcpTries)
	if err != nil {
		f.close()
		return nil, "", wrap(err)
	}
	f.serve(ctx, ln, srv, engines.Passwords(), log)
	return f, ln.Addr().String(), nil
}

// loopback returns an error unless an address, if there is one, is of this machine only.
func loopback(address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen on %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("listen on %q: only loopback addresses are served", address)
	}
	return nil
}

func (f *front) serve(ctx context.Context, ln net.Listener, srv engines.Server, auth engines.Authenticate, log *slog.Logger) {
	f.done.Go(func() {
		err := engines.ServeAuthenticated(ctx, ln, func(context.Context, engines.Startup) (engines.Server, error) { return srv, nil }, auth)
		if err != nil {
			log.Error("serve", "addr", ln.Addr(), "err", err)
		}
	})
}

// close ends every connection and waits for that.
func (f *front) close() {
	f.cancel()
	f.done.Wait()
}
