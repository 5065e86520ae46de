package console

import (
	"maps"
	"slices"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/admin"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/metrics"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/socket"
)

// Metrics returns the figures of now.
func (c *Console) Metrics() *metrics.Snapshot { return &c.Snapshot(0).Metrics }

// Snapshot returns the figures of now.
func (c *Console) Snapshot(parts admin.Part) *admin.Snapshot {
	s := &admin.Snapshot{Averager: c.averager, Started: c.started}
	cfg := c.cfg.Config()
	s.InstanceID = c.instance
	c.mu.Lock()
	s.Suspended, s.Maintenance = c.suspended, c.maintenance
	c.mu.Unlock()
	p := c.attached()
	if p != nil {
		st := p.Stats()
		s.Metrics.Clients, s.Metrics.ClientsLocked = st.Clients, st.Pinned
		for _, m := range p.Mirrors() {
			s.Metrics.Mirrors = append(s.Metrics.Mirrors, metrics.Mirror{
				Source: m.Source, Destination: m.Destination, Total: m.Total, Mirrored: m.Mirrored, Dropped: m.Dropped, Failed: m.Failed, Queue: m.Queue,
			})
		}
		s.Metrics.Prepared = metrics.Prepared{Statements: st.Statements, Memory: st.StatementMemory, Limit: cfg.General.PreparedStatementsLimit}
	}
	k := c.cfg.Fleet.Lookups()
	s.Metrics.Lookups = metrics.Lookups{
		Entries: k.Entries, Bytes: k.Bytes, Hits: k.Hits, Misses: k.Misses, Evictions: k.Evictions, Queries: k.Queries, QueryTime: k.Time,
	}
	r := c.cfg.Fleet.Routing()
	s.Metrics.QueryCache = metrics.QueryCache{
		Hits: int64(r.TextHits + r.Hits), Misses: int64(r.Misses), Size: r.Plans, Limit: cfg.General.QueryCacheLimit,
		Direct: int64(r.Direct), Cross: int64(r.Cross), ParseTime: r.Parsing, Fingerprints: r.Plans,
	}
	list := c.cfg.Fleet.List()
	var holds map[*pool.Pool]proxy.Holding
	if p != nil {
		holds = p.Holdings()
	}
	for i := range list {
		m, a := c.pool(&list[i])
		m.IdleXact, m.Locked = holds[list[i].Pool].IdleInTransaction, holds[list[i].Pool].Pinned
		s.Metrics.Pools = append(s.Metrics.Pools, m)
		s.Pools = append(s.Pools, a)
	}
	if p != nil && parts&admin.Clients != 0 {
		s.Clients = c.clients()
	}
	if parts&admin.Servers != 0 {
		s.Servers = c.connections(list)
	}
	if parts&admin.Plans != 0 {
		for _, q := range c.cfg.Fleet.Plans() {
			s.Plans = append(s.Plans, admin.Plan{Query: q.Query, Hits: int64(q.Hits), Direct: int64(q.Direct), Cross: int64(q.Cross), Refused: int64(q.Refused)})
		}
	}
	channels, received, dropped := c.cfg.Fleet.Channels()
	s.Metrics.PubSub = metrics.PubSub{Received: received, Dropped: dropped}
	for _, ch := range channels {
		s.Metrics.PubSub.Listeners += ch.Listeners
		if parts&admin.Listeners != 0 {
			s.Listeners = append(s.Listeners, admin.Listener{Database: ch.Database, Channel: ch.Name, Clients: ch.Listeners, Received: ch.Received, Dropped: ch.Dropped})
		}
	}
	pending, recovered := c.cfg.Fleet.TwoPhase()
	s.Metrics.TwoPhaseRecovered = int64(recovered)
	if parts&admin.Transactions != 0 {
		for _, database := range slices.Sorted(maps.Keys(pending)) {
			for _, t := range pending[database] {
				s.Transactions = append(s.Transactions, admin.Transaction{
					ID: t.Name, Database: database, State: t.State, Shards: t.Shards, Pending: t.Pending, Since: t.Since,
				})
			}
		}
	}
	if c.cfg.Peers != nil {
		for _, f := range c.cfg.Peers() {
			s.Peers = append(s.Peers, admin.Peer{ID: f.ID, Host: f.Host, Port: int(f.Port), Size: f.Most, Active: f.Active, Passed: f.Total, Failed: f.Failed})
		}
	}
	if p != nil && parts&admin.Statements != 0 {
		for _, st := range p.Statements() {
			s.Statements = append(s.Statements, admin.Statement{Name: st.Name, SQL: st.SQL, Users: st.Users, Memory: st.Memory})
		}
	}
	return s
}

// role is what a pool's server is now.
func role(l *fleet.Listed) string {
	if l.State != nil && l.State.Role == conf.Primary && !l.State.Primary && l.Server.ConfRole == conf.Auto {
		return string(conf.Auto) // another one has taken its place, and it has not been seen since
	}
	if l.State != nil && l.State.Role != conf.Auto {
		return string(l.State.Role)
	}
	if l.Server.Role == pool.Replica {
		return string(conf.Replica)
	}
	return string(l.Server.ConfRole)
}

func healthy(l *fleet.Listed) bool {
	if l.State != nil && !l.State.Healthy {
		return false
	}
	return l.Pool.Stats().LastError == nil
}

