package outside_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	soakAccounts = 50
	soakBalance  = 1000
	soakPool     = 8
)

// A soak is a proxy under load and faults.
type soak struct {
	t    *testing.T
	v    *victim
	p    *project
	x    *process
	urls []string

	done, failed, unknown, deaths, cancels, wrong atomic.Int64
	mu                                            sync.Mutex
	committed                                     map[string]bool // tokens: true is sure to be there, false sure not to be
}

// TestFaults lets clients work through the proxy while its server is killed, restarted, frozen
// and cut off, clients die at every point of what they do, certificates change and the
// configuration is read again every second. In the end nothing may be lost, mixed up or left.
// PROXY_SOAK is for how long, as "15m"; then the network is really cut, which only root can.
func TestFaults(t *testing.T) {
	long := os.Getenv("PROXY_SOAK")
	d := 6 * time.Second
	if long != "" {
		var err error
		if d, err = time.ParseDuration(long); err != nil {
			t.Fatal(err)
		}
	}
	s := &soak{t: t, committed: map[string]bool{}}
	address, wrap, cut := "127.0.0.1:0", []string(nil), (func(bool))(nil)
	if long != "" {
		address, wrap, cut = cable(t)
	}
	s.v = newVictim(t, address)
	s.setUp()
	s.start(wrap)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for i := range 12 {
		wg.Go(func() { s.transfers(ctx, i) })
	}
	for i := range 4 {
		wg.Go(func() { s.identities(ctx, i) })
		wg.Go(func() { s.dies(ctx) })
	}
	wg.Go(func() { s.reloads(ctx) })
	var sizes []int
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if f, err := footprintOf(s.x.Process.Pid); err == nil {
					sizes = append(sizes, f.rss)
				}
			}
		}
	})
	s.harm(time.Now().Add(d), cut)
	for limit := time.Now().Add(time.Minute); s.done.Load() < 10 && time.Now().Before(limit); {
		<-time.After(10 * time.Millisecond) // on a busy machine few come through meanwhile, but then they do
	}
	stop()
	wg.Wait()
	t.Logf("%v: %d transfers, %d failed, %d with unknown end, %d clients killed, %d cancelled", d, s.done.Load(), s.failed.Load(), s.unknown.Load(), s.deaths.Load(), s.cancels.Load())
	if s.done.Load() < 10 {
		t.Errorf("only %d transfers came through", s.done.Load())
	}
	s.check()
	if n := len(sizes) / 4; n >= 60 {
		before, after := median(sizes[n:2*n]), median(sizes[3*n:])
		t.Logf("resident memory: %d kB in the second quarter, %d kB in the last", before, after)
		if after > before+before/4+8<<10 {
			t.Errorf("memory grows")
		}
	}
	s.leftovers()
}

// setUp makes the tables.
func (s *soak) setUp() {
	s.t.Helper()
	s.p = configure(s.t, &server{"127.0.0.1", 1, "postgres"}, "", "")
	c := s.direct()
	for _, sql := range []string{
		"CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL)",
		fmt.Sprintf("INSERT INTO accounts SELECT i, %d FROM generate_series(1, %d) i", soakBalance, soakAccounts),
		"CREATE TABLE ledger (token text PRIMARY KEY)",
		"CREATE TABLE copied (a int, b text)",
	} {
		if _, err := c.Exec(s.t.Context(), sql); err != nil {
			s.t.Fatal(err)
		}
	}
}

