package admin

import (
	"cmp"
	"strconv"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/metrics"
)

// A poolRow is all that is known of a pool.
type poolRow struct {
	metrics.Pool
	extra Pool
	avg   metrics.Average
	of    *metrics.Snapshot
}

// pools joins the figures of pools with what else is known of them.
func (a *answer) pools() []poolRow {
	s := a.proxy.Snapshot(0)
	out := make([]poolRow, len(s.Metrics.Pools))
	for i := range out {
		out[i].Pool = s.Metrics.Pools[i]
		out[i].of = &s.Metrics
		if i < len(s.Pools) {
			out[i].extra = s.Pools[i]
		}
		if s.Averager != nil {
			out[i].avg = s.Averager.Average(out[i].Labels)
		}
	}
	return out
}

// where are the columns that say which pool it is, in PgDog's order for STATS and others.
func where() []column[poolRow] {
	return []column[poolRow]{
		str("database", func(p *poolRow) string { return p.Database }),
		str("user", func(p *poolRow) string { return p.User }),
		str("addr", func(p *poolRow) string { return p.Host }),
		num("port", func(p *poolRow) int { return p.Port }),
		num("shard", func(p *poolRow) int { return p.Shard }),
		str("role", func(p *poolRow) string { return p.Role }),
	}
}

func showPools(a *answer) error {
	w := where()
	cols := append([]column[poolRow]{num("id", func(p *poolRow) int64 { return p.extra.ID })}, w...)
	cols = append(cols,
		num("cl_waiting", func(p *poolRow) int { return p.Waiting }),
		num("sv_idle", func(p *poolRow) int { return p.Idle }),
		num("sv_active", func(p *poolRow) int { return p.Active }),
		num("sv_idle_xact", func(p *poolRow) int { return p.IdleXact }),
		num("sv_total", func(p *poolRow) int { return p.Idle + p.Active }),
		num("maxwait", func(p *poolRow) int64 { return int64(p.MaxWait / time.Second) }),
		num("maxwait_us", func(p *poolRow) int64 { return int64(p.MaxWait % time.Second / time.Microsecond) }),
		str("pool_mode", func(p *poolRow) string { return string(p.extra.Mode) }),
		yes("paused", func(p *poolRow) bool { return p.extra.Paused }),
		yes("banned", func(p *poolRow) bool { return p.extra.Banned }),
		yes("healthy", func(p *poolRow) bool { return p.extra.Healthy }),
		num("errors", func(p *poolRow) int64 { return p.Errors }),
		num("re_synced", func(p *poolRow) int64 { return p.extra.ReSynced }),
		num("out_of_sync", func(p *poolRow) int64 { return p.OutOfSync }),
		yes("online", func(p *poolRow) bool { return p.extra.Online }),
		num("replica_lag", func(p *poolRow) int64 { return p.extra.Lag.Milliseconds() }),
		yes("schema_admin", func(p *poolRow) bool { return p.extra.SchemaAdmin }),
		num("force_closed", func(p *poolRow) int64 { return p.extra.ForceClosed }),
		// PgBouncer's
		num("cl_active", func(p *poolRow) int { return p.Active }),
		num("cl_active_cancel_req", func(*poolRow) int { return 0 }),
		num("cl_waiting_cancel_req", func(*poolRow) int { return 0 }),
		num("sv_used", func(*poolRow) int { return -1 }),
		num("sv_tested", func(*poolRow) int { return 0 }),
		num("sv_login", func(p *poolRow) int { return p.extra.Connecting }),
	)
	return table(a, counted(cols), a.pools)
}

// counted makes NULL of what nobody counts.
func counted(cols []column[poolRow]) []column[poolRow] {
	for i, c := range cols {
		cols[i].get = func(p *poolRow) any {
			if !p.of.Counted(c.col.Name) {
				return nil
			}
			return c.get(p)
		}
	}
	return cols
}

