package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/metrics"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A fake is a proxy with a pool, a client and a server.
type fake struct {
	mu    sync.Mutex
	conf  conf.Config
	did   []Command
	fails error
	parts []Part
}

func newFake() *fake {
	c := conf.DefaultConfig()
	c.Databases = []conf.Database{{Name: "app", Host: "10.0.0.1"}, {Name: "app", Host: "10.0.0.2", Role: conf.Replica}}
	c.Users = []conf.User{{Name: "alice", Database: "app", Password: "topsecret"}}
	c.PgBouncer.AdminUsers, c.PgBouncer.StatsUsers = []string{"root"}, []string{"monitor"}
	return &fake{conf: c}
}

func (f *fake) Config() *conf.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.conf
	return &c
}

func (f *fake) Do(_ context.Context, c Command) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, c)
	if c.Config != nil && f.fails == nil {
		f.conf = *c.Config
	}
	return f.fails
}

func (f *fake) Snapshot(parts Part) *Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parts = append(f.parts, parts)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &Snapshot{InstanceID: "i1", Started: at, Metrics: metrics.Snapshot{Clients: 2, Mirrors: []metrics.Mirror{{Source: "app", Destination: "copy", Total: 3}}}}
	for i, role := range []string{"primary", "replica"} {
		s.Metrics.Pools = append(s.Metrics.Pools, metrics.Pool{
			Labels: metrics.Labels{User: "alice", Database: "app", Host: fmt.Sprintf("10.0.0.%d", i+1), Port: 5432, Role: role},
			Idle:   3, Active: 2, Waiting: 1, MaxWait: 1500 * time.Millisecond, MaxConnections: 10,
			Totals: metrics.Totals{Xacts: 7, XactTime: 2500 * time.Microsecond},
		})
		s.Pools = append(s.Pools, Pool{ID: int64(i + 1), Mode: conf.Transaction, Healthy: true, Online: true, Banned: i == 1, BanReason: "gone", Clients: 1})
	}
	if parts&Clients != 0 {
		s.Clients = []Client{{ID: 9, User: "alice", Database: "app", Addr: "127.0.0.1", Port: 4711, State: "idle", ConnectTime: at, Query: "SELECT 'x\xff'"}}
	}
	if parts&Servers != 0 {
		s.Servers = []Server{{ID: 1, Database: "app", PID: 1234, State: "active", Client: 9}}
	}
	if parts&Statements != 0 {
		s.Statements = []Statement{{Name: "__pgx_1", SQL: "SELECT $1", Users: 2}}
	}
	return s
}

