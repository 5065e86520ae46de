package fleet

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/pubsub"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
)

// An ear is the connection that listens for all clients of a database on one server, whichever
// their user: LISTEN needs no privilege.
type ear struct {
	*pubsub.Hub
	pool atomic.Pointer[pool.Pool] // whose server it has connected to
}

// ear returns the ear of the member's database.
func (m *member) ear() *pubsub.Hub {
	f, database := m.fleet, m.pair.database
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.ears[database]
	if e == nil {
		e = &ear{}
		e.Hub = pubsub.New(pubsub.Config{
			Log:     f.log.With("database", database),
			Connect: func(ctx context.Context) (pubsub.Conn, error) { return f.hear(ctx, database, e) },
		})
		f.ears[database] = e
		if f.closed {
			e.Close()
		}
	}
	return e.Hub
}

// hear connects to the primary of a database, as the first of its users who may.
func (f *Fleet) hear(ctx context.Context, database string, e *ear) (pubsub.Conn, error) {
	f.mu.Lock()
	var members []*member
	for p, m := range f.members {
		if p.database == database {
			members = append(members, m)
		}
	}
	f.mu.Unlock()
	slices.SortFunc(members, func(a, b *member) int { return cmp.Compare(a.pair.user, b.pair.user) })
	err := errNoServer
	for _, m := range members {
		var p *pool.Pool
		if p, err = m.pick(ctx, 0, route.Primary); err != nil {
			continue
		}
		var c pubsub.Conn
		if c, err = shards.Listener(ctx, p.Backend()); err == nil {
			e.pool.Store(p)
			return c, nil
		}
	}
	return nil, err
}

// relocate has those listen anew whose server is no more of the fleet. It is called with the lock
// held.
func (f *Fleet) relocate() {
	for _, e := range f.ears {
		if p := e.pool.Load(); p != nil && f.pools[keyOf(p)] != p {
			e.pool.Store(nil)
			f.wg.Go(e.Reconnect)
		}
	}
}

func keyOf(p *pool.Pool) string {
	key, _ := p.Backend().ID.(string)
	return key
}

// A Channel is one that clients of a database listen to.
type Channel struct {
	Database string
	pubsub.ChannelInfo
}

// Channels lists the channels that clients listen to, but for those who have a server connection for
// it, by database and name; and how many notifications have come for any of them since the start,
// and were dropped.
func (f *Fleet) Channels() (list []Channel, received, dropped int64) {
	f.mu.Lock()
	hubs := map[string][]*pubsub.Hub{}
	for database, e := range f.ears {
		hubs[database] = append(hubs[database], e.Hub)
	}
	for _, c := range f.opened {
		hubs[c.Database.Name] = append(hubs[c.Database.Name], c.Listeners()...)
	}
	f.mu.Unlock()
	for database, all := range hubs {
		for _, h := range all {
			channels, r, d := h.Channels()
			received, dropped = received+r, dropped+d
			for _, c := range channels {
				list = append(list, Channel{database, c})
			}
		}
	}
	slices.SortFunc(list, func(a, b Channel) int {
		return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.Name, b.Name))
	})
	return list, received, dropped
}
