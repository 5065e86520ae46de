package scatter_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/proxy/twophase"
)

// A cluster is a server of its own for each shard, which can be killed.
type cluster struct {
	t    testing.TB
	dirs []string

	mu   sync.Mutex
	srvs []engines.Server
}

func newCluster(t testing.TB, n int) *cluster {
	c := &cluster{t: t, srvs: make([]engines.Server, n)}
	for i := range n {
		c.dirs = append(c.dirs, filepath.Join(t.TempDir(), "data"))
		c.start(i)
	}
	t.Cleanup(func() {
		for _, s := range c.srvs {
			_ = s.Close(context.Background())
		}
	})
	return c
}

func (c *cluster) start(shard int) {
	c.t.Helper()
	srv, err := native.New(native.DefaultConfig()).Start(context.WithoutCancel(c.t.Context()), engines.Spec{Dir: c.dirs[shard], Fast: true, Params: map[string]string{
		"max_prepared_transactions": "50", "max_connections": "100",
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.srvs[shard] = srv
	c.mu.Unlock()
}

func (c *cluster) server(shard int) engines.Server {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.srvs[shard]
}

// kill ends a shard's server as kill -9 does.
func (c *cluster) kill(shard int) {
	srv := c.server(shard)
	if err := syscall.Kill(srv.Info().PID, syscall.SIGKILL); err != nil {
		c.t.Error(err)
	}
	<-srv.Done()
}

func (c *cluster) restart(shard int) {
	_ = c.server(shard).Close(context.Background())
	c.start(shard)
}

func (c *cluster) dial(shard int) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) { return c.server(shard).Dial(ctx) }
}

// A resolver is a twophase.Server.
type resolver struct {
	catalog
}

func (r resolver) Close() { _ = r.c.Close() }

// newBank is a fleet with accounts 0, 1, … one on each shard, and two-phase commit.
func newBank(t testing.TB, dials []func(context.Context) (net.Conn, error), user, dir string, step func(string)) (*fleet, *twophase.Coordinator, *twophase.Log) {
	t.Helper()
	pool := &servers{idle: make([][]*conn, len(dials))}
	for _, d := range dials {
		pool.shards = append(pool.shards, &server{dial: d, user: user, database: "postgres"})
	}
	log, err := twophase.OpenLog(dir, twophase.LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	co := twophase.New(twophase.Config{
		Log: log, Shards: len(dials), Step: step, Interval: time.Hour,
		Connect: func(ctx context.Context, shard int) (twophase.Server, error) {
			c, err := pool.shards[shard].connect(ctx)
			if err != nil {
				return nil, err
			}
			return resolver{catalog{c}}, nil
		},
	})
	f := newFleetOver(t, nil, pool, func(sc *sharding.Config, xc *scatter.Config) {
		var rules []sharding.Rule
		for i := range dials {
			rules = append(rules, sharding.Rule{Kind: sharding.List, Values: []string{strconv.Itoa(i)}, Shard: i})
		}
		sc.Tables = []sharding.Table{{Name: "accounts", Columns: []string{"id"}, Rules: rules}, {Name: "ledger", Columns: []string{"id"}, Rules: rules}}
		xc.Committer = co
	})
	return f, co, log
}

const bankSchema = `CREATE TABLE IF NOT EXISTS accounts (id bigint PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE IF NOT EXISTS ledger (id bigint, transfer text)`

func makeBank(t testing.TB, f *fleet, shards int) {
	c := f.connect()
	mustExec(t, c, bankSchema)
	for i := range shards {
		mustExec(t, c, "INSERT INTO accounts VALUES ("+strconv.Itoa(i)+", 1000)")
	}
}

// transfer moves an amount from each account to the next.
func transfer(ctx context.Context, c *pgx.Conn, name string, shards int) error {
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	for i := range shards {
		if _, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance + $1 WHERE id = $2", []int{-5, 5, 0}[min(i, 2)], i); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO ledger VALUES ($1, $2)", i, name); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}

// audit looks at the shards themselves: no transaction is prepared, every transfer is on all
// shards or none, all that were acknowledged are there, and no money is lost.
func (c *cluster) audit(acknowledged []string) {
	c.t.Helper()
	ctx := context.WithoutCancel(c.t.Context())
	total := 0
	var first map[string]bool
	for shard := range c.srvs {
		conn, err := engines.Connect(ctx, c.server(shard), "")
		if err != nil {
			c.t.Fatal(err)
		}
		rows, _ := conn.Query(ctx, "SELECT gid FROM pg_prepared_xacts")
		if gids, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(gids) > 0 {
			c.t.Errorf("shard %d: prepared %v, %v", shard, gids, err)
		}
		var sum int
		if err := conn.QueryRow(ctx, "SELECT coalesce(sum(balance), 0) FROM accounts").Scan(&sum); err != nil {
			c.t.Fatal(err)
		}
		total += sum
		rows, _ = conn.Query(ctx, "SELECT transfer FROM ledger")
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			c.t.Fatal(err)
		}
		_ = conn.Close(ctx)
		have := map[string]bool{}
		for _, n := range list {
			if have[n] {
				c.t.Errorf("shard %d: transfer %s twice", shard, n)
			}
			have[n] = true
		}
		if shard == 0 {
			first = have
		}
		for n := range first {
			if !have[n] {
				c.t.Errorf("transfer %s is on shard 0 and not on shard %d", n, shard)
			}
		}
		for n := range have {
			if !first[n] {
				c.t.Errorf("transfer %s is on shard %d and not on shard 0", n, shard)
			}
		}
		for _, n := range acknowledged {
			if !have[n] {
				c.t.Errorf("transfer %s was acknowledged and is not on shard %d", n, shard)
			}
		}
	}
	if want := 1000 * len(c.srvs); total != want {
		c.t.Errorf("the accounts have %d, not %d", total, want)
	}
}

// resolve lets a new coordinator resolve what the last one left.
func (c *cluster) resolve(dir string) {
	c.t.Helper()
	var dials []func(context.Context) (net.Conn, error)
	for i := range c.srvs {
		dials = append(dials, c.dial(i))
	}
	_, co, log := newBank(c.t, dials, c.server(0).Info().User, dir, nil)
	defer log.Close()
	// A server whose client was killed may still be about to prepare: what it prepares is
	// found the next time.
	for pass := range 2 {
		for shard := range c.srvs {
			if pass > 0 {
				c.settle(shard, "true")
			} else {
				c.settle(shard, "state = 'active' AND query ~ '^(PREPARE|COMMIT|ROLLBACK)'")
			}
		}
		if err := co.Resolve(context.WithoutCancel(c.t.Context())); err != nil {
			c.t.Fatal(err)
		}
	}
	if left := co.Transactions(); len(left) > 0 {
		c.t.Errorf("not resolved: %+v", left)
	}
}

// settle waits until no other client's server process is in a state.
func (c *cluster) settle(shard int, state string) {
	c.t.Helper()
	ctx := context.WithoutCancel(c.t.Context())
	conn, err := engines.Connect(ctx, c.server(shard), "")
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close(ctx)
	for range 20000 {
		var n int
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND "+state).Scan(&n); err != nil {
			c.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	c.t.Errorf("shard %d: there are still clients", shard)
}

var steps = []string{"preparing", "answered", "prepared", "decided", "committing", "committed", "ended"}

// TestKilledProxy kills the proxy at every step of a commit, the first time and the second
// that it comes to it, and lets another one recover.
func TestKilledProxy(t *testing.T) {
	c := newCluster(t, 2)
	dir := t.TempDir()
	setup, _, log := newBank(t, c.dials(), c.server(0).Info().User, dir, nil)
	makeBank(t, setup, 2)
	setup.pool.close()
	_ = log.Close()
	var all []string
	for _, step := range steps {
		for _, nth := range []int{1, 2, 5} {
			acked := c.child(dir, step+"/"+strconv.Itoa(nth), nil, 0)
			all = append(all, acked...)
			c.resolve(dir)
			c.audit(all)
			if t.Failed() {
				t.Fatalf("killed at %s, time %d", step, nth)
			}
		}
	}
}

func (c *cluster) dials() (out []func(context.Context) (net.Conn, error)) {
	for i := range c.srvs {
		out = append(out, c.dial(i))
	}
	return out
}

// child runs transfers in a process of its own, which is killed at a step, or after a while.
// It returns the transfers that were acknowledged.
func (c *cluster) child(dir, at string, begun func(), after time.Duration) []string {
	c.t.Helper()
	var sockets []string
	for i := range c.srvs {
		info := c.server(i).Info()
		sockets = append(sockets, filepath.Join(info.Socket, ".s.PGSQL."+strconv.Itoa(info.Port)))
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestBankChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), "SHARD_BANK="+dir, "SHARD_SOCKETS="+strings.Join(sockets, ","), "SHARD_USER="+c.server(0).Info().User, "SHARD_KILL="+at)
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	var acked []string
	scan := bufio.NewScanner(out)
	var timer *time.Timer
	for scan.Scan() {
		if name, ok := strings.CutPrefix(scan.Text(), "done "); ok {
			acked = append(acked, name)
		}
		if scan.Text() != "begun" {
			continue
		}
		if begun != nil {
			begun()
		}
		if after > 0 {
			timer = time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
	}
	err = cmd.Wait()
	if timer != nil {
		timer.Stop()
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		c.t.Fatalf("the child ended by itself: %v", err)
	}
	return acked
}

// TestBankChild is the process that other tests kill.
func TestBankChild(t *testing.T) {
	dir := os.Getenv("SHARD_BANK")
	if dir == "" {
		return // it is no test of its own
	}
	step, nth, _ := strings.Cut(os.Getenv("SHARD_KILL"), "/")
	times, _ := strconv.Atoi(nth)
	var mu sync.Mutex
	hook := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		if s == step {
			if times--; times == 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
	}
	var dials []func(context.Context) (net.Conn, error)
	for path := range strings.SplitSeq(os.Getenv("SHARD_SOCKETS"), ",") {
		dials = append(dials, func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "unix", path) })
	}
	f, co, _ := newBank(t, dials, os.Getenv("SHARD_USER"), dir, hook)
	go func() { _ = co.Run(t.Context()) }()
	run := time.Now().UnixNano() // process ids come again
	var wg sync.WaitGroup
	for w := range 3 {
		c := f.connect()
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d-%d-%d", run, os.Getpid(), w, i)
				if err := transfer(t.Context(), c, name, len(dials)); err != nil {
					if c.IsClosed() {
						return
					}
					continue
				}
				fmt.Println("done " + name)
			}
		})
	}
	fmt.Println("begun")
	wg.Wait()
}