// serve returns a function that connects as a user.
func serve(t *testing.T, f *fake) func(user string, mode pgx.QueryExecMode) *pgx.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &pgserver.Server{Handler: NewConsole(f, "1.2.3"), Auth: pgserver.Trust()}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, pgserver.ErrServerClosed) {
			t.Error(err)
		}
	})
	return func(user string, mode pgx.QueryExecMode) *pgx.Conn {
		cfg, err := pgx.ParseConfig(fmt.Sprintf("postgres://%s@%s/admin?sslmode=disable", user, l.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		cfg.DefaultQueryExecMode = mode
		c, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		return c
	}
}

// query returns the columns and the rows as texts.
func query(t *testing.T, c *pgx.Conn, sql string) (cols []string, rows [][]string) {
	t.Helper()
	res, err := c.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	for _, f := range res[0].FieldDescriptions {
		cols = append(cols, f.Name)
	}
	for _, r := range res[0].Rows {
		var row []string
		for _, v := range r {
			row = append(row, string(v))
		}
		rows = append(rows, row)
	}
	return cols, rows
}

// TestColumns holds the columns that tools look for, by position where PgDog has them, by
// name where PgBouncer has.
func TestColumns(t *testing.T) {
	c := serve(t, newFake())("admin", pgx.QueryExecModeSimpleProtocol)
	for _, tt := range []struct{ sql, first, has string }{
		{
			"SHOW POOLS", "id database user addr port shard role cl_waiting sv_idle sv_active sv_idle_xact sv_total maxwait maxwait_us pool_mode paused banned healthy errors re_synced out_of_sync online replica_lag schema_admin force_closed",
			"cl_active sv_used sv_tested sv_login",
		},
		{
			"SHOW CLIENTS", "id user database addr port state replication connect_time last_request queries transactions transactions_2pc wait_time query_time transaction_time bytes_received bytes_sent errors application_name memory_used locked prepared_statements",
			"query",
		},
		{
			"show servers;", "database user state addr port connect_time request_time remote_pid transactions queries rollbacks prepared_statements healthchecks errors bytes_received bytes_sent age application_name memory_used",
			"link",
		},
		{"SHOW STATS", "database user addr port shard role total_xact_count total_xact_2pc_count total_query_count total_server_assignment_count total_received total_sent total_xact_time", "avg_rows_deleted total_wait_time avg_query_count"},
		{"SHOW DATABASES", "name host port database force_user pool_size min_pool_size reserve_pool_size pool_mode max_connections current_connections", "paused disabled"},
		{"SHOW LISTS", "list items", ""},
		{"SHOW CONFIG", "key value default changeable", ""},
		{"SHOW VERSION", "version", ""},
		{"SHOW STATE", "key value", ""},
	} {
		cols, rows := query(t, c, tt.sql)
		first := strings.Fields(tt.first)
		if len(cols) < len(first) || !slices.Equal(cols[:len(first)], first) {
			t.Errorf("%s: %s", tt.sql, cmp.Diff(first, cols))
		}
		for name := range strings.FieldsSeq(tt.has) {
			if !slices.Contains(cols, name) {
				t.Errorf("%s has no column %s", tt.sql, name)
			}
		}
		if len(rows) == 0 {
			t.Errorf("%s has no rows", tt.sql)
		}
	}
}

// TestNothingMoves has lists of what moves between shards, which are empty, with PgDog's columns.
func TestNothingMoves(t *testing.T) {
	c := serve(t, newFake())("admin", pgx.QueryExecModeSimpleProtocol)
	for sql, want := range map[string]string{
		"SHOW TASKS":             "id scope type status inner_status started_at updated_at elapsed elapsed_ms",
		"SHOW TABLE_COPIES":      "schema table status rows rows_human bytes bytes_human bytes_per_sec bytes_per_sec_human elapsed elapsed_ms sql",
		"SHOW SCHEMA_SYNC":       "database user shard kind sync_state started_at elapsed elapsed_ms table_schema table_name sql",
		"SHOW REPLICATION_SLOTS": "host port database_name name lsn lag lag_bytes copy_data last_transaction last_transaction_ms",
		"SHOW TASKS id, type":    "id type",
	} {
		rows, err := c.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		var cols []string
		for _, d := range rows.FieldDescriptions() {
			cols = append(cols, d.Name)
		}
		if got := strings.Join(cols, " "); got != want || rows.Next() {
			t.Errorf("%s: %s", sql, got)
		}
		if rows.Close(); rows.Err() != nil {
			t.Error(rows.Err())
		}
	}
}

// TestEverything shows all that there is, by both protocols, and looks for secrets.
func TestEverything(t *testing.T) {
	connect := serve(t, newFake())
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeExec} {
		c := connect("admin", mode)
		for _, s := range shows() {
			rows, err := c.Query(t.Context(), "SHOW "+s.name)
			if err != nil {
				if code(err) != "0A000" {
					t.Errorf("%s: %v", s.name, err)
				}
				continue
			}
			for rows.Next() {
				values, err := rows.Values()
				if err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
				if strings.Contains(fmt.Sprint(values), "topsecret") {
					t.Errorf("%s shows a password", s.name)
				}
			}
			if err := rows.Err(); err != nil && code(err) != "0A000" {
				t.Errorf("%s: %v", s.name, err)
			}
		}
	}
}

func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