// direct connects to the server itself.
func (s *soak) direct() *pgx.Conn {
	s.t.Helper()
	i := s.v.srv.Info()
	c, err := connect(s.t.Context(), fmt.Sprintf("host=%s port=%d sslmode=disable", i.Socket, i.Port), i.User, "", "postgres")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// write writes the configuration, a little different each time, and new certificates.
func (s *soak) write(n int) {
	host, port, err := net.SplitHostPort(s.v.wire.Addr().String())
	if err != nil {
		s.t.Error(err)
	}
	cert, key := certificate(s.t)
	for name, b := range map[string][]byte{"server.crt": cert, "server.key": key} {
		if err := os.WriteFile(filepath.Join(s.p.dir, name+".new"), b, 0o600); err != nil {
			s.t.Error(err)
		}
	}
	general := fmt.Sprintf(`[general]
host = "127.0.0.1"
port = 0
default_pool_size = %d
checkout_timeout = 3000
connect_timeout = 2000
query_timeout = 8000
healthcheck_interval = 1000
idle_healthcheck_interval = 2000
healthcheck_timeout = 1000
server_lifetime = 5000
client_idle_in_transaction_timeout = 5000
shutdown_timeout = 5000
tls_certificate = "server.crt"
tls_private_key = "server.key"
[tcp]
user_timeout = 4000
[admin]
password = "hush"
`, soakPool-n%2)
	for _, mode := range []string{"transaction", "session"} {
		general += fmt.Sprintf("[[databases]]\nname = %q\nhost = %q\nport = %s\ndatabase_name = \"postgres\"\npooler_mode = %q\n", mode, host, port, mode)
	}
	users := ""
	for _, mode := range []string{"transaction", "session"} {
		users += fmt.Sprintf("[[users]]\nname = \"postgres\"\ndatabase = %q\npassword = \"secret\"\n", mode)
	}
	for name, text := range map[string]string{"pgdog.toml": general, "users.toml": users} {
		if err := os.WriteFile(filepath.Join(s.p.dir, name+".new"), []byte(text), 0o600); err != nil {
			s.t.Error(err)
		}
	}
	for _, name := range []string{"server.key", "server.crt", "pgdog.toml", "users.toml"} {
		path := filepath.Join(s.p.dir, name)
		if err := os.Rename(path+".new", path); err != nil {
			s.t.Error(err)
		}
	}
}

// start starts the proxy, which listens on sockets of this network namespace.
func (s *soak) start(wrap []string) {
	s.t.Helper()
	s.write(0)
	var files []*os.File
	for _, at := range [][2]string{{"tcp", "127.0.0.1:0"}, {"unix", filepath.Join(s.p.dir, ".s.PGSQL.5432")}} {
		l, err := net.Listen(at[0], at[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = l.Close() })
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = f.Close() })
		files = append(files, f)
		if at[0] == "tcp" {
			s.urls = append(s.urls, "postgres://"+l.Addr().String()+"/?sslmode=require")
		} else {
			s.urls = append(s.urls, "host="+s.p.dir+" sslmode=disable")
		}
	}
	cmd := s.p.command("proxy", "--pgdog", "pgdog.toml")
	if wrap != nil {
		args := append(append([]string(nil), wrap...), cmd.Args...)
		args[len(wrap)] = cmd.Path
		inside := exec.Command(args[0], args[1:]...)
		inside.Dir, inside.Env = cmd.Dir, cmd.Env
		cmd = inside
	}
	cmd.ExtraFiles = files
	cmd.Env = append(cmd.Env, "OUTSIDE_SETS_LISTEN_PID=1", "LISTEN_FDS=2", "GOTRACEBACK=all")
	s.x = s.p.start(cmd)
}

// dial connects by TLS or the Unix socket, in one mode or the other.
func (s *soak) dial(ctx context.Context) (*pgx.Conn, error) {
	mode := "transaction"
	if rand.IntN(4) == 0 {
		mode = "session"
	}
	return connect(ctx, s.urls[rand.IntN(len(s.urls))], "postgres", "secret", mode)
}

// work runs f again and again on connections that are made anew after errors, and sometimes
// without one.
func (s *soak) work(ctx context.Context, f func(ctx context.Context, c *pgx.Conn) error) {
	limited := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.WithoutCancel(ctx), patience)
	}
	for ctx.Err() == nil {
		one, cancel := limited()
		c, err := s.dial(one)
		for err == nil && ctx.Err() == nil && rand.IntN(30) > 0 {
			cancel()
			one, cancel = limited()
			err = f(one, c)
		}
		if err != nil {
			s.failed.Add(1)
			s.judge(err)
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
		if c != nil {
			_ = c.Close(one)
		}
		cancel()
	}
}

