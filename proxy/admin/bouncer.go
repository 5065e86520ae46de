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
