package fleet

import (
	"context"
	"slices"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// follow looks a server's name up every ttl until the pool is closed, and replaces the pool's
// connections when the name stands for other addresses than before. Those in use are replaced
// when they come back.
func (f *Fleet) follow(p *pool.Pool, host string, ttl time.Duration) {
	tick := time.NewTicker(ttl)
	defer tick.Stop()
	known := f.addresses(p, host, ttl)
	for {
		select {
		case <-p.Context().Done():
			return
		case <-tick.C:
		}
		now := f.addresses(p, host, ttl)
		switch {
		case now == nil: // nobody could tell; what is known may hold
		case known != nil && !slices.Equal(known, now):
			f.log.Info("a server has another address", "host", host, "was", known, "is", now)
			p.Reconnect()
			fallthrough
		default:
			known = now
		}
	}
}

// addresses returns a host's addresses in order; nil if they cannot be had.
func (f *Fleet) addresses(p *pool.Pool, host string, ttl time.Duration) []string {
	ctx, cancel := context.WithTimeout(p.Context(), max(ttl, time.Second))
	defer cancel()
	out, err := f.lookup(ctx, host)
	if err != nil {
		if ctx.Err() == nil {
			f.log.Warn("look a server's name up", "host", host, "error", err)
		}
		return nil
	}
	out = slices.Clone(out)
	slices.Sort(out)
	return slices.Compact(out)
}