// judge fails the test for errors that no fault explains.
func (s *soak) judge(err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		s.wrong.Add(1)
		s.t.Errorf("something took %v: %v", patience, err)
		return
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return // a connection that was lost
	}
	switch {
	case pg.Code[:2] == "57", pg.Code[:2] == "08" && pg.Code != "08P01", pg.Code[:2] == "53", pg.Code[:2] == "58",
		pg.Code == "25P03", pg.Code == "40P01", pg.Code == "40001", pg.Code == "55000" && strings.Contains(pg.Message, "recovery"):
		return
	}
	if s.wrong.Add(1) < 20 {
		s.t.Errorf("an error that no fault explains: %s %s (%s)", pg.Code, pg.Message, pg.Detail)
	}
}

var tokens atomic.Int64

// transfers moves money, and knows which of its transactions must be there.
func (s *soak) transfers(ctx context.Context, n int) {
	s.work(ctx, func(ctx context.Context, c *pgx.Conn) error {
		token := fmt.Sprintf("%d-%d", n, tokens.Add(1))
		a, b, x := 1+rand.IntN(soakAccounts), 1+rand.IntN(soakAccounts), 1+rand.IntN(100)
		if a > b {
			a, b = b, a
		}
		tx, err := c.Begin(ctx)
		if err != nil {
			return err
		}
		for _, step := range []struct {
			sql  string
			args []any
		}{
			{"UPDATE accounts SET balance = balance - $2 WHERE id = $1", []any{a, x}},
			{"UPDATE accounts SET balance = balance + $2 WHERE id = $1", []any{b, x}},
			{"INSERT INTO ledger VALUES ($1)", []any{token}},
		} {
			if _, err := tx.Exec(ctx, step.sql, step.args...); err != nil {
				s.note(token, false)
				_ = tx.Rollback(ctx)
				return err
			}
		}
		if rand.IntN(10) == 0 {
			s.note(token, false)
			return tx.Rollback(ctx)
		}
		if err := tx.Commit(ctx); err != nil {
			s.unknown.Add(1)
			return err
		}
		s.note(token, true)
		s.done.Add(1)
		return nil
	})
}

func (s *soak) note(token string, there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed[token] = there
}

// identities asks for what only this client can have asked for, and keeps state in its session.
func (s *soak) identities(ctx context.Context, n int) {
	s.work(ctx, func(ctx context.Context, c *pgx.Conn) error {
		me := fmt.Sprintf("%d.%d", n, tokens.Add(1))
		if _, err := c.Exec(ctx, "SET app.me = '"+me+"'"); err != nil {
			return err
		}
		for range 5 {
			ask := fmt.Sprintf("%s/%d", me, rand.Uint64())
			var who, what string
			if err := c.QueryRow(ctx, "SELECT current_setting('app.me', true), $1::text", ask).Scan(&who, &what); err != nil {
				return err
			}
			if who != me || what != ask {
				s.wrong.Add(1)
				s.t.Errorf("the client %s is %q, and its %s is answered by %q", me, who, ask, what)
			}
			rows, err := c.Query(ctx, "SELECT $1 || g FROM generate_series(1, 200) g", ask)
			if err != nil {
				return err
			}
			got, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			for i, g := range got {
				if g != ask+strconv.Itoa(i+1) {
					s.wrong.Add(1)
					s.t.Errorf("row %d of %s is %q", i, ask, g)
					break
				}
			}
		}
		if rand.IntN(5) == 0 { // cancelled by its client
			short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(30))*time.Millisecond)
			_, err := c.Exec(short, "SELECT pg_sleep(20)")
			cancel()
			if err == nil {
				s.wrong.Add(1)
				s.t.Error("a query of 20 s was over at once")
			}
			s.cancels.Add(1)
			return errors.New("pgx closes connections whose queries are cancelled")
		}
		return nil
	})
}

