package databases

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
)

// encrypt turns a connection to TLS as a URL's sslmode asks.
func encrypt(ctx context.Context, conn net.Conn, to *pgconn.FallbackConfig) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var answer [1]byte
	_, err := conn.Write(sslRequest())
	if err == nil {
		_, err = io.ReadFull(conn, answer[:])
	}
	if err == nil && answer[0] != wire.SSLAccepted {
		err = errNoTLS
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ask %s for TLS: %w", to.Host, err), conn.Close())
	}
	secure := tls.Client(conn, to.TLSConfig)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secure, nil
}
