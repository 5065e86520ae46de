package shards

import (
	"context"

	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

// waits asks a shard's primary which of its processes wait for which others, past its pool: those
// who wait may have all of its connections.
func (c *Cluster) waits(ctx context.Context, shard int) (out []scatter.Wait, err error) {
	conn, err := connect(ctx, c.pick, shard)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	err = conn.Query(ctx, scatter.WaitsSQL, func(row [][]byte) error {
		w, err := scatter.ReadWait(row)
		out = append(out, w)
		return err
	})
	return out, err
}