// dies is a client that is killed at any byte of what it says.
func (s *soak) dies(ctx context.Context) {
	scripts := [][]string{
		{"BEGIN", "UPDATE accounts SET balance = balance + 1000000 WHERE id = 1", "SET app.me = 'dirty'", "SELECT pg_sleep(0.01)", "SELECT repeat('x', 1000) FROM generate_series(1, 1000)"},
		{"SELECT pg_advisory_lock(7)", "CREATE TEMP TABLE dirt (a int)", "LISTEN dirt", "SELECT count(*) FROM accounts", "PREPARE dirt AS SELECT 1"},
		{"BEGIN; INSERT INTO copied VALUES (1, 'x')", "COPY copied FROM STDIN"},
		{"DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 10000)", "FETCH 10 FROM c"},
	}
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		c, err := s.dial(one)
		if err != nil {
			s.judge(err)
			cancel()
			continue
		}
		script := scripts[rand.IntN(len(scripts))]
		var b []byte
		for _, sql := range script {
			b = append(b, 'Q', 0, 0, 0, byte(len(sql)+5))
			b = append(append(b, sql...), 0)
		}
		hijacked, err := c.PgConn().Hijack()
		cancel()
		if err != nil {
			s.t.Error(err)
			return
		}
		nc := hijacked.Conn
		_ = nc.SetDeadline(time.Now().Add(patience))
		_, _ = nc.Write(b[:rand.IntN(len(b))])
		if rand.IntN(2) == 0 { // some time passes
			<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
		}
		hardClose(nc)
		s.deaths.Add(1)
	}
}

// reloads has the configuration read every second.
func (s *soak) reloads(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.write(n)
			_ = s.x.Process.Signal(syscall.SIGHUP)
		}
	}
}

// harm does one thing after the other to the server and its network.
func (s *soak) harm(until time.Time, cut func(bool)) {
	rest := func() { <-time.After(time.Duration(200+rand.IntN(1500)) * time.Millisecond) }
	type fault struct {
		name string
		do   func()
	}
	faults := []fault{
		{"kill the server", s.v.kill},
		{"kill a backend", func() { s.v.backend(syscall.SIGKILL) }},
		{"terminate a backend", func() { s.v.backend(syscall.SIGTERM) }},
		{"freeze the server", func() { s.v.freeze(time.Duration(200+rand.IntN(4000)) * time.Millisecond) }},
		{"restart the server", s.v.restart},
		{"reset all connections", s.v.wire.reset},
		{"hold all bytes", func() {
			s.v.wire.hold()
			rest()
			s.v.wire.flow()
		}},
	}
	if cut != nil {
		faults = append(faults, fault{"cut the network", func() {
			cut(true)
			<-time.After(time.Duration(rand.IntN(8000)) * time.Millisecond)
			cut(false)
		}})
	}
	counts := map[string]int{}
	for i := 0; time.Now().Before(until) && !s.t.Failed(); i++ {
		f := faults[rand.IntN(len(faults))]
		if i < 3 { // the short run has at least these
			f = faults[i]
		}
		counts[f.name]++
		f.do()
		rest()
	}
	s.t.Logf("faults: %v", counts)
}

// check compares what is in the database with what clients know.
func (s *soak) check() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	// The proxy has to serve again.
	eventually(s.t, "the proxy serves", func() bool {
		c, err := s.dial(ctx)
		if err != nil {
			return false
		}
		defer func() { _ = c.Close(ctx) }()
		_, err = c.Exec(ctx, "SELECT 1")
		return err == nil
	})
	c := s.direct()
	eventually(s.t, "no transaction is left", func() bool {
		var n int
		err := c.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()").Scan(&n)
		return err == nil && n == 0
	})
	var sum int64
	var copied int
	if err := c.QueryRow(ctx, "SELECT sum(balance), (SELECT count(*) FROM copied) FROM accounts").Scan(&sum, &copied); err != nil {
		s.t.Fatal(err)
	}
	if sum != soakAccounts*soakBalance || copied != 0 {
		s.t.Errorf("the balances add up to %d, not %d; %d rows of clients that died", sum, soakAccounts*soakBalance, copied)
	}
	rows, err := c.Query(ctx, "SELECT token FROM ledger")
	if err != nil {
		s.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	there := map[string]bool{}
	for _, token := range list {
		there[token] = true
	}
	for token, want := range s.committed {
		if there[token] != want {
			s.t.Errorf("the transaction %s is there: %v, and its client knows: %v", token, there[token], want)
		}
	}
	s.t.Logf("%d transactions in the ledger, %d known", len(there), len(s.committed))
}