func showStats(a *answer) error {
	type total = func(t *metrics.Totals) int64
	cols := where()
	for _, c := range []struct {
		name  string
		total total
		avg   func(a *metrics.Average) float64
		time  func(t *metrics.Totals) time.Duration
		each  func(a *metrics.Average) time.Duration
	}{
		{name: "xact_count", total: func(t *metrics.Totals) int64 { return t.Xacts }, avg: func(a *metrics.Average) float64 { return a.Xacts }},
		{name: "xact_2pc_count", total: func(t *metrics.Totals) int64 { return t.Xacts2PC }, avg: func(a *metrics.Average) float64 { return a.Xacts2PC }},
		{name: "query_count", total: func(t *metrics.Totals) int64 { return t.Queries }, avg: func(a *metrics.Average) float64 { return a.Queries }},
		{name: "server_assignment_count", total: func(t *metrics.Totals) int64 { return t.Assignments }, avg: func(a *metrics.Average) float64 { return a.Assignments }},
		{name: "received", total: func(t *metrics.Totals) int64 { return t.Received }, avg: func(a *metrics.Average) float64 { return a.Received }},
		{name: "sent", total: func(t *metrics.Totals) int64 { return t.Sent }, avg: func(a *metrics.Average) float64 { return a.Sent }},
		{name: "xact_time", time: func(t *metrics.Totals) time.Duration { return t.XactTime }, each: func(a *metrics.Average) time.Duration { return a.XactTime }},
		{name: "idle_xact_time", time: func(t *metrics.Totals) time.Duration { return t.IdleXactTime }, each: func(a *metrics.Average) time.Duration { return a.IdleXactTime }},
		{name: "query_time", time: func(t *metrics.Totals) time.Duration { return t.QueryTime }, each: func(a *metrics.Average) time.Duration { return a.QueryTime }},
		{name: "wait_time", time: func(t *metrics.Totals) time.Duration { return t.Waited }, each: func(a *metrics.Average) time.Duration { return a.Waited }},
		{name: "server_parse_count", total: func(t *metrics.Totals) int64 { return t.Parses }, avg: func(a *metrics.Average) float64 { return a.Parses }},
		{name: "bind_count", total: func(t *metrics.Totals) int64 { return t.Binds }, avg: func(a *metrics.Average) float64 { return a.Binds }},
		{name: "close_count", total: func(t *metrics.Totals) int64 { return t.Closes }, avg: func(a *metrics.Average) float64 { return a.Closes }},
		{name: "errors", total: func(t *metrics.Totals) int64 { return t.ServerErrors }, avg: func(a *metrics.Average) float64 { return a.ServerErrors }},
		{name: "cleaned", total: func(t *metrics.Totals) int64 { return t.Cleaned }, avg: func(a *metrics.Average) float64 { return a.Cleaned }},
		{name: "rollbacks", total: func(t *metrics.Totals) int64 { return t.Rollbacks }, avg: func(a *metrics.Average) float64 { return a.Rollbacks }},
		{name: "client_idle_xact_timeouts", total: func(t *metrics.Totals) int64 { return t.IdleXactTimeouts }, avg: func(a *metrics.Average) float64 { return a.IdleXactTimeouts }},
		{name: "connect_time", time: func(t *metrics.Totals) time.Duration { return t.ConnectTime }, each: func(a *metrics.Average) time.Duration { return a.ConnectTime }},
		{name: "connect_count", total: func(t *metrics.Totals) int64 { return t.Connects }, avg: func(a *metrics.Average) float64 { return a.Connects }},
		{name: "reads", total: func(t *metrics.Totals) int64 { return t.Reads }, avg: func(a *metrics.Average) float64 { return a.Reads }},
		{name: "writes", total: func(t *metrics.Totals) int64 { return t.Writes }, avg: func(a *metrics.Average) float64 { return a.Writes }},
		{name: "auth_attempts", total: func(t *metrics.Totals) int64 { return t.AuthAttempts }, avg: func(a *metrics.Average) float64 { return a.AuthAttempts }},
		{name: "rows_inserted", total: func(t *metrics.Totals) int64 { return t.RowsInserted }, avg: func(a *metrics.Average) float64 { return a.RowsInserted }},
		{name: "rows_updated", total: func(t *metrics.Totals) int64 { return t.RowsUpdated }, avg: func(a *metrics.Average) float64 { return a.RowsUpdated }},
		{name: "rows_deleted", total: func(t *metrics.Totals) int64 { return t.RowsDeleted }, avg: func(a *metrics.Average) float64 { return a.RowsDeleted }},
	} {
		if c.total != nil {
			cols = append(cols,
				num("total_"+c.name, func(p *poolRow) int64 { return c.total(&p.Totals) }),
				flt("avg_"+c.name, func(p *poolRow) float64 { return c.avg(&p.avg) }))
			continue
		}
		cols = append(cols,
			flt("total_"+c.name, func(p *poolRow) float64 { return millis(c.time(&p.Totals)) }),
			flt("avg_"+c.name, func(p *poolRow) float64 { return millis(c.each(&p.avg)) }))
	}
	return table(a, counted(totalsFirst(cols)), a.pools)
}

