package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/loop"
)

// serve serves a configuration on a TCP address.
func serve(t *testing.T, current *atomic.Pointer[conf.Config]) (f *fleet.Fleet, addr string) {
	t.Helper()
	keys := &fleet.Keyring{}
	source, err := fleet.FromConfig(current.Load(), keys)
	if err != nil {
		t.Fatal(err)
	}
	f = fleet.New(source, nil)
	if f.Loops, err = loop.New(2); err != nil && !errors.Is(err, loop.ErrUnsupported) {
		t.Fatal(err)
	}
	auth := fleet.NewAuth(current.Load, false)
	auth.Keys, auth.Fleet = keys, f
	return f, listen(t, f, proxy.Config{
		Loops: f.Loops, Lookup: f.Lookup, Auth: auth,
		ClientLimits: func(c proxy.Client) (int, int) { return fleet.ClientLimits(current.Load(), c) },
	})
}

// serveFleet serves a fleet to everybody.
func serveFleet(t *testing.T, f *fleet.Fleet) (addr string) {
	t.Helper()
	return listen(t, f, proxy.Config{Lookup: f.Lookup})
}

func listen(t *testing.T, f *fleet.Fleet, cfg proxy.Config) (addr string) {
	t.Helper()
	px, err := proxy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- px.Serve(context.Background(), ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = px.Shutdown(ctx)
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.Close(ctx)
		if f.Loops != nil {
			f.Loops.Close()
		}
	})
	return ln.Addr().String()
}

func connect(t *testing.T, addr, user, password, database, params string) (*pgx.Conn, error) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable&%s", user, password, addr, database, params))
	if err == nil {
		t.Cleanup(func() { _ = c.Close(context.Background()) })
	}
	return c, err
}

func ask(t *testing.T, c *pgx.Conn, sql string) (v string) {
	t.Helper()
	if err := c.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}

