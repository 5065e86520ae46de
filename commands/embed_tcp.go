package commands

import (
	"context"
	"net"
	"path/filepath"
	"strconv"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// listenTCP serves the database at a TCP address, by default the first free port from 5432
// on of the loopback interface, to those who know their role's password. The superuser gets
// one, in a password file.
func (d *embedded) listenTCP(ctx context.Context, address string) error {
	tries := 1
	if address == "" {
		address, tries = net.JoinHostPort("127.0.0.1", strconv.Itoa(defaultPort)), 100
	}
	pgpass := filepath.Join(d.control, "pgpass")
	if err := cluster.MakePassFile(ctx, d, pgpass); err != nil {
		return err
	}
	ln, err := engines.ListenTCP(address, tries)
	if err != nil {
		return err
	}
	d.pgpass, d.info.TCP = pgpass, reachable(ln.Addr())
	d.info.Socket, d.info.Port = "", 0 // TCP is what was asked for
	d.fronts.serve(ln, d.Server, engines.Passwords())
	return nil
}

// reachable returns an address that this machine's clients can dial for one that is
// listened on: every interface is reached through the loopback one.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	host := "127.0.0.1"
	if tcp.IP.To4() == nil {
		host = "::1"
	}
	return net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}
