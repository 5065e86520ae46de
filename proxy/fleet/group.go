package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/balance"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A group is the servers of one shard of a database, of all its users together: what is known
// of them is the same for everybody.
type group struct {
	*balance.Group
	servers []Server      // as the one who came first logs in there; for checks
	wait    time.Duration // for a primary
	stop    context.CancelFunc

	mu    sync.Mutex
	pools [][]*pool.Pool // of each server, those of all users
}

func (g *group) add(i int, p *pool.Pool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pools[i] = append(slices.DeleteFunc(g.pools[i], (*pool.Pool).Closed), p)
}

// active is how many connections to a server are in use.
func (g *group) active(i int) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.pools[i] {
		n += p.Active()
	}
	return n
}

func groupKey(p *Plan, shard int) string { return fmt.Sprint(p.Group, " ", shard) }

// groupOf returns the group of the servers of a shard.
func (f *Fleet) groupOf(p Plan, shard int, servers []Server) (*group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, pool.ErrClosed
	}
	key := groupKey(&p, shard)
	if g := f.groups[key]; g != nil {
		return g, nil
	}
	g := &group{servers: servers, wait: p.Wait, pools: make([][]*pool.Pool, len(servers))}
	targets := make([]balance.Target, len(servers))
	for i := range servers {
		targets[i] = balance.Target{Name: servers[i].Name, Role: servers[i].ConfRole, Weight: servers[i].Weight, Active: func() int { return g.active(i) }}
	}
	cfg := p.Balance
	cfg.Logger = f.log
	g.Group = balance.New(cfg, targets)
	ctx, cancel := context.WithCancel(context.Background())
	g.stop = cancel
	checker := balance.NewChecker(g.Group, p.Checker, g.dial)
	f.wg.Go(func() { checker.Run(ctx) })
	f.groups[key] = g
	return g, nil
}

// dial opens a connection for a check.
func (g *group) dial(ctx context.Context, target int) (net.Conn, error) {
	nc, _, _, rest, err := pool.Open(ctx, &g.servers[target].Backend, nil)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		_ = nc.Close()
		return nil, errors.New("the server says more than it was asked")
	}
	return nc, nil
}

// end stops the checks, and ends the wait of whoever waits for a primary.
func (g *group) end() {
	g.stop()
	g.Release(pool.ErrClosed)
}

// choose returns the server for a role.
func (g *group) choose(ctx context.Context, role route.Role) (int, error) {
	switch role {
	case route.Replica, route.AnyRole:
		return g.Read()
	case route.PreferPrimary:
		if i, ok := g.Primary(); ok {
			return i, nil
		}
		return g.Read()
	}
	if i, ok := g.Primary(); ok {
		return i, nil
	}
	if g.wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, g.wait)
		defer cancel()
	}
	return g.WaitPrimary(ctx)
}

// now returns the server for a role, unless that takes a wait or there is none.
func (g *group) now(role route.Role) (i int, ok bool) {
	if role == route.Primary || role == route.PreferPrimary {
		if i, ok := g.Primary(); ok || role == route.Primary {
			return i, ok
		}
	}
	i, err := g.Read()
	return i, err == nil
}

// failed says that an error of a checkout is the server's fault, and not that of too many
// clients.
func failed(err error) bool {
	e, ok := errors.AsType[*wire.Error](err)
	return ok && (e.Code.Class() == "08" || e.Code.IsShutdown())
}
