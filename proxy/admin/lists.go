package admin

import (
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/metrics"
	"github.com/pgx-dev/pgx-dev/proxy/twophase"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// An item is a name with a number or a word.
type item struct {
	name  string
	n     int64
	value string
}

func counts(name, value string) []column[item] {
	return []column[item]{str(name, func(i *item) string { return i.name }), num(value, func(i *item) int64 { return i.n })}
}

// showLists has PgBouncer's columns.
func showLists(a *answer) error { return table(a, counts("list", "items"), a.lists) }

func (a *answer) lists() []item {
	{
		s := a.proxy.Snapshot(0)
		var idle, active int
		for i := range s.Metrics.Pools {
			idle += s.Metrics.Pools[i].Idle
			active += s.Metrics.Pools[i].Active
		}
		var names []string
		for i := range a.config.Databases {
			if name := a.config.Databases[i].Name; !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return []item{
			{name: "databases", n: int64(len(names))},
			{name: "users", n: int64(len(a.config.Users))},
			{name: "pools", n: int64(len(s.Metrics.Pools))},
			{name: "free_clients"},
			{name: "used_clients", n: int64(s.Metrics.Clients)},
			{name: "login_clients"},
			{name: "free_servers", n: int64(idle)},
			{name: "used_servers", n: int64(active)},
			{name: "dns_names"},
			{name: "dns_zones"},
			{name: "dns_queries"},
			{name: "dns_pending"},
		}
	}
}

// showTotals has PgBouncer's columns.
func showTotals(a *answer) error {
	return table(a, counts("name", "value"), func() []item {
		var t metrics.Totals
		for _, p := range a.proxy.Snapshot(0).Metrics.Pools {
			t.Xacts += p.Totals.Xacts
			t.Queries += p.Totals.Queries
			t.Received += p.Totals.Received
			t.Sent += p.Totals.Sent
			t.XactTime += p.Totals.XactTime
			t.QueryTime += p.Totals.QueryTime
			t.Waited += p.Totals.Waited
		}
		return []item{
			{name: "total_xact_count", n: t.Xacts},
			{name: "total_query_count", n: t.Queries},
			{name: "total_received", n: t.Received},
			{name: "total_sent", n: t.Sent},
			{name: "total_xact_time", n: t.XactTime.Microseconds()},
			{name: "total_query_time", n: t.QueryTime.Microseconds()},
			{name: "total_wait_time", n: t.Waited.Microseconds()},
		}
	})
}

// showConfig has PgBouncer's columns.
func showConfig(a *answer) error {
	return table(a, []column[conf.Setting]{
		str("key", func(s *conf.Setting) string { return s.Key }),
		str("value", func(s *conf.Setting) string { return s.Value }),
		str("default", func(s *conf.Setting) string { return s.Default }),
		str("changeable", func(s *conf.Setting) string {
			if s.Changeable {
				return "yes"
			}
			return "no"
		}),
	}, a.config.Settings)
}

func showPrepared(a *answer) error {
	return table(a, []column[Statement]{
		str("name", func(s *Statement) string { return s.Name }),
		str("statement", func(s *Statement) string { return s.SQL }),
		num("used_by", func(s *Statement) int { return s.Users }),
		num("memory_used", func(s *Statement) int64 { return s.Memory }),
	}, func() []Statement { return a.proxy.Snapshot(Statements).Statements })
}

func showQueryCache(a *answer) error {
	return table(a, []column[Plan]{
		str("query", func(p *Plan) string { return p.Query }),
		num("hits", func(p *Plan) int64 { return p.Hits }),
		num("direct", func(p *Plan) int64 { return p.Direct }),
		num("multi", func(p *Plan) int64 { return p.Cross }),
		num("refused", func(p *Plan) int64 { return p.Refused }),
	}, func() []Plan { return a.proxy.Snapshot(Plans).Plans })
}

func showTransactions(a *answer) error {
	return table(a, []column[Transaction]{
		str("transaction_name", func(t *Transaction) string { return t.ID }),
		str("database", func(t *Transaction) string { return t.Database }),
		str("transaction_state", func(t *Transaction) string { return t.State }),
		num("shards", func(t *Transaction) int { return len(t.Shards) }),
		at("since", func(t *Transaction) time.Time { return t.Since }),
		num("age", func(t *Transaction) int64 { return int64(time.Since(t.Since).Seconds()) }),
		str("gids", func(t *Transaction) string { return t.gids(t.Shards) }),
		str("pending", func(t *Transaction) string { return t.gids(t.Pending) }),
	}, func() []Transaction { return a.proxy.Snapshot(Transactions).Transactions })
}

// gids are the names of what is prepared on some shards.
func (t *Transaction) gids(shards []int) string {
	var out []string
	for _, s := range shards {
		out = append(out, twophase.GID(t.ID, s))
	}
	return strings.Join(out, " ")
}

func showMirrors(a *answer) error {
	return table(a, []column[metrics.Mirror]{
		str("source_db", func(m *metrics.Mirror) string { return m.Source }),
		str("destination_db", func(m *metrics.Mirror) string { return m.Destination }),
		num("total_count", func(m *metrics.Mirror) int64 { return m.Total }),
		num("mirrored_count", func(m *metrics.Mirror) int64 { return m.Mirrored }),
		num("dropped_count", func(m *metrics.Mirror) int64 { return m.Dropped }),
		num("error_count", func(m *metrics.Mirror) int64 { return m.Failed }),
		num("queue_length", func(m *metrics.Mirror) int { return m.Queue }),
	}, func() []metrics.Mirror { return a.proxy.Snapshot(0).Metrics.Mirrors })
}

func showListeners(a *answer) error {
	return table(a, []column[Listener]{
		str("database", func(l *Listener) string { return l.Database }),
		str("channel", func(l *Listener) string { return l.Channel }),
		num("clients", func(l *Listener) int { return l.Clients }),
		num("received", func(l *Listener) int64 { return l.Received }),
		num("dropped", func(l *Listener) int64 { return l.Dropped }),
	}, func() []Listener { return a.proxy.Snapshot(Listeners).Listeners })
}

// showPeers has PgBouncer's columns.
func showPeers(a *answer) error {
	return table(a, []column[Peer]{
		int4("peer_id", func(p *Peer) int { return p.ID }),
		str("host", func(p *Peer) string { return p.Host }),
		int4("port", func(p *Peer) int { return p.Port }),
		int4("pool_size", func(p *Peer) int { return p.Size }),
	}, a.peers)
}

// showPeerPools has PgBouncer's columns, and two of its own. There are no pools: a cancel request
// has a connection of its own.
func showPeerPools(a *answer) error {
	return table(a, []column[Peer]{
		int4("peer_id", func(p *Peer) int { return p.ID }),
		int4("cl_active_cancel_req", func(p *Peer) int { return p.Active }),
		int4("cl_waiting_cancel_req", func(*Peer) int { return 0 }),
		int4("sv_active_cancel", func(p *Peer) int { return p.Active }),
		int4("sv_login", func(*Peer) int { return 0 }),
		num("total_cancel_req", func(p *Peer) int64 { return p.Passed }),
		num("total_failed", func(p *Peer) int64 { return p.Failed }),
	}, a.peers)
}

func (a *answer) peers() []Peer { return a.proxy.Snapshot(0).Peers }

// showNone answers about what the proxy does not do.
func memory() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}

func showMem(a *answer) error {
	return table(a, counts("name", "bytes"), func() []item {
		m := memory()
		return []item{
			{name: "heap_in_use", n: int64(m.HeapInuse)},
			{name: "heap_allocated", n: int64(m.HeapAlloc)},
			{name: "stacks", n: int64(m.StackInuse)},
			{name: "from_system", n: int64(m.Sys)},
		}
	})
}

func words(name, value string) []column[item] {
	return []column[item]{str(name, func(i *item) string { return i.name }), str(value, func(i *item) string { return i.value })}
}

// showState has PgBouncer's columns.
func showState(a *answer) error {
	return table(a, words("key", "value"), func() []item {
		s := a.proxy.Snapshot(0)
		paused := len(s.Pools) > 0 && !slices.ContainsFunc(s.Pools, func(p Pool) bool { return !p.Paused })
		word := func(b bool) string {
			if b {
				return "yes"
			}
			return "no"
		}
		return []item{
			{name: "active", value: word(!paused && !s.Suspended && !s.Maintenance)},
			{name: "paused", value: word(paused)},
			{name: "suspended", value: word(s.Suspended || s.Maintenance)},
		}
	})
}

func showInstance(a *answer) error {
	return a.word("instance_id", func() string { return a.proxy.Snapshot(0).InstanceID })
}

func showVersion(a *answer) error {
	return a.word("version", func() string { return strings.TrimSpace(Version + " " + a.version) })
}

// word answers by one text.
func (a *answer) word(name string, value func() string) error {
	return table(a, []column[item]{{pgserver.Text(name), func(i *item) any { return i.value }}}, func() []item { return []item{{value: value()}} })
}

func showHelp(a *answer) error {
	return table(a, words("command", "does"), func() []item {
		var out []item
		for _, s := range shows() {
			name := "SHOW " + s.name
			if s.picks {
				name += " [COLUMN, …]"
			}
			out = append(out, item{name: name, value: "show " + s.help})
		}
		out = append(out,
			item{name: "SHOW KEY", value: "show one key of the configuration"},
			item{name: "SET KEY = VALUE", value: "change one, until the next RELOAD"})
		for _, v := range verbs() {
			out = append(out, item{name: strings.TrimSpace(v.name + " " + v.args), value: v.help})
		}
		return out
	})
}