// leftovers looks for what the clients left in the proxy.
func (s *soak) leftovers() {
	s.t.Helper()
	c, err := connect(s.t.Context(), s.urls[0], "admin", "hush", "admin")
	if err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "no client has a server, and none waits", func() bool {
		var n, busy int
		rows, err := c.Query(s.t.Context(), "SHOW POOLS sv_active, cl_waiting, sv_idle")
		if err != nil {
			s.t.Fatal(err)
		}
		var active, waiting, idle int64
		_, err = pgx.ForEachRow(rows, []any{&active, &waiting, &idle}, func() error {
			n++
			busy += int(active + waiting)
			return nil
		})
		return err == nil && n >= 1 && busy == 0
	})
	eventually(s.t, "no client is left", func() bool {
		rows, err := c.Query(s.t.Context(), "SHOW CLIENTS id")
		if err != nil {
			s.t.Fatal(err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		return err == nil && len(ids) == 0
	})
	_ = c.Close(s.t.Context())
	most := 2*soakPool + 25 // two pools, sockets, files of the runtime
	var f footprint
	eventually(s.t, "the file descriptors are few", func() bool {
		f, err = footprintOf(s.x.Process.Pid)
		return err == nil && f.fds <= most
	})
	var sessions []string
	all := s.x.goroutines()
	fronts := 0
	for _, g := range all {
		switch {
		case strings.Contains(g, "proxy.(*session)"):
			sessions = append(sessions, g)
		case strings.Contains(g, "pgserver.(*conn)"):
			if fronts++; fronts > 1 { // ours, in the admin database, may be ending
				sessions = append(sessions, g)
			}
		}
	}
	if len(sessions) > 0 {
		s.t.Errorf("%d goroutines of sessions are left, as\n%s", len(sessions), sessions[0])
	}
	if len(all) > 60 {
		s.t.Errorf("%d goroutines are left", len(all))
	}
	s.t.Logf("left: %d descriptors, %d goroutines", f.fds, len(all))
}

// cable makes a network namespace for the proxy with a cable to this one. It returns an address
// at this end, what stands before a command to run it at the other, and what cuts the cable.
func cable(t *testing.T) (address string, wrap []string, cut func(bool)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("only root can make network namespaces: run this as root, or without PROXY_SOAK for the short version, which does without")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Fatalf("networks are cut by ip, of the package iproute2: %v", err)
	}
	name := fmt.Sprintf("pgxsoak%d", os.Getpid()%10000)
	here, there := "v"+name[3:], "w"+name[3:]
	run := func(args ...string) {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Errorf("ip %s: %v %s", strings.Join(args, " "), err, out)
		}
	}
	run("netns", "add", name)
	t.Cleanup(func() { run("netns", "delete", name) })
	run("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
	run("addr", "add", "169.254.213.1/30", "dev", here)
	run("link", "set", here, "up")
	run("-n", name, "addr", "add", "169.254.213.2/30", "dev", there)
	run("-n", name, "link", "set", there, "up")
	run("-n", name, "link", "set", "lo", "up")
	if t.Failed() {
		t.FailNow()
	}
	return "169.254.213.1:0", []string{"ip", "netns", "exec", name}, func(yes bool) {
		state := "up"
		if yes {
			state = "down"
		}
		run("-n", name, "link", "set", there, state)
	}
}