func TestRows(t *testing.T) {
	f := newFake()
	c := serve(t, f)("root", pgx.QueryExecModeSimpleProtocol)
	for _, tt := range []struct{ sql, want string }{
		{"SHOW CLIENTS id, query", "[[9 SELECT 'x?']]"},
		{"SHOW POOLS addr maxwait maxwait_us banned", "[[10.0.0.1 1 500000 f] [10.0.0.2 1 500000 t]]"},
		{"SHOW BANS addr, reason, until", "[[10.0.0.2 gone ]]"},
		{"SHOW STATS addr, total_xact_count, total_xact_time", "[[10.0.0.1 7 2.5] [10.0.0.2 7 2.5]]"},
		{"SHOW SERVERS remote_pid, link", "[[1234 9]]"},
		{"SHOW PREPARED", "[[__pgx_1 SELECT $1 2 0]]"},
		{"SHOW DATABASES name, host, current_connections", "[[app 10.0.0.1 5] [app 10.0.0.2 5]]"},
		{"SHOW INSTANCE_ID", "[[i1]]"},
		{"SHOW VERSION", "[[pgx-dev proxy 1.2.3]]"},
		{"SHOW checkout_timeout", "[[5000]]"},
		{"SHOW pooler_mode", "[[transaction]]"},
		{"SHOW USERS name", "[[alice]]"},
		{"SELECT 1", "[[1]]"},
	} {
		if _, rows := query(t, c, tt.sql); fmt.Sprint(rows) != tt.want {
			t.Errorf("%s: %v, want %s", tt.sql, rows, tt.want)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.IndexFunc(f.parts, func(p Part) bool { return p&Clients != 0 }); i < 0 || len(f.parts) < 5 {
		t.Errorf("%v", f.parts)
	}
	if n := len(slices.DeleteFunc(f.parts, func(p Part) bool { return p&Clients == 0 })); n != 1 {
		t.Errorf("the clients were listed %d times", n)
	}
}

func TestCommands(t *testing.T) {
	f := newFake()
	c := serve(t, f)("admin", pgx.QueryExecModeSimpleProtocol)
	for _, tt := range []struct{ sql, tag, did string }{
		{"RELOAD", "RELOAD", "RELOAD []"},
		{"pause app;", "PAUSE", "PAUSE [app]"},
		{`KILL "my db"`, "KILL", "KILL [my db]"},
		{"reset /* now */ query_cache -- please", "RESET QUERY_CACHE", "RESET QUERY_CACHE []"},
		{"BAN 10.0.0.2:5432", "BAN", "BAN [10.0.0.2:5432]"},
		{"MAINTENANCE ON", "MAINTENANCE", "MAINTENANCE [ON]"},
		{"SET query_timeout TO 100", "SET", "SET [query_timeout 100]"},
		{"SET pgbouncer_x.y = 1", "", ""},
		{"SET extra_float_digits = 3", "SET", ""},
	} {
		f.mu.Lock()
		f.did = nil
		f.mu.Unlock()
		tag, err := c.Exec(t.Context(), tt.sql)
		if tt.tag == "" {
			if code(err) != "22023" {
				t.Errorf("%s: %v", tt.sql, err)
			}
			continue
		}
		if err != nil || tag.String() != tt.tag {
			t.Errorf("%s: %s, %v", tt.sql, tag, err)
			continue
		}
		did := ""
		f.mu.Lock()
		for _, d := range f.did {
			did += d.Verb + " " + fmt.Sprint(d.Args)
			if d.By != "admin" {
				t.Errorf("by %q", d.By)
			}
		}
		f.mu.Unlock()
		if did != tt.did {
			t.Errorf("%s did %s", tt.sql, did)
		}
	}
	if _, rows := query(t, c, "SHOW query_timeout"); fmt.Sprint(rows) != "[[100]]" {
		t.Errorf("query_timeout is %v", rows)
	}
}

func TestMistakes(t *testing.T) {
	f := newFake()
	connect := serve(t, f)
	c := connect("admin", pgx.QueryExecModeSimpleProtocol)
	fails := func(c *pgx.Conn, sql, wantCode, want string) {
		t.Helper()
		_, err := c.Exec(t.Context(), sql)
		if code(err) != wantCode || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s %s", sql, err, wantCode, want)
		}
	}
	fails(c, "DROP TABLE x", "42601", "there is no command DROP")
	fails(c, "SELECT * FROM pg_class", "0A000", "knows no queries")
	fails(c, "SHOW NOTHING", "42704", "nothing to show")
	fails(c, "SHOW POOLS nosuch", "42703", "there is no column")
	fails(c, "SHOW VERSION x", "42601", "takes no more words")
	fails(c, "DISABLE", "42601", "the command is DISABLE DATABASE")
	fails(c, "PAUSE a b", "42601", "the command is PAUSE [DATABASE]")
	fails(c, "KILL 'x", "42601", "not closed")
	fails(c, "SET query_timeout", "42601", "SET KEY = VALUE")
	fails(c, "SET query_timeout = soon", "22023", "want a number of milliseconds")
	fails(c, "SET default_pool_size = 0", "22023", "must be at least 1")
	fails(c, "SET load_balancing_strategy = best", "22023", "random, round_robin")
	fails(c, "SET host = x", "22023", "cannot be set")
	f.fails = ErrUnsupported
	fails(c, "COPY_DATA a b p", "0A000", "COPY_DATA: is not supported")
	f.fails = errors.New("no such database")
	fails(c, "PAUSE x", "55000", "PAUSE: no such database")
	f.fails = nil
	m := connect("monitor", pgx.QueryExecModeSimpleProtocol)
	query(t, m, "SHOW POOLS")
	fails(m, "RELOAD", "42501", "may only SHOW")
	fails(m, "SET query_timeout = 1", "42501", "may only SHOW")
	fails(connect("alice", pgx.QueryExecModeSimpleProtocol), "SHOW POOLS", "42501", "may not use")
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.did {
		if d.Verb == "SET" || d.Verb == "RELOAD" {
			t.Errorf("%v was done", d)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("SHOW CLIENTS id, 'x''y' -- z")
	f.Add("SET a = \"b\"\"\" /* c */;")
	f.Add("/*'")
	f.Fuzz(func(t *testing.T, sql string) {
		words, err := split(sql)
		if err == nil && len(words) > 0 {
			_, _ = parse(words)
		}
	})
}