// TestKilledShard kills a shard's server at every step of a commit; the session and the
// coordinator live on.
func TestKilledShard(t *testing.T) {
	c := newCluster(t, 2)
	dir := t.TempDir()
	var mu sync.Mutex
	var at string
	times, victim := 0, 0
	hook := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		if s == at {
			if times--; times == 0 {
				c.kill(victim)
			}
		}
	}
	f, co, log := newBank(t, c.dials(), c.server(0).Info().User, dir, hook)
	defer log.Close()
	makeBank(t, f, 2)
	var acked []string
	for _, step := range steps {
		for nth := 1; nth <= 2; nth++ {
			if nth == 2 && slices.Contains([]string{"prepared", "decided", "ended"}, step) {
				continue // it comes once in a commit
			}
			for shard := range 2 {
				mu.Lock()
				at, times, victim = step, nth, shard
				mu.Unlock()
				conn := f.connect()
				name := fmt.Sprintf("%s-%d-%d", step, nth, shard)
				err := transfer(t.Context(), conn, name, 2)
				_ = conn.Close(t.Context())
				if err == nil {
					acked = append(acked, name)
				}
				mu.Lock()
				at = ""
				mu.Unlock()
				c.restart(shard)
				c.settle(shard, "state = 'active'")
				f.pool.forget(shard)
				if err := co.Resolve(t.Context()); err != nil {
					t.Fatal(err)
				}
				c.audit(acked)
				if t.Failed() {
					t.Fatalf("shard %d killed at %s, time %d (%v)", shard, step, nth, err)
				}
				// What was decided is committed, whatever the client heard.
				decided := slices.Index(steps, step) >= slices.Index(steps, "decided")
				if decided && err != nil {
					t.Errorf("shard %d killed at %s: %v", shard, step, err)
				}
				if step == "preparing" && nth == 2 && err == nil {
					t.Logf("shard %d killed at %s: committed all the same", shard, step)
				}
			}
		}
	}
	if n := f.pool.lent(); n != 0 {
		t.Errorf("%d connections are lent at rest", n)
	}
}

