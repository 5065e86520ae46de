package commands

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A wireTarget is a server that somebody named: a cluster of this project, or any other.
type wireTarget struct {
	name   string         // to speak of it
	config *pgconn.Config // how to connect to it
	dial   func(ctx context.Context) (net.Conn, error)
	close  func(ctx context.Context) error
}

// wireTargetOf finds a server by a URL or connection string, HOST:PORT, the path of a
// socket or its directory, or the name of a cluster that runs; "" is the cluster main.
func wireTargetOf(ctx context.Context, env *Env, text, label string) (*wireTarget, error) {
	switch {
	case strings.Contains(text, "://"), strings.Contains(text, "="):
		return remoteTarget(text)
	case strings.HasPrefix(text, "/"):
		dir, port := text, "5432"
		if m := socketName.FindStringSubmatch(filepath.Base(text)); m != nil {
			dir, port = filepath.Dir(text), m[1]
		}
		return remoteTarget(fmt.Sprintf("host='%s' port=%s", strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(dir), port))
	case strings.Contains(text, ":"):
		host, port, err := net.SplitHostPort(text)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil || host == "" {
			return nil, usageError("%q is not HOST:PORT, a URL, the path of a socket or the name of a cluster", text)
		}
		return remoteTarget(fmt.Sprintf("host=%s port=%s sslmode=disable", host, port))
	}
	srv, cfg, err := attach(ctx, env, target{Name: nameArg(text)}, label)
	if err != nil {
		return nil, err
	}
	return clusterTarget(srv, cfg)
}

func clusterTarget(srv *cluster.Server, cfg cluster.Config) (*wireTarget, error) {
	conn, err := engines.ConnConfig(srv, cfg.Database, "")
	if err != nil {
		return nil, errors.Join(err, srv.Close(context.Background()))
	}
	return &wireTarget{
		name: filepath.Base(srv.Info().Dir), config: &conn.Config, dial: srv.Dial, close: srv.Close,
	}, nil
}

func remoteTarget(text string) (*wireTarget, error) {
	cfg, err := pgconn.ParseConfig(text)
	if err != nil {
		return nil, &ExitError{ExitUsage, err} // without its password
	}
	network, address := pgconn.NetworkAddress(cfg.Host, cfg.Port)
	// TLS only where the URL demands it: the tap is here to show what is in the clear.
	demanded := cfg.TLSConfig
	if slices.ContainsFunc(cfg.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil }) {
		demanded = nil
	}
	t := &wireTarget{name: address, config: cfg, close: func(context.Context) error { return nil }}
	t.dial = func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		nc, err := d.DialContext(ctx, network, address)
		if err != nil || demanded == nil {
			return nc, err
		}
		encrypted, err := startTLS(ctx, nc, demanded)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("TLS with %s: %w", address, err), nc.Close())
		}
		return encrypted, nil
	}
	return t, nil
}

// startTLS asks a server for TLS and begins it.
func startTLS(ctx context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := nc.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if _, err := nc.Write((&wire.SSLRequest{}).AppendTo(nil)); err != nil {
		return nil, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(nc, answer[:]); err != nil {
		return nil, err
	}
	if answer[0] != wire.SSLAccepted {
		return nil, errors.New("the server has no TLS, and the URL demands it")
	}
	encrypted := tls.Client(nc, cfg)
	return encrypted, encrypted.HandshakeContext(ctx)
}