func (c *Console) pool(l *fleet.Listed) (metrics.Pool, admin.Pool) {
	st, n := l.Pool.Stats(), &l.Pool.Counters
	host, port := hostPort(l.Server.Name)
	m := metrics.Pool{
		Labels:         metrics.Labels{User: l.User, Database: l.Database, Host: host, Port: port, Shard: l.Server.Shard, Role: role(l)},
		MaxConnections: st.Size, Waiting: st.Waiting, Active: st.Active, Idle: st.Idle, MaxWait: st.MaxWait, Errors: st.Errors,
		OutOfSync: st.OutOfSync,
		Totals: metrics.Totals{
			Xacts: n.Xacts.Load(), Queries: n.Queries.Load(), ServerErrors: n.Errors.Load(), XactTime: n.XactTime(), QueryTime: n.QueryTime(),
			Received: st.Received, Sent: st.Sent, Rollbacks: st.Rollbacks, Connects: st.Connects, ConnectTime: st.ConnectTime,
			Cleaned: st.Cleaned, PreparedEvictions: n.Evictions.Load(),
			Reads: n.Reads.Load(), Writes: n.Writes.Load(), RowsInserted: n.RowsInserted.Load(), RowsUpdated: n.RowsUpdated.Load(),
			RowsDeleted: n.RowsDeleted.Load(), Xacts2PC: n.TwoPhased.Load(), IdleXactTime: n.IdleTime(), IdleXactTimeouts: n.IdleTimeouts.Load(), AuthAttempts: st.Connects + st.Errors,
			Parses: n.Parses.Load(), Binds: n.Binds.Load(), ClientParses: n.ClientParses.Load(), Closes: n.Closes.Load(), Assignments: st.Checkouts, Waited: st.WaitTime,
		},
		QueryLatency: &n.Query, TransactionLatency: &n.Xact, CheckoutLatency: &n.Checkout,
	}
	a := admin.Pool{
		ID: l.ID, Mode: conf.PoolerMode(l.Mode.String()), Paused: st.Paused, Healthy: healthy(l), Online: true, Connecting: st.Connecting,
		Clients: st.Active + st.Waiting, Size: st.Size, MinSize: l.Server.Pool.Min, Reserve: l.Server.Pool.Reserve, ServerDatabase: l.Server.Login.Database,
		ReSynced: st.Resynced, ForceClosed: st.Forced,
	}
	c.mu.Lock()
	a.Disabled = c.disabled[l.Database]
	c.mu.Unlock()
	if s := l.State; s != nil {
		a.Banned, a.BanReason, a.BanUntil, a.Lag = s.Banned, s.Reason, s.Until, s.Lag
		if s.Lagging && !s.Banned {
			a.Banned, a.BanReason = true, "it is too far behind the primary"
		}
		a.Online = !s.Banned && !s.Lagging || s.Primary
	}
	return m, a
}

func (c *Console) clients() []admin.Client {
	all := c.attached().Sessions()
	out := make([]admin.Client, len(all))
	now := time.Now()
	for i := range all {
		s := &all[i]
		host, port := "unix", 0
		if s.Client.Addr != nil && s.Client.Addr.Network() != "unix" {
			host, port = hostPort(s.Client.Addr.String())
		}
		out[i] = admin.Client{
			ID: int64(s.ID), User: s.Client.User, Database: s.Client.Database, Addr: host, Port: port, State: s.State,
			Replication: s.Replication, Locked: s.Pinned != "", ConnectTime: s.Since, LastRequest: s.Last,
			Queries: s.Queries, Transactions: s.Transactions, WaitTime: s.Waited, QueryTime: s.Querying,
			Received: s.Received, Sent: s.Sent, Errors: s.Errors, ApplicationName: s.Client.Param("application_name"),
			PreparedStatements: s.Statements, Query: s.Query, TLS: s.TLS, Xacts2PC: s.TwoPhased, XactTime: s.Transacting, Memory: s.Memory,
		}
		out[i].TLSVersion, out[i].Physical, out[i].FD = s.TLSVersion, s.Physical, s.FD
		if out[i].LocalAddr = "unix"; s.Local != nil && s.Local.Network() != "unix" {
			out[i].LocalAddr, out[i].LocalPort = hostPort(s.Local.String())
		}
		if !s.Asked.IsZero() {
			out[i].Since = now.Sub(s.Asked)
		}
	}
	return out
}

// connections lists the server connections, with the client of each.
func (c *Console) connections(list []fleet.Listed) []admin.Server {
	users := map[*pool.Conn]int64{}
	if p := c.attached(); p != nil {
		for _, s := range p.Sessions() {
			if s.Server != nil {
				users[s.Server] = int64(s.ID)
			}
		}
	}
	var out []admin.Server
	for i := range list {
		l := &list[i]
		host, port := hostPort(l.Server.Name)
		for _, conn := range l.Pool.Conns() {
			s := admin.Server{
				ID: int64(conn.PID()), PID: conn.PID(), Database: l.Server.Login.Database, User: l.Server.Login.User, Addr: host, Port: port,
				Shard: l.Server.Shard, Role: role(l), State: "idle", ConnectTime: conn.Born(), Received: conn.BytesIn.Load(), Sent: conn.BytesOut.Load(),
				Transactions: conn.Tally.Xacts.Load(), Queries: conn.Tally.Queries.Load(), Rollbacks: conn.Tally.Rollbacks.Load(),
				PreparedStatements: int(conn.Tally.Prepared.Load()), Healthchecks: conn.Tally.Checks.Load(), Errors: conn.Tally.Errors.Load(), Memory: conn.Memory(),
			}
			local, remote, version, closing := conn.Ends()
			s.TLSVersion, s.Closing, s.TLS = version, closing, version != ""
			s.FD = socket.Descriptor(conn.Net())
			if s.LocalAddr = "unix"; local != nil && local.Network() == "tcp" {
				s.LocalAddr, s.LocalPort = hostPort(local.String())
				s.RemoteAddr, _ = hostPort(remote.String())
			}
			if id := users[conn]; id != 0 {
				s.State, s.Client = "active", id
			}
			out = append(out, s)
		}
	}
	return out
}
