package commands

import (
	"context"
	"fmt"

	"github.com/pgx-dev/pgx-dev/engines"
)

// listenTCP serves the database at a TCP address, to those who know the password.
func (d *embedded) listenTCP(context.Context, string) error {
	return fmt.Errorf("listen on TCP: %w: there is no password check yet, and without one TCP is open to everybody on this machine; use --listen unix", engines.ErrUnsupported)
}
