package reshard

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// populatedSQL are the materialized views that have rows, or could have, or that have yet to be refreshed.
const populatedSQL = `SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated = $1 ORDER BY 1, 2`

// Refresh fills the materialized views of the destination that can be read on the source, each shard's with
// the rows that it has: pg_dump leaves them without, and a query of them would fail.
func (s *SchemaSync) Refresh(ctx context.Context) error {
	readable := map[name]bool{}
	err := func() error {
		conn, err := s.Source.Shards[0].connect(ctx)
		if err != nil {
			return err
		}
		defer shut(ctx, conn)
		rows, err := query(ctx, conn, populatedSQL, "true")
		for _, r := range rows {
			readable[name{r.str(0), r.str(1)}] = true
		}
		return err
	}()
	if err != nil || len(readable) == 0 {
		return err
	}
	var errs []error
	for d := range s.Destination.Shards {
		err := func() error {
			conn, err := s.Destination.Shards[d].connect(ctx)
			if err != nil {
				return err
			}
			defer shut(ctx, conn)
			return refresh(ctx, conn, readable)
		}()
		if err != nil {
			errs = append(errs, fmt.Errorf("shard %d of %s (%s): %w", d, s.Destination.Name, &s.Destination.Shards[d], err))
		}
	}
	return errors.Join(errs...)
}

// refresh fills views of a shard. One that reads another is filled after it.
func refresh(ctx context.Context, conn *pgconn.PgConn, readable map[name]bool) error {
	for {
		rows, err := query(ctx, conn, populatedSQL, "false")
		if err != nil {
			return err
		}
		done := 0
		var errs []error
		for _, r := range rows {
			v := name{r.str(0), r.str(1)}
			if !readable[v] {
				continue
			}
			if err := do(ctx, conn, "REFRESH MATERIALIZED VIEW "+v.String()); err != nil {
				errs = append(errs, fmt.Errorf("fill the materialized view %s, which can be read on the source: %w (do it there, or drop it)", v, err))
				continue
			}
			done++
		}
		if len(errs) == 0 {
			return nil
		}
		if done == 0 {
			return errors.Join(errs...)
		}
	}
}
