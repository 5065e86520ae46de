package console_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/admin"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/console"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/metrics"
)

// A front is a proxy with its console in front of a real server.
type front struct {
	*console.Console
	connect func(user, database string) (*pgx.Conn, error)
}

func start(t *testing.T) *front {
	t.Helper()
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	cfg := conf.DefaultConfig()
	cfg.Databases = []conf.Database{{Name: "app", Host: srv.Info().Socket, Port: uint16(srv.Info().Port), DatabaseName: "postgres"}}
	cfg.Users = []conf.User{{Name: srv.Info().User, Database: "app"}}
	cfg.General.AuthType = conf.AuthTrust
	source, err := fleet.FromConfig(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := fleet.New(source, nil)
	c := console.New(console.Config{Fleet: f, Config: func() *conf.Config { return &cfg }})
	p, err := proxy.New(proxy.Config{
		Lookup: c.Lookup, Console: admin.NewConsole(c, "test"), IsConsole: c.IsConsole,
		Auth: fleet.NewAuth(func() *conf.Config { return &cfg }, true),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Attach(p)
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = p.Shutdown(ctx)
		f.Close(ctx)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &front{c, func(user, database string) (*pgx.Conn, error) {
		pc, err := pgx.ParseConfig("host=" + filepath.Dir(l.Addr().String()) + " sslmode=disable")
		if err != nil {
			return nil, err
		}
		pc.User, pc.Database = user, database
		pc.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
		conn, err := pgx.ConnectConfig(context.Background(), pc)
		if err == nil {
			t.Cleanup(func() { _ = conn.Close(context.Background()) })
		}
		return conn, err
	}}
}

func TestConsole(t *testing.T) {
	f := start(t)
	connect := func(user, database string) *pgx.Conn {
		t.Helper()
		c, err := f.connect(user, database)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	app, adm := connect("postgres", "app"), connect("admin", "admin")
	one := func(sql string) string {
		t.Helper()
		rows, err := adm.PgConn().Exec(t.Context(), sql).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		var out []string
		for _, r := range rows[0].Rows {
			var cells []string
			for _, v := range r {
				if v == nil {
					cells = append(cells, "NULL")
				} else {
					cells = append(cells, string(v))
				}
			}
			out = append(out, strings.Join(cells, " "))
		}
		return strings.Join(out, "\n")
	}
	do := func(sql string) error {
		_, err := adm.Exec(t.Context(), sql)
		return err
	}
	for range 3 {
		if _, err := app.Exec(t.Context(), "SELECT 1; SELECT 2"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := app.Exec(t.Context(), "BEGIN; SELECT 1/0"); err == nil {
		t.Fatal("no error")
	}
	if got := one("SHOW STATS database, user, role, total_xact_count, total_errors, total_reads, total_xact_2pc_count"); got != "app postgres primary 3 1 6 0" {
		// the fourth one goes on, failed
		t.Errorf("stats: %s", got)
	}
	if got := one("SHOW CLIENTS user, database, state, errors, query"); got != "postgres app idle in transaction 1 BEGIN; SELECT 1/0" {
		t.Errorf("clients: %s", got)
	}
	if got := one("SHOW POOLS sv_active, sv_idle, pool_mode, healthy, sv_idle_xact"); got != "1 0 transaction t 1" {
		t.Errorf("pools: %s", got)
	}
	id := one("SHOW CLIENTS id")
	if got := one("SHOW SERVERS state, link, role"); got != "active "+id+" primary" {
		t.Errorf("servers: %s", got)
	}
	if _, err := app.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}

	// In a pipeline every Sync ends a transaction.
	before := one("SHOW STATS total_xact_count, total_query_count")
	p := app.PgConn().StartPipeline(t.Context())
	for range 5 {
		p.SendQueryParams("SELECT 1", nil, nil, nil, nil)
		if err := p.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var b, a [2]int
	if _, err := fmt.Sscan(before, &b[0], &b[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(one("SHOW STATS total_xact_count, total_query_count"), &a[0], &a[1]); err != nil {
		t.Fatal(err)
	}
	if a[0]-b[0] != 5 || a[1]-b[1] != 5 {
		t.Errorf("%d transactions and %d queries in the pipeline, want 5", a[0]-b[0], a[1]-b[1])
	}

	// Time idle in a transaction, and what connections and clients have done and keep.
	idle := func() (ms float64) {
		t.Helper()
		if _, err := fmt.Sscan(one("SHOW STATS total_idle_xact_time"), &ms); err != nil {
			t.Fatal(err)
		}
		return ms
	}
	was := idle()
	for _, sql := range []string{"BEGIN", "SELECT pg_sleep(0.01)", "COMMIT"} {
		if _, err := app.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	if now := idle(); now <= was {
		t.Errorf("%v ms idle in transactions, after %v before one", now, was)
	}
	if _, err := app.Prepare(t.Context(), "", "SELECT 42"); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Prepare(t.Context(), "mine", "SELECT 42"); err != nil {
		t.Fatal(err)
	}
	if got := one("SHOW SERVERS prepared_statements, errors, rollbacks"); got != "1 1 0" {
		t.Errorf("the server connection: %s", got)
	}
	if got := one("SHOW CLIENTS transactions_2pc, prepared_statements"); got != "0 1" {
		t.Errorf("the client: %s", got)
	}
	for _, sql := range []string{"SHOW SERVERS transactions", "SHOW SERVERS queries", "SHOW SERVERS memory_used", "SHOW CLIENTS memory_used", "SHOW PREPARED memory_used"} {
		var n float64
		if _, err := fmt.Sscan(one(sql), &n); err != nil || n <= 0 {
			t.Errorf("%s: %v %v", sql, n, err)
		}
	}
	if _, err := app.Exec(t.Context(), "DEALLOCATE mine", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	if err := do("RESET PREPARED"); err != nil {
		t.Fatal(err)
	}

	// Metrics tell the same.
	var text bytes.Buffer
	if err := metrics.Write(&text, f.Metrics(), f.Averager(), "", metrics.Text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nclients 1\n", `total_xact_count{user="postgres",database="app",`, `transaction_duration_seconds_count{user="postgres"`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
	for _, name := range metrics.Names() {
		if !strings.HasPrefix(name, "mirror_") && !strings.Contains(text.String(), "# HELP "+name+" ") {
			t.Errorf("the metrics lack %s", name)
		}
	}

	// PAUSE holds clients until RESUME.
	if err := do("PAUSE app"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := app.Exec(t.Context(), "SELECT 'held'"); err != nil {
			t.Error(err)
		}
	})
	for one("SHOW POOLS cl_waiting") != "1" {
	}
	if got := one("SHOW CLIENTS state"); got != "waiting" {
		t.Errorf("state %s", got)
	}
	if err := do("RESUME app"); err != nil {
		t.Fatal(err)
	}
	wg.Wait()

	if got := one("SHOW CLIENTS transaction_time"); got == "NULL" || strings.HasPrefix(got, "0 ") || got == "0" {
		t.Errorf("transactions took %s", got)
	}
	// RECONNECT and WAIT_CLOSE replace the connection.
	pid := one("SHOW SERVERS remote_pid")
	if err := errors.Join(do("RECONNECT"), do("WAIT_CLOSE")); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	if got := one("SHOW SERVERS remote_pid"); got == pid {
		t.Error("the connection is the old one")
	}

	// DISABLE keeps new clients out, not the others.
	if err := do("DISABLE app"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.connect("postgres", "app"); err == nil || !strings.Contains(err.Error(), "takes no new clients") {
		t.Errorf("disabled: %v", err)
	}
	if _, err := app.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Error(err)
	}
	if err := do("ENABLE app"); err != nil {
		t.Fatal(err)
	}
	if err := do("HEALTHCHECK"); err != nil {
		t.Error(err)
	}
	if got := one("SHOW PREPARED"); got != "" {
		t.Errorf("prepared: %s", got)
	}

	// KILL_CLIENT ends it in a transaction, and its connection goes back.
	if _, err := app.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if err := do("KILL_CLIENT " + id); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the client is there still")
	}
	for one("SHOW CLIENTS id") != "" || one("SHOW POOLS sv_active") != "0" {
	}
	for sql, want := range map[string]string{
		"BAN": "only one of its database", "BAN nosuch": `no pool "nosuch"`, "PAUSE nosuch": `no database "nosuch"`, "KILL_CLIENT 0": "no client",
		"RELOAD": "is not supported", "SHUTDOWN": "is not supported", "COPY_DATA a b p": "without a configuration", "RESHARD a b p": "without a configuration",
		"SCHEMA_SYNC PRE a b p": "without a configuration", "REPLICATE a b p": "without a configuration", "CUTOVER": "without a configuration", "STOP_TASK 1": "without a configuration",
	} {
		if err := do(sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", sql, err, want)
		}
	}
	if !f.Healthy() {
		t.Error("it is not healthy")
	}
}
