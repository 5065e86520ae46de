package balance_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/balance"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/wire/replication"
)

const patience = 60 * time.Second

func start(t *testing.T, spec engines.Spec) engines.Server {
	t.Helper()
	spec.Fast, spec.Discard = true, true
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	return srv
}

func connect(t *testing.T, srv engines.Server) *pgx.Conn {
	t.Helper()
	conn, err := engines.Connect(t.Context(), srv, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, c *pgx.Conn, sql string) {
	t.Helper()
	if _, err := c.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// pair starts a primary and a replica that streams from it.
func pair(t *testing.T) [2]engines.Server {
	t.Helper()
	primary := start(t, engines.Spec{Params: map[string]string{"wal_level": "replica", "max_wal_senders": "4"}})
	cfg, err := engines.ConnConfig(primary, "postgres", "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := replication.Connect(t.Context(), &cfg.Config, replication.Physical)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "replica")
	if _, err := conn.BaseBackup(t.Context(), &replication.DirSink{Dir: dir, NoSync: true}, replication.BaseBackupOptions{Fast: true, WAL: true}); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if err := os.WriteFile(filepath.Join(dir, "standby.signal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info := primary.Info()
	replica := start(t, engines.Spec{Dir: dir, Params: map[string]string{
		"primary_conninfo": fmt.Sprintf("host=%s port=%d user=%s sslmode=disable", info.Socket, info.Port, info.User),
		"hot_standby":      "on",
	}})
	return [2]engines.Server{primary, replica}
}

// TestFailover has a real replica lag, catch up, and be promoted when its primary dies, while
// writers wait.
func TestFailover(t *testing.T) {
	servers := pair(t)
	g := balance.New(balance.Config{MaxLagBytes: 1 << 20, Split: conf.ExcludePrimary}, []balance.Target{{Name: "a", Role: conf.Auto}, {Name: "b", Role: conf.Auto}})
	c := balance.NewChecker(g, balance.CheckerConfig{Interval: 20 * time.Millisecond, Urgent: 20 * time.Millisecond, Timeout: patience},
		func(ctx context.Context, i int) (net.Conn, error) {
			cfg, err := engines.ConnConfig(servers[i], "postgres", "")
			if err != nil {
				return nil, err
			}
			conn, err := pgconn.ConnectConfig(ctx, &cfg.Config)
			if err != nil {
				return nil, err
			}
			h, err := conn.Hijack()
			if err != nil {
				return nil, err
			}
			return h.Conn, nil
		})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	defer func() { cancel(); <-done }()

	until := func(what string, ok func([]balance.State) bool) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for !ok(g.States()) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: never; %+v", what, g.States())
			}
			<-time.After(5 * time.Millisecond) // between polls
		}
	}
	until("roles are found", func(s []balance.State) bool {
		return s[0].Primary && s[0].Timeline == 1 && s[1].Role == conf.Replica && s[1].LagBytes == 0 && s[1].LSN > 0
	})
	if i, err := g.Read(); i != 1 || err != nil {
		t.Errorf("reads go to %d, %v", i, err)
	}

	onPrimary, onReplica := connect(t, servers[0]), connect(t, servers[1])
	exec(t, onPrimary, "CREATE TABLE t AS SELECT 1 AS n")
	until("the table is there", func(s []balance.State) bool { return s[1].LSN >= s[0].LSN })
	exec(t, onReplica, "SELECT pg_wal_replay_pause()")
	exec(t, onPrimary, "INSERT INTO t SELECT generate_series(1, 50000)")
	until("the replica lags", func(s []balance.State) bool { return s[1].Lagging && s[1].Lag > 0 })
	if i, err := g.Read(); i != 0 || err != nil {
		t.Errorf("reads go to %d, %v, and the replica lags", i, err)
	}
	exec(t, onReplica, "SELECT pg_wal_replay_resume()")
	until("it has caught up", func(s []balance.State) bool { return !s[1].Lagging && s[1].LagBytes == 0 })

	_ = servers[0].Close(t.Context())
	until("the primary is gone", func(s []balance.State) bool { return !s[0].Healthy })
	if i, ok := g.Primary(); ok {
		t.Errorf("writers get %d", i)
	}
	got := make(chan int, 1)
	go func() {
		i, err := g.WaitPrimary(ctx)
		if err != nil {
			t.Error(err)
		}
		got <- i
	}()
	until("a writer waits", func([]balance.State) bool { return g.Held() == 1 })
	exec(t, onReplica, "SELECT pg_promote()")
	select {
	case i := <-got:
		if i != 1 {
			t.Errorf("the writer got %d", i)
		}
	case <-time.After(patience):
		t.Fatal("the writer waits on")
	}
	if s := g.States()[1]; s.Timeline != 2 {
		t.Errorf("the new primary is on timeline %d", s.Timeline)
	}
	exec(t, onReplica, "INSERT INTO t VALUES (0)")
}
