package scatter

import (
	"context"

	"github.com/pgx-dev/pgx-dev/proxy/route"
)

// vacant refuses a statement by which a table would be divided in another way if the table has rows
// on any shard. It is locked as ALTER TABLE would, so that none come before that is done.
func (s *Session) vacant(ctx context.Context, d *route.Decision) error {
	v := d.Plan.Vacancy
	for _, shard := range d.Targets() {
		l, err := s.acquire(ctx, shard, route.Primary)
		if err != nil {
			return err
		}
		if _, err := l.exec("LOCK TABLE " + v.Table + " IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		rows, err := l.table("SELECT 1 FROM " + v.Table + " LIMIT 1")
		if err != nil {
			return err
		}
		if len(rows) > 0 {
			return v.Why
		}
	}
	return nil
}
