package shards

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// An absent shard has not been reached since the cluster was opened, so that neither its schema
// nor the numbers of its types are known.
type absent struct {
	is atomic.Bool

	mu   sync.Mutex
	err  error
	when time.Time
}

// pause is how long an absent shard is not tried again.
const pause = time.Second

func (a *absent) set(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err, a.when = err, time.Now()
	a.is.Store(true)
}

// last is why it could not be reached, if that was just now.
func (a *absent) last() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.when) < pause {
		return a.err
	}
	return nil
}

func unreachable(shard int, err error) error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		c := *e
		c.Message = fmt.Sprintf("shard %d: %s", shard, e.Message)
		return &c
	}
	return wire.Errorf(wire.CodeConnectionFailure, "shard %d: %w", shard, err)
}

// pick is what sessions pick by: a shard that has been absent is read before it is used.
func (c *Cluster) pick(ctx context.Context, shard int, role route.Role) (*pool.Pool, error) {
	if away := &c.away[shard]; away.is.Load() {
		if err := c.fetch(ctx, shard); err != nil {
			return nil, unreachable(shard, err)
		}
	}
	return c.cfg.Pick(ctx, shard, role)
}

// ready is pick where that takes no time.
func (c *Cluster) ready(shard int, role route.Role) *pool.Pool {
	if c.away[shard].is.Load() {
		return nil
	}
	return c.cfg.Ready(shard, role)
}

// fetch reads a shard that has been absent.
func (c *Cluster) fetch(ctx context.Context, shard int) error {
	away := &c.away[shard]
	if err := away.last(); err != nil {
		return err
	}
	c.reloading.Lock()
	defer c.reloading.Unlock()
	if err := away.last(); err != nil || !away.is.Load() {
		return err
	}
	conn, err := connect(ctx, c.cfg.Pick, shard)
	if err != nil {
		if ctx.Err() == nil {
			away.set(err)
		}
		return err
	}
	conn.Close()
	if c.Coordinator != nil {
		// What is decided is to be seen at once; what is prepared has locks.
		if err := c.Coordinator.Resolve(ctx); err != nil {
			c.cfg.Logger.Warn("transactions that were left in the middle of a commit could not all be resolved; it will be tried again", "error", err)
		}
	}
	if err := c.reload(ctx); err != nil {
		return err
	}
	return away.last()
}
