package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/wire"
)

// errMoved is told to sessions of a database whose servers have another name now.
var errMoved = &wire.Error{
	Severity: wire.SeverityFatal, Code: wire.CodeAdminShutdown,
	Message: "the database has moved to other servers", Hint: "Connect again.",
}

// HoldDatabases has no pool of some databases, new ones included, serve anybody until ReleaseDatabases, and
// returns once nobody uses their connections and nothing of theirs is being committed in two phases. If ctx
// ends first they are served again.
func (f *Fleet) HoldDatabases(ctx context.Context, names ...string) error {
	f.mu.Lock()
	for _, n := range names {
		f.moving[n] = true
	}
	f.mu.Unlock()
	err := f.still(ctx, names)
	if err != nil {
		f.ReleaseDatabases(names...)
	}
	return err
}

// still waits until nothing runs on held databases.
func (f *Fleet) still(ctx context.Context, names []string) error {
	for _, p := range f.poolsOf(names) {
		p.Hold()
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		busy := 0
		for _, p := range f.poolsOf(names) {
			s := p.Stats()
			busy += s.Active
		}
		pending, _ := f.TwoPhase()
		for _, n := range names {
			busy += len(pending[n])
		}
		if busy == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d connections are still in use, by transactions or by clients that keep theirs: %w", busy, context.Cause(ctx))
		}
	}
}

// ReleaseDatabases ends HoldDatabases.
func (f *Fleet) ReleaseDatabases(names ...string) {
	f.mu.Lock()
	var ours []string
	for _, n := range names {
		if f.moving[n] {
			delete(f.moving, n)
			ours = append(ours, n)
		}
	}
	held := f.held
	f.mu.Unlock()
	if held {
		return
	}
	for _, p := range f.poolsOf(ours) {
		p.Resume()
	}
}

// Moving reports whether a database is held by HoldDatabases.
func (f *Fleet) Moving(database string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moving[database]
}

// poolsOf are the pools of some databases.
func (f *Fleet) poolsOf(names []string) []*pool.Pool {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*pool.Pool
	for pair, m := range f.members {
		if !slices.Contains(names, pair.database) {
			continue
		}
		m.mu.Lock()
		for _, s := range m.plan.Servers {
			if p := f.pools[s.Key]; p != nil && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
		m.mu.Unlock()
	}
	return out
}

// Exchange takes another source, in which the databases that are named have other servers: who asks for
// one gets those, and sessions that are there already get no connection any more; kick ends them.
func (f *Fleet) Exchange(source Source, kick func(), names ...string) {
	f.mu.Lock()
	f.source = source
	f.wave.Add(1)
	var gone []*member
	var old []*shards.Cluster
	var ears []*ear
	for pair, m := range f.members {
		if slices.Contains(names, pair.database) {
			m.moved.Store(true)
			gone = append(gone, m)
			delete(f.members, pair)
		}
	}
	for _, n := range names {
		if e := f.ears[n]; e != nil {
			ears = append(ears, e)
			delete(f.ears, n)
		}
	}
	f.mu.Unlock()
	for _, m := range gone {
		m.opening.Lock() // which comes before the fleet's
		if m.cluster != nil {
			old = append(old, m.cluster)
		}
		m.opening.Unlock()
	}
	f.mu.Lock()
	f.opened = slices.DeleteFunc(f.opened, func(c *shards.Cluster) bool { return slices.Contains(old, c) })
	f.mu.Unlock()
	kick()
	for _, e := range ears {
		e.Close()
	}
	var errs []error
	for _, c := range old {
		errs = append(errs, c.Close())
	}
	if err := errors.Join(errs...); err != nil {
		f.log.Warn("close a database on several shards", "error", err)
	}
	f.Reload(source)
}
