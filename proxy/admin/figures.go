package admin

import (
	"cmp"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/metrics"
)

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
