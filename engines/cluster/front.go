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

// serveFront listens on the usual socket in dir.
func serveFront(srv engines.Server, dir string, log *slog.Logger) (*front, error) {
	ln, err := engines.ListenUnix(filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(frontPort)))
	if err != nil {
		return nil, fmt.Errorf("serve the %s engine: %w", srv.Info().Engine, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &front{cancel: cancel}
	f.serve(ctx, ln, srv, log)
	return f, nil
}

func (f *front) serve(ctx context.Context, ln net.Listener, srv engines.Server, log *slog.Logger) {
	f.done.Go(func() {
		err := engines.Serve(ctx, ln, func(context.Context, engines.Startup) (engines.Server, error) { return srv, nil })
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