// totalsFirst puts the averages behind the totals, as PgDog does.
func totalsFirst(cols []column[poolRow]) []column[poolRow] {
	var first, last []column[poolRow]
	for _, c := range cols {
		if len(c.col.Name) > 4 && c.col.Name[:4] == "avg_" {
			last = append(last, c)
		} else {
			first = append(first, c)
		}
	}
	return append(first, last...)
}

func showBans(a *answer) error {
	cols := append(where(),
		str("reason", func(p *poolRow) string { return p.extra.BanReason }),
		at("until", func(p *poolRow) time.Time { return p.extra.BanUntil }))
	return table(a, cols, func() []poolRow {
		var out []poolRow
		for _, p := range a.pools() {
			if p.extra.Banned {
				out = append(out, p)
			}
		}
		return out
	})
}

func showReplication(a *answer) error {
	cols := append(where(),
		num("replica_lag", func(p *poolRow) int64 { return p.extra.Lag.Milliseconds() }),
		yes("healthy", func(p *poolRow) bool { return p.extra.Healthy }),
		yes("banned", func(p *poolRow) bool { return p.extra.Banned }))
	return table(a, cols, a.pools)
}

func showClients(a *answer) error {
	return table(a, clientColumns(), func() []Client { return a.proxy.Snapshot(Clients).Clients })
}

func clientColumns() []column[Client] {
	return []column[Client]{
		num("id", func(c *Client) int64 { return c.ID }),
		str("user", func(c *Client) string { return c.User }),
		str("database", func(c *Client) string { return c.Database }),
		str("addr", func(c *Client) string { return c.Addr }),
		num("port", func(c *Client) int { return c.Port }),
		str("state", func(c *Client) string { return c.State }),
		yes("replication", func(c *Client) bool { return c.Replication }),
		at("connect_time", func(c *Client) time.Time { return c.ConnectTime }),
		at("last_request", func(c *Client) time.Time { return c.LastRequest }),
		num("queries", func(c *Client) int64 { return c.Queries }),
		num("transactions", func(c *Client) int64 { return c.Transactions }),
		num("transactions_2pc", func(c *Client) int64 { return c.Xacts2PC }),
		flt("wait_time", func(c *Client) float64 { return millis(c.WaitTime) }),
		flt("query_time", func(c *Client) float64 { return millis(c.QueryTime) }),
		flt("transaction_time", func(c *Client) float64 { return millis(c.XactTime) }),
		num("bytes_received", func(c *Client) int64 { return c.Received }),
		num("bytes_sent", func(c *Client) int64 { return c.Sent }),
		num("errors", func(c *Client) int64 { return c.Errors }),
		str("application_name", func(c *Client) string { return c.ApplicationName }),
		num("memory_used", func(c *Client) int64 { return c.Memory }),
		yes("locked", func(c *Client) bool { return c.Locked }),
		num("prepared_statements", func(c *Client) int { return c.PreparedStatements }),
		yes("tls", func(c *Client) bool { return c.TLS }),
		flt("query_age", func(c *Client) float64 { return millis(c.Since) }),
		str("query", func(c *Client) string { return c.Query }),
	}
}

func showServers(a *answer) error {
	return table(a, []column[Server]{
		str("database", func(s *Server) string { return s.Database }),
		str("user", func(s *Server) string { return s.User }),
		str("state", func(s *Server) string { return s.State }),
		str("addr", func(s *Server) string { return s.Addr }),
		num("port", func(s *Server) int { return s.Port }),
		at("connect_time", func(s *Server) time.Time { return s.ConnectTime }),
		at("request_time", func(s *Server) time.Time { return s.RequestTime }),
		num("remote_pid", func(s *Server) uint32 { return s.PID }),
		num("transactions", func(s *Server) int64 { return s.Transactions }),
		num("queries", func(s *Server) int64 { return s.Queries }),
		num("rollbacks", func(s *Server) int64 { return s.Rollbacks }),
		num("prepared_statements", func(s *Server) int { return s.PreparedStatements }),
		num("healthchecks", func(s *Server) int64 { return s.Healthchecks }),
		num("errors", func(s *Server) int64 { return s.Errors }),
		num("bytes_received", func(s *Server) int64 { return s.Received }),
		num("bytes_sent", func(s *Server) int64 { return s.Sent }),
		num("age", func(s *Server) int64 { return int64(time.Since(s.ConnectTime).Seconds()) }),
		str("application_name", func(s *Server) string { return s.ApplicationName }),
		num("memory_used", func(s *Server) int64 { return s.Memory }),
		num("id", func(s *Server) int64 { return s.ID }),
		num("shard", func(s *Server) int { return s.Shard }),
		str("role", func(s *Server) string { return s.Role }),
		num("link", func(s *Server) int64 { return s.Client }),
		yes("tls", func(s *Server) bool { return s.TLS }),
	}, func() []Server { return a.proxy.Snapshot(Servers).Servers })
}

