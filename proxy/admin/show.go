package admin

import (
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// An answer is a SHOW in progress.
type answer struct {
	w        pgserver.ResponseWriter
	describe bool // only the columns are wanted
	config   *conf.Config
	proxy    Proxy
	version  string
	columns  []string // those that were asked for; none: all
}

// A column of rows of T.
type column[T any] struct {
	col pgserver.Column
	get func(row *T) any
}

func str[T any](name string, get func(*T) string) column[T] {
	return column[T]{pgserver.Text(name), func(r *T) any { return get(r) }}
}

// num is a number; a negative one, which nobody counts, is NULL.
func num[T any, N ~int | ~int64 | ~uint32](name string, get func(*T) N) column[T] {
	return column[T]{pgserver.Int8(name), func(r *T) any {
		if n := int64(get(r)); n >= 0 {
			return n
		}
		return nil
	}}
}

func flt[T any](name string, get func(*T) float64) column[T] {
	return column[T]{pgserver.Float8(name), func(r *T) any {
		if n := get(r); n >= 0 {
			return n
		}
		return nil
	}}
}

// yes is a boolean as PgDog shows it: t or f.
func yes[T any](name string, get func(*T) bool) column[T] {
	return column[T]{pgserver.Bool(name), func(r *T) any { return get(r) }}
}

// at is a time as PgDog shows it; NULL if there is none.
func at[T any](name string, get func(*T) time.Time) column[T] {
	return column[T]{pgserver.Text(name), func(r *T) any {
		t := get(r)
		if t.IsZero() {
			return nil
		}
		return t.Local().Format("2006-01-02 15:04:05.000 MST")
	}}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// table sends rows. make is called only if rows are wanted.
func table[T any](a *answer, cols []column[T], rows func() []T) error {
	if len(a.columns) > 0 {
		picked := make([]column[T], 0, len(a.columns))
		for _, name := range a.columns {
			i := -1
			for j := range cols {
				if cols[j].col.Name == name {
					i = j
				}
			}
			if i < 0 {
				var names []string
				for _, c := range cols {
					names = append(names, c.col.Name)
				}
				return wire.Errorf(wire.CodeUndefinedColumn, "there is no column %q; there are %s", name, strings.Join(names, ", "))
			}
			picked = append(picked, cols[i])
		}
		cols = picked
	}
	heads := make([]pgserver.Column, len(cols))
	for i := range cols {
		heads[i] = cols[i].col
	}
	if err := a.w.Columns(heads...); err != nil {
		return err
	}
	if a.describe {
		return pgserver.ErrDescribeOnly
	}
	values := make([]any, len(cols))
	all := rows()
	for i := range all {
		for j := range cols {
			values[j] = cols[j].get(&all[i])
			if text, ok := values[j].(string); ok {
				values[j] = strings.ToValidUTF8(text, "?") // a client may call itself anything
			}
		}
		if err := a.w.Row(values...); err != nil {
			return err
		}
	}
	return a.w.Complete("SHOW")
}

// A show is one thing to be shown.
type show struct {
	name  string
	also  []string
	help  string
	picks bool // columns may be named behind it
	run   func(a *answer) error
}

// shows lists what can be shown.
func shows() []show {
	return []show{
		{"CLIENTS", nil, "connected clients", true, showClients},
		{"SERVERS", nil, "server connections", true, showServers},
		{"POOLS", nil, "pools, a user's connections to a server each", true, showPools},
		{"DATABASES", nil, "databases with their servers", true, showDatabases},
		{"STATS", []string{"STATS_TOTALS", "STATS_AVERAGES"}, "totals and averages of each pool", true, showStats},
		{"TOTALS", nil, "totals of the whole proxy", false, showTotals},
		{"BANS", nil, "servers that get no reads", true, showBans},
		{"USERS", nil, "who may log in", true, showUsers},
		{"LISTS", nil, "how many there are of what", false, showLists},
		{"CONFIG", nil, "the configuration in effect", false, showConfig},
		{"PREPARED", []string{"PREPARED_STATEMENTS"}, "prepared statements that clients share", true, showPrepared},
		{"QUERY_CACHE", nil, "statements and where they were sent", true, showQueryCache},
		{"TRANSACTIONS", nil, "transactions committed in two phases now", true, showTransactions},
		{"MIRRORS", nil, "mirrored databases", true, showMirrors},
		{"LISTENERS", nil, "channels that clients listen on", true, showListeners},
		{"REPLICATION", nil, "how far replicas are behind", true, showReplication},
		{"PEERS", nil, "other proxies at the same address", true, showPeers},
		{"PEER_POOLS", nil, "cancel requests passed on to them", true, showPeerPools},
		{"REPLICATION_SLOTS", nil, "replication slots of data that move", true, showReplicationSlots},
		{"SCHEMA_SYNC", nil, "schemas that are copied, by statement", true, showSchemaSync},
		{"TABLE_COPIES", nil, "tables that are copied", true, showTableCopies},
		{"TASKS", nil, "tasks that move data", true, showTasks},
		{"CLIENT MEMORY", nil, "memory by client", true, showClientMemory},
		{"SERVER MEMORY", nil, "memory by server connection", true, showServerMemory},
		{"MEM", nil, "memory of the process", false, showMem},
		{"DNS_HOSTS", nil, "names of servers, and their addresses", true, showDNSHosts},
		{"DNS_ZONES", nil, "zones; there are none", true, showDNSZones},
		{"SOCKETS", nil, "clients and servers as PgBouncer shows them", true, func(a *answer) error { return table(a, sockets(), a.allLinks) }},
		{"ACTIVE_SOCKETS", nil, "those that are in use", true, bouncerShows()[3].run},
		{"FDS", nil, "both, briefly", true, bouncerFDs},
		{"STATE", nil, "whether clients are held", false, showState},
		{"INSTANCE_ID", nil, "this instance", false, showInstance},
		{"VERSION", nil, "the version", false, showVersion},
		{"HELP", nil, "this", false, showHelp},
	}
}
