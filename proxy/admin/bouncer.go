package admin

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/metrics"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// Bouncer is the name of the database where the console speaks as PgBouncer does: the same columns
// of the same types, in the same units, so that what reads PgBouncer's reads ours. What PgBouncer
// has not is shown as elsewhere.
const Bouncer = "pgbouncer"

// bouncerShows are what PgBouncer shows otherwise than PgDog.
func bouncerShows() []show {
	return []show{
		{"CLIENTS", nil, "connected clients", true, func(a *answer) error { return table(a, links("C"), a.clientLinks) }},
		{"SERVERS", nil, "server connections", true, func(a *answer) error { return table(a, links("S"), a.serverLinks) }},
		{"SOCKETS", nil, "both, with their sockets", true, func(a *answer) error { return table(a, sockets(), a.allLinks) }},
		{"ACTIVE_SOCKETS", nil, "those that are in use", true, func(a *answer) error {
			return table(a, sockets(), func() []link {
				return slices.DeleteFunc(a.allLinks(), func(l link) bool { return l.state == "idle" })
			})
		}},
		{"FDS", nil, "both, briefly", true, bouncerFDs},
		{"POOLS", nil, "pools of a user and a database each", true, bouncerPools},
		{"DATABASES", nil, "databases with their servers", true, bouncerDatabases},
		{"USERS", nil, "who may log in", true, bouncerUsers},
		{"STATS", nil, "totals and averages of each database", true, func(a *answer) error { return bouncerStats(a, "total_", "avg_") }},
		{"STATS_TOTALS", nil, "totals of each database", true, func(a *answer) error { return bouncerStats(a, "") }},
		{"STATS_AVERAGES", nil, "averages of each database", true, func(a *answer) error { return bouncerStats(a, "", "") }},
		{"TOTALS", nil, "totals and averages of the whole proxy", false, bouncerTotals},
		{"LISTS", nil, "how many there are of what", false, bouncerLists},
		{"MEM", nil, "memory of the process", false, bouncerMem},
	}
}

func int4[T any](name string, get func(*T) int) column[T] {
	return column[T]{pgserver.Int4(name), func(r *T) any {
		if n := get(r); n >= 0 {
			return min(n, math.MaxInt32)
		}
		return nil
	}}
}

// total is a number that PgBouncer shows as numeric.
func total[T any](name string, get func(*T) int64) column[T] {
	return column[T]{pgserver.Numeric(name), func(r *T) any { return fmt.Sprint(max(get(r), 0)) }}
}

