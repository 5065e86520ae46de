package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy/admin"
	"github.com/pgx-dev/pgx-dev/proxy/conf"

	"github.com/pgx-dev/pgx-dev/commands/ui"
)

// proxyTopCmd shows what a proxy does, again and again.
type proxyTopCmd struct {
	proxyTarget
	Every   time.Duration `placeholder:"TIME" help:"How often (default: 2s)."`
	Count   int           `short:"n" placeholder:"N" help:"How many times (default: until interrupted; once where stdout is no terminal)."`
	Queries int           `default:"10" placeholder:"N" help:"How many queries to show, those that have run longest."`
}

// Help is the command's long help.
func (*proxyTopCmd) Help() string {
	return `Shows the proxy's pools, with transactions and queries by second since the last time, and the queries that have run longest.`
}

// Run shows it.
func (c *proxyTopCmd) Run(ctx context.Context, env *Env) error {
	c.Every = cmp.Or(c.Every, 2*time.Second)
	if c.Every < 0 || c.Count < 0 || c.Queries < 0 {
		return usageError("--every, --count and --queries must not be negative")
	}
	if c.Count == 0 && !env.UI.Out() {
		c.Count = 1
	}
	target, err := c.config(env)
	if err != nil {
		return err
	}
	if target.Database == admin.Bouncer {
		target.Database = conf.DefaultAdmin // whose columns tell more
	}
	conn, err := pgconn.ConnectConfig(ctx, target)
	if err != nil {
		return fmt.Errorf("connect to the proxy: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	var last *topSample
	for n := 1; ; n++ {
		now, err := sampleTop(ctx, conn)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if env.UI.Out() {
			env.UI.Printf("\x1b[H\x1b[2J")
		} else if n > 1 {
			env.UI.Printf("\n")
		}
		printTop(env, now, last, c.Queries)
		if n == c.Count {
			return nil
		}
		last = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// A topSample is what the admin database says at one time.
type topSample struct {
	at      time.Time
	pools   []map[string]string
	stats   map[string]map[string]string // by pool
	clients []map[string]string
}

func sampleTop(ctx context.Context, conn *pgconn.PgConn) (*topSample, error) {
	s := &topSample{at: time.Now(), stats: map[string]map[string]string{}}
	var err error
	if s.pools, err = showRows(ctx, conn, "SHOW POOLS"); err != nil {
		return nil, err
	}
	stats, err := showRows(ctx, conn, "SHOW STATS")
	if err != nil {
		return nil, err
	}
	for _, r := range stats {
		s.stats[poolKey(r)] = r
	}
	s.clients, err = showRows(ctx, conn, "SHOW CLIENTS id, user, database, addr, state, application_name, query_age, query")
	return s, err
}

// showRows runs a SHOW and returns its rows by column.
func showRows(ctx context.Context, conn *pgconn.PgConn, sql string) ([]map[string]string, error) {
	res, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	if len(res) != 1 {
		return nil, errors.New("this is no proxy of ours: " + sql + " has no answer")
	}
	var out []map[string]string
	for _, row := range res[0].Rows {
		m := map[string]string{}
		for i, f := range res[0].FieldDescriptions {
			m[f.Name] = string(row[i])
		}
		out = append(out, m)
	}
	return out, nil
}

func poolKey(r map[string]string) string {
	return strings.Join([]string{r["database"], r["user"], r["addr"], r["port"], r["shard"]}, "\x00")
}

func printTop(env *Env, now, last *topSample, queries int) {
	states := map[string]int{}
	for _, c := range now.clients {
		states[c["state"]]++
	}
	env.UI.Printf("%s  clients %d: %d active, %d waiting, %d idle in transaction, %d idle\n\n", env.UI.Bold(now.at.Format(time.TimeOnly)),
		len(now.clients), states["active"], states["waiting"], states["idle in transaction"], states["idle"])
	t := ui.NewTable("DATABASE", "USER", "SERVER", ">SHARD", "ROLE", ">ACTIVE", ">IDLE", ">WAITING", ">MAXWAIT", ">XACT/S", ">QUERY/S", ">XACT MS", "STATE")
	for _, p := range now.pools {
		xacts, perQuery, each := rates(now, last, poolKey(p))
		state := env.UI.Good("ok")
		switch {
		case p["paused"] == "t":
			state = env.UI.Caution("paused")
		case p["banned"] == "t":
			state = env.UI.Bad("banned")
		case p["healthy"] != "t":
			state = env.UI.Bad("failing")
		case p["online"] != "t":
			state = env.UI.Caution("lags")
		}
		server := p["addr"]
		if p["port"] != "0" {
			server += ":" + p["port"]
		}
		us, _ := strconv.ParseInt(p["maxwait_us"], 10, 64)
		sec, _ := strconv.ParseInt(p["maxwait"], 10, 64)
		wait := time.Duration(sec)*time.Second + time.Duration(us)*time.Microsecond
		t.Row(p["database"], p["user"], server, p["shard"], p["role"], p["sv_active"], p["sv_idle"], p["cl_waiting"],
			wait.Round(time.Millisecond).String(), xacts, perQuery, each, state)
	}
	env.UI.Table(t)
	printQueries(env, now, queries)
}

// rates returns a pool's transactions and queries by second, and a transaction's time, since
// the last sample; dashes if there is none.
func rates(now, last *topSample, key string) (xacts, queries, each string) {
	if last == nil || last.stats[key] == nil || now.stats[key] == nil {
		return "-", "-", "-"
	}
	diff := func(name string) float64 {
		a, _ := strconv.ParseFloat(last.stats[key][name], 64)
		b, _ := strconv.ParseFloat(now.stats[key][name], 64)
		return max(b-a, 0)
	}
	seconds := now.at.Sub(last.at).Seconds()
	n := diff("total_xact_count")
	each = "-"
	if n > 0 {
		each = fmt.Sprintf("%.2f", diff("total_xact_time")/n)
	}
	return fmt.Sprintf("%.0f", n/seconds), fmt.Sprintf("%.0f", diff("total_query_count")/seconds), each
}

// printQueries prints what has run longest.
func printQueries(env *Env, now *topSample, n int) {
	age := func(c map[string]string) float64 {
		ms, _ := strconv.ParseFloat(c["query_age"], 64)
		return ms
	}
	busy := slices.DeleteFunc(slices.Clone(now.clients), func(c map[string]string) bool { return c["state"] == "idle" })
	if len(busy) == 0 || n == 0 {
		return
	}
	slices.SortStableFunc(busy, func(a, b map[string]string) int { return cmp.Compare(age(b), age(a)) })
	t := ui.NewTable(">CLIENT", "DATABASE", "USER", "FROM", "STATE", ">FOR", "QUERY")
	for _, c := range busy[:min(n, len(busy))] {
		t.Row(c["id"], c["database"], c["user"], cmp.Or(c["application_name"], c["addr"]), c["state"],
			time.Duration(age(c)*float64(time.Millisecond)).Round(time.Millisecond).String(), oneLine(c["query"], 80))
	}
	env.UI.Printf("\n")
	env.UI.Table(t)
}

// oneLine makes a text fit for a cell.
func oneLine(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
