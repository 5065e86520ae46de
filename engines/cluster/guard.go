package cluster

import (
	"context"
	"errors"

	"github.com/pgx-dev/pgx-dev/engines"
)

// RunAndStop calls fn with an open cluster. Afterwards, also when fn panics, the cluster
// is stopped if nobody else uses it. fn's error comes first in the returned one.
func (m *Manager) RunAndStop(ctx context.Context, req Request, fn func(context.Context, *Server) error) error {
	return m.run(ctx, req, fn, func(srv *Server) error {
		return srv.Close(context.WithoutCancel(ctx))
	})
}

// RunAndDestroy is RunAndStop, but the cluster is destroyed if nobody else uses it.
func (m *Manager) RunAndDestroy(ctx context.Context, req Request, fn func(context.Context, *Server) error) error {
	return m.run(ctx, req, fn, func(srv *Server) error {
		ctx := context.WithoutCancel(ctx)
		closeErr := srv.Close(ctx)
		err := m.Destroy(ctx, req.Spec.Dir, false)
		if errors.Is(err, engines.ErrLocked) || errors.Is(err, engines.ErrNotExist) {
			err = nil // somebody uses it still, or has destroyed it
		}
		return errors.Join(closeErr, err)
	})
}

// RunIfExists is RunAndStop for a cluster that is there already; else the error wraps
// engines.ErrNotExist and nothing is made.
func (m *Manager) RunIfExists(ctx context.Context, req Request, fn func(context.Context, *Server) error) error {
	req.Spec.MustExist = true
	return m.RunAndStop(ctx, req, fn)
}

func (m *Manager) run(ctx context.Context, req Request, fn func(context.Context, *Server) error, end func(*Server) error) (err error) {
	srv, err := m.Open(ctx, req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end(srv)) }()
	return fn(ctx, srv)
}