// opt is a text that may be missing.
func opt[T any](name string, get func(*T) string) column[T] {
	return column[T]{pgserver.Text(name), func(r *T) any {
		if v := get(r); v != "" {
			return v
		}
		return nil
	}}
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A link is a client or a server connection.
type link struct {
	user, database, replication, state, addr, localAddr, tls, app string
	port, localPort, pid, prepared                                int
	connected, asked                                              time.Time
	wait                                                          time.Duration
	closing                                                       bool
	id, link                                                      int64 // ptr is made of id
	client                                                        bool
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("2006-01-02 15:04:05 MST")
}

func pointer(id int64, client bool) string {
	if id == 0 {
		return ""
	}
	if client {
		return fmt.Sprintf("0xc%08x", id)
	}
	return fmt.Sprintf("0x5%08x", id)
}

// links are the columns of CLIENTS and SERVERS.
func links(kind string) []column[link] {
	return []column[link]{
		str("type", func(l *link) string {
			if kind != "" {
				return kind
			}
			if l.client {
				return "C"
			}
			return "S"
		}),
		str("user", func(l *link) string { return l.user }),
		str("database", func(l *link) string { return l.database }),
		str("replication", func(l *link) string { return l.replication }),
		str("state", func(l *link) string { return l.state }),
		str("addr", func(l *link) string { return l.addr }),
		int4("port", func(l *link) int { return l.port }),
		str("local_addr", func(l *link) string { return l.localAddr }),
		int4("local_port", func(l *link) int { return l.localPort }),
		opt("connect_time", func(l *link) string { return moment(l.connected) }),
		opt("request_time", func(l *link) string { return moment(l.asked) }),
		int4("wait", func(l *link) int { return int(l.wait / time.Second) }),
		int4("wait_us", func(l *link) int { return int(l.wait % time.Second / time.Microsecond) }),
		int4("close_needed", func(l *link) int { return flag(l.closing) }),
		str("ptr", func(l *link) string { return pointer(l.id, l.client) }),
		str("link", func(l *link) string { return pointer(l.link, !l.client) }),
		int4("remote_pid", func(l *link) int { return l.pid }),
		str("tls", func(l *link) string { return l.tls }),
		str("application_name", func(l *link) string { return l.app }),
		int4("prepared_statements", func(l *link) int { return l.prepared }),
		num("id", func(l *link) int64 { return l.id }),
	}
}

// sockets adds what PgBouncer tells of its buffers, of which there are none here while nothing
// flows.
func sockets() []column[link] {
	cols := links("")
	for _, name := range []string{"recv_pos", "pkt_pos", "pkt_remain", "send_pos", "send_remain", "pkt_avail", "send_avail"} {
		cols = append(cols, int4(name, func(*link) int { return 0 }))
	}
	return cols
}

func (a *answer) clientLinks() (out []link) {
	s := a.proxy.Snapshot(Clients | Servers)
	linked := map[int64]int64{}
	for i := range s.Servers {
		linked[s.Servers[i].Client] = s.Servers[i].ID
	}
	for i := range s.Clients {
		c := &s.Clients[i]
		l := link{
			user: c.User, database: c.Database, replication: "none", state: c.State, addr: c.Addr, port: c.Port, connected: c.ConnectTime, asked: c.LastRequest,
			localAddr: c.LocalAddr, localPort: c.LocalPort, app: c.ApplicationName, prepared: c.PreparedStatements, id: c.ID, link: linked[c.ID], client: true, tls: c.TLSVersion,
		}
		switch {
		case c.Replication && c.Physical:
			l.replication = "physical"
		case c.Replication:
			l.replication = "logical"
		}
		if c.State == "waiting" {
			l.wait = c.Since
		} else if c.State != "idle" || c.Locked {
			l.state = "active"
		}
		out = append(out, l)
	}
	return out
}

func (a *answer) serverLinks() (out []link) {
	s := a.proxy.Snapshot(Clients | Servers)
	names := map[int64]string{}
	for i := range s.Clients {
		names[s.Clients[i].ID] = s.Clients[i].ApplicationName
	}
	for i := range s.Servers {
		c := &s.Servers[i]
		out = append(out, link{
			user: c.User, database: c.Database, replication: "none", state: c.State, addr: c.Addr, port: c.Port, connected: c.ConnectTime, asked: c.RequestTime,
			localAddr: c.LocalAddr, localPort: c.LocalPort, pid: int(c.PID), app: names[c.Client], prepared: c.PreparedStatements, id: c.ID, link: c.Client,
			closing: c.Closing, tls: c.TLSVersion,
		})
	}
	return out
}

func (a *answer) allLinks() []link { return append(a.clientLinks(), a.serverLinks()...) }

// bouncerFDs names connections. Their descriptors, keys and secrets are nobody's business.
func bouncerFDs(a *answer) error {
	none := func(*link) string { return "" }
	cols := []column[link]{
		{pgserver.Int4("fd"), func(*link) any { return nil }},
		str("task", func(l *link) string {
			if l.client {
				return "client"
			}
			return "server"
		}),
		str("user", func(l *link) string { return l.user }),
		str("database", func(l *link) string { return l.database }),
		str("addr", func(l *link) string { return l.addr }),
		int4("port", func(l *link) int { return l.port }),
		{pgserver.Int8("cancel"), func(*link) any { return nil }},
		{pgserver.Int4("link"), func(*link) any { return nil }},
	}
	for _, name := range []string{"client_encoding", "std_strings", "datestyle", "timezone", "password"} {
		cols = append(cols, opt(name, none))
	}
	for _, name := range []string{"scram_client_key", "scram_server_key"} {
		cols = append(cols, column[link]{pgserver.Bytea(name), func(*link) any { return nil }})
	}
	return table(a, cols, a.allLinks)
}

// A bouncerPool is the pools of a user and a database together.
type bouncerPool struct {
	database, user, mode               string
	active, waiting, used, idle, login int
	maxWait                            time.Duration
}

func (a *answer) bouncerPools() (out []bouncerPool) {
	at := map[[2]string]int{}
	find := func(database, user string) *bouncerPool {
		i, ok := at[[2]string{database, user}]
		if !ok {
			i = len(out)
			at[[2]string{database, user}] = i
			out = append(out, bouncerPool{database: database, user: user, mode: string(a.config.General.PoolerMode)})
		}
		return &out[i]
	}
	for _, p := range a.pools() {
		b := find(p.Database, p.User)
		b.waiting += p.Waiting
		b.used += p.Active
		b.idle += p.Idle
		b.login += p.extra.Connecting
		b.maxWait = max(b.maxWait, p.MaxWait)
		b.mode = string(p.extra.Mode)
	}
	for _, c := range a.proxy.Snapshot(Clients).Clients {
		if c.State != "waiting" {
			find(c.Database, c.User).active++
		}
	}
	return out
}

func bouncerPools(a *answer) error {
	zero := func(*bouncerPool) int { return 0 }
	return table(a, []column[bouncerPool]{
		str("database", func(p *bouncerPool) string { return p.database }),
		str("user", func(p *bouncerPool) string { return p.user }),
		int4("cl_active", func(p *bouncerPool) int { return p.active }),
		int4("cl_waiting", func(p *bouncerPool) int { return p.waiting }),
		int4("cl_active_cancel_req", zero),
		int4("cl_waiting_cancel_req", zero),
		int4("sv_active", func(p *bouncerPool) int { return p.used }),
		int4("sv_active_cancel", zero),
		int4("sv_being_canceled", zero),
		int4("sv_idle", func(p *bouncerPool) int { return p.idle }),
		int4("sv_used", zero),
		int4("sv_tested", zero),
		int4("sv_login", func(p *bouncerPool) int { return p.login }),
		int4("maxwait", func(p *bouncerPool) int { return int(p.maxWait / time.Second) }),
		int4("maxwait_us", func(p *bouncerPool) int { return int(p.maxWait % time.Second / time.Microsecond) }),
		str("pool_mode", func(p *bouncerPool) string { return p.mode }),
		opt("load_balance_hosts", func(*bouncerPool) string { return "" }),
	}, a.bouncerPools)
}

func bouncerDatabases(a *answer) error {
	type row struct {
		conf.Database
		settings         conf.Settings
		current, clients int
		paused, disabled bool
	}
	return table(a, []column[row]{
		str("name", func(r *row) string { return r.Name }),
		opt("host", func(r *row) string { return r.Host }),
		int4("port", func(r *row) int { return int(r.PortNumber()) }),
		str("database", func(r *row) string { return r.DBName() }),
		opt("force_user", func(r *row) string { return r.User }),
		int4("pool_size", func(r *row) int { return r.settings.Size }),
		int4("min_pool_size", func(r *row) int { return r.settings.MinSize }),
		int4("reserve_pool_size", func(r *row) int { return r.settings.Reserve }),
		int4("server_lifetime", func(r *row) int { return int(r.settings.Lifetime / time.Second) }),
		opt("pool_mode", func(r *row) string { return string(r.PoolerMode) }),
		opt("load_balance_hosts", func(*row) string { return "" }),
		int4("max_connections", func(r *row) int { return cmp.Or(deref(r.MaxDBConnections), a.config.PgBouncer.MaxDBConnections) }),
		int4("current_connections", func(r *row) int { return r.current }),
		int4("max_client_connections", func(*row) int { return a.config.PgBouncer.MaxDBClientConnections }),
		int4("current_client_connections", func(r *row) int { return r.clients }),
		int4("paused", func(r *row) int { return flag(r.paused) }),
		int4("disabled", func(r *row) int { return flag(r.disabled) }),
		// The name that it had before PgBouncer 1.24.
		int4("reserve_pool", func(r *row) int { return r.settings.Reserve }),
	}, func() []row {
		pools := a.pools()
		clients := map[string]int{}
		for _, c := range a.proxy.Snapshot(Clients).Clients {
			clients[c.Database]++
		}
		out := make([]row, len(a.config.Databases))
		for i := range out {
			d := a.config.Databases[i]
			out[i] = row{Database: d, settings: a.config.Pool(&conf.User{}, &d, d.ServerRole()), clients: clients[d.Name]}
			for j := range pools {
				if p := &pools[j]; p.Database == d.Name && p.Shard == d.Shard && (p.Host == d.Host && p.Port == int(d.PortNumber()) || strings.HasPrefix(p.Host, d.Host+"/")) {
					out[i].current += p.Idle + p.Active
					out[i].paused = out[i].paused || p.extra.Paused
					out[i].disabled = out[i].disabled || p.extra.Disabled
				}
			}
		}
		return out
	})
}

func bouncerUsers(a *answer) error {
	type row struct {
		conf.User
		current, clients int
	}
	number := func(n *int) int {
		if n == nil {
			return -1
		}
		return *n
	}
	return table(a, []column[row]{
		str("name", func(r *row) string { return r.Name }),
		int4("pool_size", func(r *row) int { return number(r.PoolSize) }),
		int4("reserve_pool_size", func(r *row) int { return number(r.ReservePoolSize) }),
		opt("pool_mode", func(r *row) string { return string(r.PoolerMode) }),
		int4("max_user_connections", func(r *row) int { return cmp.Or(deref(r.MaxUserConnections), a.config.PgBouncer.MaxUserConnections) }),
		int4("current_connections", func(r *row) int { return r.current }),
		int4("max_user_client_connections", func(r *row) int {
			return cmp.Or(deref(r.MaxUserClientConnections), a.config.PgBouncer.MaxUserClientConnections)
		}),
		int4("current_client_connections", func(r *row) int { return r.clients }),
	}, func() []row {
		clients, current := map[string]int{}, map[string]int{}
		for _, c := range a.proxy.Snapshot(Clients).Clients {
			clients[c.User]++
		}
		for _, p := range a.pools() {
			current[p.User] += p.Idle + p.Active
		}
		var out []row
		seen := map[string]bool{}
		for _, u := range a.config.Users {
			if !seen[u.Name] {
				seen[u.Name] = true
				out = append(out, row{u, current[u.Name], clients[u.Name]})
			}
		}
		return out
	})
}

// A bouncerStat is the figures of a database.
type bouncerStat struct {
	database string
	t        metrics.Totals
	avg      map[string]int64
}

func (a *answer) stats() (out []bouncerStat) {
	at := map[string]int{}
	for _, p := range a.pools() {
		i, ok := at[p.Database]
		if !ok {
			i = len(out)
			at[p.Database] = i
			out = append(out, bouncerStat{database: p.Database, avg: map[string]int64{}})
		}
		s := &out[i]
		s.add(&p.Totals, &p.avg)
	}
	return out
}

// add adds a pool's figures. The averages of durations are those of all transactions or queries.
func (s *bouncerStat) add(t *metrics.Totals, avg *metrics.Average) {
	for _, f := range figures() {
		if f.set != nil {
			f.set(&s.t, f.total(&s.t)+f.total(t))
		}
	}
	weigh := func(name string, d time.Duration, n float64, of string) {
		before := float64(s.avg[of])
		if n+before > 0 {
			s.avg[name] = int64((float64(s.avg[name])*before + float64(d.Microseconds())*n) / (n + before))
		}
	}
	weigh("xact_time", avg.XactTime, avg.Xacts, "xact_count")
	weigh("query_time", avg.QueryTime, avg.Queries, "query_count")
	weigh("wait_time", avg.Waited, avg.Xacts, "xact_count")
	for name, n := range map[string]float64{
		"xact_count": avg.Xacts, "query_count": avg.Queries, "server_assignment_count": avg.Assignments, "received": avg.Received, "sent": avg.Sent,
		"server_parse_count": avg.Parses, "bind_count": avg.Binds,
	} {
		s.avg[name] += int64(n)
	}
}

// A figure is one of STATS. Bytes are those of clients for PgBouncer: received from them is sent to
// the server.
type figure struct {
	name, avg, plain string
	total            func(t *metrics.Totals) int64
	set              func(t *metrics.Totals, n int64)
}

func figures() []figure {
	us := func(d *time.Duration) int64 { return d.Microseconds() }
	of := func(name string, field func(t *metrics.Totals) *int64) figure {
		return figure{name: name, total: func(t *metrics.Totals) int64 { return *field(t) }, set: func(t *metrics.Totals, n int64) { *field(t) = n }}
	}
	during := func(name string, field func(t *metrics.Totals) *time.Duration) figure {
		return figure{
			name: name, total: func(t *metrics.Totals) int64 { return us(field(t)) },
			set: func(t *metrics.Totals, n int64) { *field(t) = time.Duration(n) * time.Microsecond },
		}
	}
	received := of("received", func(t *metrics.Totals) *int64 { return &t.Sent })
	received.avg, received.plain = "recv", "bytes_received"
	sent := of("sent", func(t *metrics.Totals) *int64 { return &t.Received })
	sent.plain = "bytes_sent"
	return []figure{
		of("server_assignment_count", func(t *metrics.Totals) *int64 { return &t.Assignments }),
		of("xact_count", func(t *metrics.Totals) *int64 { return &t.Xacts }),
		of("query_count", func(t *metrics.Totals) *int64 { return &t.Queries }),
		received, sent,
		during("xact_time", func(t *metrics.Totals) *time.Duration { return &t.XactTime }),
		during("query_time", func(t *metrics.Totals) *time.Duration { return &t.QueryTime }),
		during("wait_time", func(t *metrics.Totals) *time.Duration { return &t.Waited }),
		of("client_parse_count", func(t *metrics.Totals) *int64 { return &t.ClientParses }),
		of("server_parse_count", func(t *metrics.Totals) *int64 { return &t.Parses }),
		of("bind_count", func(t *metrics.Totals) *int64 { return &t.Binds }),
	}
}

// average is a figure's average; the proxy sees what it sends to servers as received from clients.
func (f figure) average(s *bouncerStat) int64 {
	switch f.name {
	case "received":
		return s.avg["sent"]
	case "sent":
		return s.avg["received"]
	}
	return s.avg[f.name]
}

// bouncerStats shows totals, averages, or both by the prefixes of their names: one prefix is for
// totals, two empty ones are for averages.
func bouncerStats(a *answer, prefixes ...string) error {
	cols := []column[bouncerStat]{str("database", func(s *bouncerStat) string { return s.database })}
	if len(prefixes) == 1 || prefixes[0] != "" {
		for _, f := range figures() {
			name := prefixes[0] + f.name
			if prefixes[0] == "" {
				name = cmp.Or(f.plain, f.name)
			}
			cols = append(cols, total(name, func(s *bouncerStat) int64 { return f.total(&s.t) }))
		}
	}
	if len(prefixes) == 2 {
		for _, f := range figures() {
			name := prefixes[1] + cmp.Or(f.avg, f.name)
			if prefixes[1] == "" {
				name = cmp.Or(f.plain, f.name)
			}
			cols = append(cols, total(name, func(s *bouncerStat) int64 { return f.average(s) }))
		}
	}
	return table(a, cols, a.stats)
}

func bouncerTotals(a *answer) error {
	return table(a, []column[item]{str("name", func(i *item) string { return i.name }), total("value", func(i *item) int64 { return i.n })}, func() (out []item) {
		all := bouncerStat{avg: map[string]int64{}}
		for _, p := range a.pools() {
			all.add(&p.Totals, &p.avg)
		}
		name := func(f figure) string {
			switch f.name {
			case "received":
				return "client_bytes"
			case "sent":
				return "server_bytes"
			}
			return f.name
		}
		for _, f := range figures() {
			out = append(out, item{name: "total_" + name(f), n: f.total(&all.t)})
		}
		for _, f := range figures() {
			out = append(out, item{name: "avg_" + name(f), n: f.average(&all)})
		}
		return out
	})
}

func bouncerLists(a *answer) error {
	return table(a, []column[item]{str("list", func(i *item) string { return i.name }), int4("items", func(i *item) int { return int(i.n) })}, a.lists)
}

func bouncerMem(a *answer) error {
	type row struct {
		name       string
		size, used int
	}
	return table(a, []column[row]{
		str("name", func(r *row) string { return r.name }),
		int4("size", func(*row) int { return 1 }),
		int4("used", func(r *row) int { return r.used }),
		int4("free", func(r *row) int { return r.size - r.used }),
		int4("memtotal", func(r *row) int { return r.size }),
	}, func() []row {
		m := memory()
		return []row{{"heap", int(m.HeapSys), int(m.HeapInuse)}, {"stacks", int(m.StackSys), int(m.StackInuse)}}
	})
}

// showDNSHosts has PgBouncer's columns: the names of servers, and where the connections to them go.
func showDNSHosts(a *answer) error {
	type row struct {
		name  string
		addrs []string
	}
	return table(a, []column[row]{
		str("hostname", func(r *row) string { return r.name }),
		num("ttl", func(*row) int64 { return int64(a.config.General.DNSTTL.Seconds()) }),
		str("addrs", func(r *row) string { return strings.Join(r.addrs, ",") }),
	}, func() (out []row) {
		at := map[string]int{}
		for _, d := range a.config.Databases {
			if _, known := at[d.Host]; known || d.Host == "" || strings.HasPrefix(d.Host, "/") || net.ParseIP(d.Host) != nil {
				continue
			}
			at[d.Host] = len(out)
			out = append(out, row{name: d.Host})
		}
		for _, s := range a.proxy.Snapshot(Servers).Servers {
			if i, ok := at[s.Addr]; ok && s.RemoteAddr != "" && !slices.Contains(out[i].addrs, s.RemoteAddr) {
				out[i].addrs = append(out[i].addrs, s.RemoteAddr)
			}
		}
		return out
	})
}

// showDNSZones has PgBouncer's columns. There are no zones here: the system looks names up.
func showDNSZones(a *answer) error {
	return table(a, []column[item]{
		str("zonename", func(i *item) string { return i.name }), num("serial", func(i *item) int64 { return i.n }), int4("count", func(i *item) int { return int(i.n) }),
	}, func() []item { return nil })
}