// forget closes the idle connections to a shard.
func (p *servers) forget(shard int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle[shard] {
		_ = c.Close()
	}
	p.idle[shard] = nil
}

// TestRandomKills kills the proxy or a shard at any moment, as often as SHARD_KILLS says.
func TestRandomKills(t *testing.T) {
	kills := 4
	if s := os.Getenv("SHARD_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	c := newCluster(t, 3)
	dir := t.TempDir()
	setup, _, log := newBank(t, c.dials(), c.server(0).Info().User, dir, nil)
	makeBank(t, setup, 3)
	setup.pool.close()
	_ = log.Close()
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	var all []string
	counts := map[string]int{}
	for i := range kills {
		after := time.Duration(rnd.IntN(300)+1) * time.Millisecond
		shard := rnd.IntN(6)
		var dead sync.WaitGroup
		begun := func() {}
		counts["proxy"]++
		if shard < 3 {
			counts["shard"]++
			// The shard dies first, and the proxy goes on without it for a while.
			before := time.Duration(rnd.IntN(200)) * time.Millisecond
			begun = func() {
				dead.Add(1)
				time.AfterFunc(before, func() {
					defer dead.Done()
					c.kill(shard)
				})
			}
			after += 200 * time.Millisecond
		}
		all = append(all, c.child(dir, "", begun, after)...)
		dead.Wait()
		if shard < 3 {
			c.restart(shard)
		}
		c.resolve(dir)
		c.audit(all)
		if t.Failed() {
			t.Fatalf("kill %d", i)
		}
	}
	t.Logf("%d kills %v, %d transfers acknowledged, none half-committed", kills, counts, len(all))
}
