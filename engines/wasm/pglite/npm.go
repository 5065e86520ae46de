package pglite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// pack fetches a package with npm and verifies it.
func pack(ctx context.Context, p Package) ([]byte, error) {
	npm, err := exec.LookPath("npm")
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%w: %s, and there is no npm on PATH; install npm, or run «npm pack %s» elsewhere and name the file", ErrNotFetched, p.Spec(), p.Spec())
	} else if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgx-dev-npm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	cmd := exec.CommandContext(ctx, npm, "pack", p.Spec(), "--silent", "--ignore-scripts", "--pack-destination", dir)
	// npm would leave a copy of every package in the user's cache.
	cmd.Env = append(os.Environ(), "npm_config_cache="+filepath.Join(dir, "cache"), "npm_config_update_notifier=false")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%w: npm pack %s: %w: %s", ErrNotFetched, p.Spec(), err, bytes.TrimSpace(stderr.Bytes()))
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("npm pack %s: it left %d tarballs", p.Spec(), len(found))
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		return nil, err
	}
	return b, p.Verify(b)
}