func showClientMemory(a *answer) error {
	return table(a, []column[Client]{
		num("client_id", func(c *Client) int64 { return c.ID }),
		str("database", func(c *Client) string { return c.Database }),
		str("user", func(c *Client) string { return c.User }),
		str("addr", func(c *Client) string { return c.Addr }),
		num("port", func(c *Client) int { return c.Port }),
		num("total_bytes", func(c *Client) int64 { return c.Memory }),
	}, func() []Client { return a.proxy.Snapshot(Clients).Clients })
}

func showServerMemory(a *answer) error {
	return table(a, []column[Server]{
		num("server_id", func(s *Server) int64 { return s.ID }),
		str("database", func(s *Server) string { return s.Database }),
		str("user", func(s *Server) string { return s.User }),
		str("addr", func(s *Server) string { return s.Addr }),
		num("port", func(s *Server) int { return s.Port }),
		num("total_bytes", func(s *Server) int64 { return s.Memory }),
	}, func() []Server { return a.proxy.Snapshot(Servers).Servers })
}

// showDatabases has PgBouncer's columns.
func showDatabases(a *answer) error {
	type row struct {
		conf.Database
		settings          conf.Settings
		current, clients  int
		paused, forbidden bool
	}
	return table(a, []column[row]{
		str("name", func(r *row) string { return r.Name }),
		str("host", func(r *row) string { return r.Host }),
		num("port", func(r *row) int { return int(r.PortNumber()) }),
		str("database", func(r *row) string { return r.DBName() }),
		str("force_user", func(r *row) string { return r.User }),
		num("pool_size", func(r *row) int { return r.settings.Size }),
		num("min_pool_size", func(r *row) int { return r.settings.MinSize }),
		num("reserve_pool_size", func(r *row) int { return r.settings.Reserve }),
		str("pool_mode", func(r *row) string { return string(r.settings.Mode) }),
		num("max_connections", func(r *row) int { return cmp.Or(deref(r.MaxDBConnections), a.config.PgBouncer.MaxDBConnections) }),
		num("current_connections", func(r *row) int { return r.current }),
		num("max_client_connections", func(*row) int { return a.config.PgBouncer.MaxDBClientConnections }),
		num("current_client_connections", func(r *row) int { return r.clients }),
		yes("paused", func(r *row) bool { return r.paused }),
		yes("disabled", func(r *row) bool { return r.forbidden }),
		num("shard", func(r *row) int { return r.Shard }),
		str("role", func(r *row) string { return string(r.ServerRole()) }),
	}, func() []row {
		pools := a.pools()
		out := make([]row, len(a.config.Databases))
		for i := range out {
			d := a.config.Databases[i]
			out[i] = row{Database: d, settings: a.config.Pool(&conf.User{}, &d, d.ServerRole())}
			for j := range pools {
				p := &pools[j]
				if p.Database == d.Name && p.Host == d.Host && p.Port == int(d.PortNumber()) && p.Shard == d.Shard {
					out[i].current += p.Idle + p.Active
					out[i].clients += p.extra.Clients
					out[i].paused = out[i].paused || p.extra.Paused
					out[i].forbidden = out[i].forbidden || p.extra.Disabled
				}
			}
		}
		return out
	})
}

func deref(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// showUsers has PgBouncer's columns.
func showUsers(a *answer) error {
	return table(a, []column[conf.User]{
		str("name", func(u *conf.User) string { return u.Name }),
		str("pool_mode", func(u *conf.User) string { return string(u.PoolerMode) }),
		num("max_user_connections", func(u *conf.User) int {
			return cmp.Or(deref(u.MaxUserConnections), a.config.PgBouncer.MaxUserConnections)
		}),
		num("max_user_client_connections", func(u *conf.User) int {
			return cmp.Or(deref(u.MaxUserClientConnections), a.config.PgBouncer.MaxUserClientConnections)
		}),
		str("database", func(u *conf.User) string { return u.Database }),
		yes("all_databases", func(u *conf.User) bool { return u.AllDatabases }),
		str("pool_size", func(u *conf.User) string {
			if u.PoolSize == nil {
				return ""
			}
			return strconv.Itoa(*u.PoolSize)
		}),
	}, func() []conf.User { return a.config.Users })
}