func configOf(t *testing.T, servers ...engines.Server) *conf.Config {
	t.Helper()
	c := conf.DefaultConfig()
	for i, srv := range servers {
		d := conf.Database{Name: "db", Host: srv.Info().Socket, Port: uint16(srv.Info().Port), DatabaseName: "postgres"}
		if i > 0 {
			d.Role = conf.Replica
		}
		c.Databases = append(c.Databases, d)
	}
	c.Users = []conf.User{{Name: "app", Database: "db", Password: "one", Passwords: []string{"two"}, ServerUser: "postgres"}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return &c
}

func start(t *testing.T) engines.Server {
	t.Helper()
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	return srv
}

func TestFleet(t *testing.T) {
	a, b := start(t), start(t)
	var current atomic.Pointer[conf.Config]

	t.Run("passwords", func(t *testing.T) {
		for _, method := range []conf.AuthType{conf.AuthSCRAM, conf.AuthMD5, conf.AuthPlain} {
			c := configOf(t, a)
			c.General.AuthType = method
			current.Store(c)
			_, addr := serve(t, &current)
			for password, ok := range map[string]bool{"one": true, "two": true, "three": false} {
				if _, err := connect(t, addr, "app", password, "db", ""); (err == nil) != ok {
					t.Errorf("%s with %s: %v", method, password, err)
				}
			}
			_, wrong := connect(t, addr, "app", "three", "db", "")
			_, unknown := connect(t, addr, "nobody", "three", "db", "")
			if !strings.Contains(fmt.Sprint(wrong), "28P01") || !strings.Contains(fmt.Sprint(unknown), "28P01") {
				t.Errorf("%v and %v", wrong, unknown)
			}
			if _, err := connect(t, addr, "app", "one", "other", ""); err == nil {
				t.Error("a database that the user may not use")
			}
			if _, err := connect(t, addr, "app", "one", "db", "replication=database"); !strings.Contains(fmt.Sprint(err), "28000") {
				t.Errorf("replication without leave: %v", err)
			}
		}
	})

	t.Run("reads on the replica", func(t *testing.T) {
		c := configOf(t, a, b) // b stands for a replica: what matters is where statements go
		c.General.ReadWriteSplit = conf.ExcludePrimary
		current.Store(c)
		_, addr := serve(t, &current)
		conn, err := connect(t, addr, "app", "one", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		const where = "SELECT current_setting('data_directory')"
		if v := ask(t, conn, where); v != b.Info().Dir {
			t.Errorf("a read runs in %s", v)
		}
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var v string
		if err := tx.QueryRow(t.Context(), where).Scan(&v); err != nil || v != a.Info().Dir {
			t.Errorf("a transaction runs in %s, %v", v, err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		for begin, want := range map[string]string{
			"BEGIN READ ONLY": b.Info().Dir, "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY": b.Info().Dir,
			"BEGIN READ WRITE": a.Info().Dir, "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY": a.Info().Dir,
		} {
			for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement} {
				if _, err := conn.Exec(t.Context(), begin, mode); err != nil {
					t.Fatal(err)
				}
				if v := ask(t, conn, where); v != want {
					t.Errorf("%s (%v) runs in %s", begin, mode, v)
				}
				if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
					t.Error(err)
				}
			}
		}
		if _, err := conn.Exec(t.Context(), "SET default_transaction_isolation = 'serializable'"); err != nil {
			t.Fatal(err)
		}
		if v := ask(t, conn, where); v != a.Info().Dir {
			t.Errorf("what a replica refuses runs in %s", v)
		}
		if _, err := conn.Exec(t.Context(), "RESET default_transaction_isolation"); err != nil {
			t.Fatal(err)
		}
		if v := ask(t, conn, where+" FROM pg_class LIMIT 1 FOR UPDATE"); v != a.Info().Dir {
			t.Errorf("FOR UPDATE runs in %s", v)
		}
		batch := &pgx.Batch{}
		batch.Queue(where)
		batch.Queue("CREATE TABLE written (a int)")
		r := conn.SendBatch(t.Context(), batch)
		if err := r.QueryRow().Scan(&v); err != nil || v != a.Info().Dir {
			t.Errorf("a batch that writes begins in %s, %v", v, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := conn.Exec(t.Context(), "SET pgdog.role = 'primary'"); err != nil {
			t.Fatal(err)
		}
		if v := ask(t, conn, where); v != a.Info().Dir {
			t.Errorf("with pgdog.role a read runs in %s", v)
		}
	})

	t.Run("reload", func(t *testing.T) {
		current.Store(configOf(t, a))
		f, addr := serve(t, &current)
		conn, err := connect(t, addr, "app", "one", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		pid := ask(t, conn, "SELECT pg_backend_pid()::text")
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		same := configOf(t, a)
		same.General.LogConnections = !same.General.LogConnections
		reload := func(c *conf.Config) {
			source, err := fleet.FromConfig(c)
			if err != nil {
				t.Fatal(err)
			}
			current.Store(c)
			f.Reload(source)
		}
		reload(same)
		var v string
		if err := tx.QueryRow(t.Context(), "SELECT pg_backend_pid()::text").Scan(&v); err != nil || v != pid {
			t.Errorf("%s became %s, %v", pid, v, err)
		}
		reload(configOf(t, b))
		if err := tx.QueryRow(t.Context(), "SELECT current_setting('data_directory')").Scan(&v); err != nil || v != a.Info().Dir {
			t.Errorf("the transaction went to %s, %v", v, err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		if v := ask(t, conn, "SELECT current_setting('data_directory')"); v != b.Info().Dir {
			t.Errorf("the session did not follow to the new server: %s", v)
		}
		gone := configOf(t, b)
		gone.Databases[0].Name, gone.Users[0].Database = "new", "new"
		reload(gone)
		if _, err := conn.Exec(t.Context(), "SELECT 1"); code(err) != "3D000" {
			t.Errorf("of a database that is gone: %v", err)
		}
	})

	t.Run("a replica that fails", func(t *testing.T) {
		c := configOf(t, a, b)
		c.General.ReadWriteSplit = conf.ExcludePrimary
		c.Databases[1].Port = 1 // nobody is there
		current.Store(c)
		_, addr := serve(t, &current)
		conn, err := connect(t, addr, "app", "one", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		// All replicas are banned: the bans are lifted, or the primary is read.
		for range 3 {
			_, err = conn.Exec(t.Context(), "SELECT 1")
			if err == nil {
				break
			}
		}
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var v string
		if err := tx.QueryRow(t.Context(), "SELECT current_setting('data_directory')").Scan(&v); err != nil || v != a.Info().Dir {
			t.Errorf("the primary is %s, %v", v, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Error(err)
		}
		c = configOf(t, a, b)
		c.General.ReadWriteSplit = conf.ExcludePrimary
		broken := c.Databases[1]
		broken.Port = 1
		c.Databases = append(c.Databases, broken)
		current.Store(c)
		_, addr = serve(t, &current)
		if conn, err = connect(t, addr, "app", "one", "db", ""); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if v := ask(t, conn, "SELECT current_setting('data_directory')"); v != b.Info().Dir {
				t.Errorf("a read runs in %s", v)
			}
		}
	})

	t.Run("roles are found out", func(t *testing.T) {
		c := configOf(t, a)
		c.Databases[0].Role = conf.Auto
		current.Store(c)
		_, addr := serve(t, &current)
		conn, err := connect(t, addr, "app", "one", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "CREATE TABLE found_out (a int)"); err != nil {
			t.Error(err)
		}
	})

	t.Run("shards", func(t *testing.T) {
		c := configOf(t, a, b)
		c.Databases[1].Role, c.Databases[1].Shard = conf.Primary, 1
		c.ShardedTables = []conf.ShardedTable{{Database: "db", Name: "pieces", Column: "id", DataType: conf.Bigint}}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		current.Store(c)
		f, addr := serve(t, &current)
		conn, err := connect(t, addr, "app", "one", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "CREATE TABLE pieces (id bigint PRIMARY KEY, v text)"); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if _, err := conn.Exec(t.Context(), "INSERT INTO pieces (id, v) VALUES ($1, 'x')", i); err != nil {
				t.Fatal(err)
			}
		}
		if v := ask(t, conn, "SELECT count(*)::text FROM pieces"); v != "20" {
			t.Errorf("%s rows on all shards", v)
		}
		direct, err := engines.Connect(t.Context(), a, "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = direct.Close(context.Background()) }()
		if v := ask(t, direct, "SELECT count(*)::text FROM pieces"); v == "20" || v == "0" {
			t.Errorf("%s rows on one shard", v)
		}
		if _, err := conn.Exec(t.Context(), "SELECT count(1/(id-id)) FROM pieces"); code(err) != "22012" {
			t.Errorf("a division by zero: %v", err)
		}
		var xacts, queries, failures int64
		for _, p := range f.Pools() {
			n := &p.Counters
			xacts, queries, failures = xacts+n.Xacts.Load(), queries+n.Queries.Load(), failures+n.Errors.Load()
			if n.QueryTime() <= 0 || n.XactTime() < n.QueryTime()/2 {
				t.Errorf("%v in queries, %v in transactions", n.QueryTime(), n.XactTime())
			}
		}
		// CREATE TABLE and the two SELECTs on both shards, 20 INSERTs on one; each twice where a
		// statement is described first.
		if xacts < 26 || xacts > 60 || queries < xacts || failures < 1 || failures > 2 {
			t.Errorf("%d transactions, %d queries, %d errors", xacts, queries, failures)
		}
	})
}

// TestReloadUnderLoad reloads all the time while clients work: no statement fails, whatever
// becomes of the pools.
func TestReloadUnderLoad(t *testing.T) {
	a, b := start(t), start(t)
	var current atomic.Pointer[conf.Config]
	current.Store(configOf(t, a))
	f, addr := serve(t, &current)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var done atomic.Int64
	for id := range 6 {
		conn, err := connect(t, addr, "app", "one", "db", "application_name=reload")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				tx, err := conn.Begin(t.Context())
				if err != nil {
					t.Errorf("client %d: %v", id, err)
					return
				}
				var v int
				if err := tx.QueryRow(t.Context(), "SELECT $1::int + 1", i).Scan(&v); err != nil || v != i+1 {
					t.Errorf("client %d: %d, %v", id, v, err)
					return
				}
				if err := tx.Commit(t.Context()); err != nil {
					t.Errorf("client %d: %v", id, err)
					return
				}
				done.Add(1)
			}
		})
	}
	for i := range 60 {
		c := configOf(t, a)
		switch i % 4 {
		case 0:
			c = configOf(t, b)
		case 1:
			c = configOf(t, a, b)
		case 2:
			c.General.DefaultPoolSize = 3 + i%5
		}
		source, err := fleet.FromConfig(c)
		if err != nil {
			t.Fatal(err)
		}
		before := done.Load()
		current.Store(c)
		f.Reload(source)
		for tick := time.NewTicker(time.Millisecond); done.Load() < before+3 && !t.Failed(); <-tick.C {
		}
	}
	close(stop)
	wg.Wait()
	if n := len(f.Pools()); n > 2 {
		t.Errorf("%d pools are left", n)
	}
}
