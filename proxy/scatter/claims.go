package scatter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/claim"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A bounded Conn knows how many there are of its kind, and how long sessions wait for one; 0 is
// for ever.
type bounded interface {
	Bound() (connections int, patience time.Duration)
}

// A limited Conn knows what bounds its kind together with others.
type limited interface {
	Limits() (pool any, limits []claim.Limit)
}

// A boundary is what has been learnt of the connections to a shard's server in a role.
type boundary struct {
	pool        any
	connections int
	limits      []claim.Limit
	most        []int // of the limits
}

// learn takes down how many connections there are like that of a link.
func (e *Executor) learn(l *link) {
	if b, ok := l.conn.(bounded); ok {
		n, patience := b.Bound()
		var pool any
		var limits []claim.Limit
		if b, ok := l.conn.(limited); ok {
			pool, limits = b.Limits()
		}
		e.SetBound(l.shard, l.role, pool, n, patience, limits...)
	}
}

// SetBound says of what pool connections to a shard's server in a role come, how many, and how long
// sessions wait for one; 0 is for ever. limits are what bounds them together with others. It is
// learnt from connections that are lent, too, but they may be too many by then.
func (e *Executor) SetBound(shard int, role route.Role, pool any, connections int, patience time.Duration, limits ...claim.Limit) {
	replica := role == route.Replica
	place := &e.bounds[2*shard]
	if replica {
		place = &e.bounds[2*shard+1]
	}
	if e.patience.Load() != int64(patience) {
		e.patience.Store(int64(patience))
	}
	old := place.Load()
	same := old != nil && old.pool == pool && old.connections == connections && slices.Equal(old.limits, limits)
	for i := 0; same && i < len(limits); i++ {
		same = limits[i].Max() == old.most[i]
	}
	if same {
		return
	}
	now := &boundary{pool: pool, connections: connections, limits: limits}
	for _, l := range limits {
		now.most = append(now.most, l.Max())
	}
	place.Store(now)
	e.claims.Learn(shard, replica, pool, connections, limits...)
}

// claim makes sure that a session that has other shards' connections, or may come to need
// them, does not wait for who waits for it.
func (s *Session) claim(ctx context.Context, shard int, role route.Role) error {
	for _, l := range s.links {
		if l != nil && !l.claimed { // it was for a statement alone, and no more is
			l.claimed = true
			s.ex.claims.Note(&s.holder, l.shard, l.role == route.Replica)
		}
	}
	patience := time.Duration(s.ex.patience.Load())
	err := s.ex.claims.Take(ctx, &s.holder, shard, role == route.Replica, patience)
	if errors.Is(err, claim.ErrNever) {
		return &wire.Error{
			Code: wire.CodeTooManyConnections, Message: fmt.Sprintf("no connection to shard %d beside those that the session has is allowed", shard),
			Detail: err.Error(), Hint: "Raise the limit to the number of shards at least, or ask one shard at a time.",
		}
	}
	if errors.Is(err, claim.ErrTimeout) {
		return &wire.Error{
			Code: wire.CodeTooManyConnections, Message: fmt.Sprintf("no connection to shard %d became free within %v", shard, patience),
			Detail: "Transactions that hold connections to other shards wait for them, too.",
			Hint:   "Raise default_pool_size or checkout_timeout, or make transactions shorter.",
		}
	}
	return err
}

// unclaim ends what claim began.
func (s *Session) unclaim(l *link) {
	if l.claimed {
		l.claimed = false
		s.ex.claims.Give(&s.holder, l.shard)
	}
}
