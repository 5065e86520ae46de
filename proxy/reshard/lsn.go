package reshard

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
)

// currentLSN is how far a server has got: what is committed is before it, though with synchronous_commit off
// it may not have been written yet.
func currentLSN(ctx context.Context, conn *pgconn.PgConn) (wire.LSN, error) {
	text, err := one(ctx, conn, "SELECT pg_catalog.pg_current_wal_insert_lsn()")
	if err != nil {
		return 0, fmt.Errorf("ask how far the server has written: %w", err)
	}
	return wire.ParseLSN(text)
}

// Ends returns how far each source shard has got, and has them write something behind that, to disk, so that
// a stream which has passed it says so.
func (m *Move) Ends(ctx context.Context) ([]wire.LSN, error) {
	out := make([]wire.LSN, len(m.Source.Shards))
	for i := range m.Source.Shards {
		err := func() (err error) {
			conn, err := m.Source.Shards[i].connect(ctx)
			if err != nil {
				return err
			}
			defer shut(ctx, conn)
			if out[i], err = currentLSN(ctx, conn); err != nil {
				return err
			}
			return do(ctx, conn, "SELECT pg_catalog.pg_logical_emit_message(true, 'pgx-dev', 'here')")
		}()
		if err != nil {
			return nil, fmt.Errorf("shard %d of %s (%s): %w", i, m.Source.Name, &m.Source.Shards[i], err)
		}
	}
	return out, nil
}

// Passed returns by how many bytes the streams together have not come to some positions yet.
func (m *Move) Passed(ends []wire.LSN) (lacking int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, s := range m.slots {
		lacking += max(0, int64(ends[i])-int64(s.figures.position.Load()))
	}
	return lacking
}

// prepared names a transaction that is prepared on a source shard, if there is one: whoever commits it there
// after the cutover has written what nobody reads.
func (m *Move) prepared(ctx context.Context) (gid string, err error) {
	for i := range m.Source.Shards {
		err := func() error {
			conn, err := m.Source.Shards[i].connect(ctx)
			if err != nil {
				return err
			}
			defer shut(ctx, conn)
			found, err := one(ctx, conn, "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = current_database() LIMIT 1")
			if found != "" {
				gid = found
			}
			return err
		}()
		if err != nil {
			return "", fmt.Errorf("shard %d of %s (%s): %w", i, m.Source.Name, &m.Source.Shards[i], err)
		}
	}
	return gid, nil
}
