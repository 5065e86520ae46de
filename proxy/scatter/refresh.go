package scatter

import (
	"context"
	"errors"
	"io"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
)

// router is the one that decides now: a transaction that has done DDL has its own.
func (s *Session) router() *route.Router {
	if s.tx.router != nil {
		return s.tx.router
	}
	return s.ex.cfg.Router
}

// refresh reads the schema that the transaction has made, as its own connection sees it.
func (s *Session) refresh(ctx context.Context) error {
	if !s.tx.stale || s.ex.cfg.Fork == nil {
		return nil
	}
	s.tx.stale = false
	if s.tx.failed {
		return nil
	}
	if err := s.settle(); err != nil {
		return err
	}
	l, err := s.acquire(ctx, s.parts()[0].shard, route.Primary)
	if err != nil {
		return err
	}
	snap, err := schema.Load(ctx, querier{l})
	if err != nil {
		return err
	}
	s.tx.router = s.ex.cfg.Fork(snap)
	return nil
}

// A querier reads catalogs by a link.
type querier struct{ l *link }

// Query implements schema.Querier.
func (q querier) Query(ctx context.Context, sql string, row func([][]byte) error) error {
	b := &branch{l: q.l, sql: sql}
	if err := b.start(&request{}, nil, nil); err != nil {
		return err
	}
	if err := b.header(); err != nil {
		return err
	}
	var values [][]byte
	for {
		body, err := b.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			values, err = columnsOf(values, body)
		}
		if err == nil {
			err = row(values)
		}
		if err != nil {
			b.Stop(err)
			return err
		}
	}
}
