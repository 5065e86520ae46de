package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// twoServers are a primary and a replica, which is a database that could be written to.
type twoServers struct{ primary, replica *pool.Pool }

func (s twoServers) Ready(role route.Role) *pool.Pool {
	if role == route.Replica {
		return s.replica
	}
	return s.primary
}

func (s twoServers) Pick(_ context.Context, role route.Role) (*pool.Pool, error) {
	return s.Ready(role), nil
}

// newAggressive is a proxy before two servers, where transactions begin where their first statement
// says. Table place has one row, which says which one it is.
func newAggressive(t *testing.T, mode proxy.Mode, change func(*proxy.Config, *proxy.Database)) *bench {
	t.Helper()
	srv := startServer(t, engines.Spec{})
	root, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	run(t, root, "CREATE TABLE place AS SELECT 'primary'::text AS name")
	run(t, root, "CREATE TABLE t (n int)")
	run(t, root, "CREATE DATABASE copy TEMPLATE postgres")
	_ = root.Close(t.Context())
	if root, err = engines.Connect(t.Context(), srv, "copy"); err != nil {
		t.Fatal(err)
	}
	run(t, root, "UPDATE place SET name = 'replica'")
	_ = root.Close(t.Context())
	layout, err := sharding.Compile(sharding.Config{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	return newBench(t, srv, mode, pool.Config{Size: 2}, func(c *proxy.Config, db *proxy.Database) {
		p := db.Servers.(proxy.One).Pool
		login := pool.Credentials{User: srv.Info().User, Database: "copy"}
		replica := pool.New(&pool.Backend{ID: "b", Name: "b", Role: pool.Replica, Dial: srv.Dial, Login: login}, pool.Config{Size: 2, Loops: c.Loops}, nil)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			replica.Close(ctx)
			if s := replica.Stats(); s.Active+s.Idle+s.Waiting != 0 {
				t.Errorf("what is left of the replica's pool: %+v", s)
			}
		})
		db.Servers = twoServers{p, replica}
		db.Router = route.New(route.Config{Layout: layout, Aggressive: true})
		db.Defer = true
		if change != nil {
			change(c, db)
		}
	})
}

// says runs statements one after the other and returns what they answer: the last value, else the
// tag, or the error's code, each with the status after it.
func says(t *testing.T, c *pgconn.PgConn, extended bool, texts ...string) string {
	t.Helper()
	var out []string
	for _, sql := range texts {
		var results []*pgconn.Result
		var err error
		if extended {
			r := c.ExecParams(t.Context(), sql, nil, nil, nil, nil).Read()
			results, err = []*pgconn.Result{r}, r.Err
		} else {
			results, err = c.Exec(t.Context(), sql).ReadAll()
		}
		answer := ""
		if e := (*pgconn.PgError)(nil); errors.As(err, &e) {
			answer = e.Code
		} else if err != nil {
			t.Fatalf("%s: %v", sql, err)
		} else if len(results) > 0 {
			r := results[len(results)-1]
			if answer = r.CommandTag.String(); len(r.Rows) > 0 {
				answer = string(r.Rows[0][0])
			}
		}
		out = append(out, fmt.Sprintf("%s %c", answer, c.TxStatus()))
	}
	return strings.Join(out, ", ")
}

const (
	whichServer = "SELECT name FROM place"
	writes      = "INSERT INTO t VALUES (1)"
)

// TestAggressive has transactions begin where their first statement says.
func TestAggressive(t *testing.T) { transports(t, testAggressive) }

func testAggressive(t *testing.T) {
	b := newAggressive(t, proxy.Transaction, nil)
	tests := []struct {
		name  string
		texts []string
		want  string
		// simple says that the extended protocol is another matter.
		simple bool
	}{
		{name: "nothing", texts: []string{"BEGIN", "COMMIT"}, want: "BEGIN T, COMMIT I"},
		{name: "nothing at all", texts: []string{"start transaction isolation level repeatable read", "end"}, want: "START TRANSACTION T, COMMIT I"},
		{name: "taken back", texts: []string{"begin", "abort"}, want: "BEGIN T, ROLLBACK I"},
		{name: "empty", texts: []string{"begin", "", "commit"}, want: "BEGIN T,  T, COMMIT I"},
		{name: "reads", texts: []string{"BEGIN", whichServer, whichServer, "COMMIT"}, want: "BEGIN T, replica T, replica T, COMMIT I"},
		{name: "writes", texts: []string{"BEGIN", writes, whichServer, "ROLLBACK"}, want: "BEGIN T, INSERT 0 1 T, primary T, ROLLBACK I"},
		{name: "reads and writes", texts: []string{"BEGIN", whichServer, writes, whichServer, "COMMIT", whichServer}, want: "BEGIN T, replica T, 25006 E, 25P02 E, ROLLBACK I, replica I"},
		{name: "locks", texts: []string{"BEGIN", "SELECT name FROM place FOR UPDATE", "COMMIT"}, want: "BEGIN T, primary T, COMMIT I"},
		{name: "read write", texts: []string{"BEGIN READ WRITE", whichServer, "COMMIT"}, want: "BEGIN T, primary T, COMMIT I"},
		{name: "read only", texts: []string{"BEGIN READ ONLY", whichServer, writes, "COMMIT"}, want: "BEGIN T, replica T, 25006 E, ROLLBACK I"},
		{name: "serializable", texts: []string{"BEGIN ISOLATION LEVEL SERIALIZABLE", whichServer, "COMMIT"}, want: "BEGIN T, primary T, COMMIT I"},
		{name: "isolation", texts: []string{"BEGIN ISOLATION LEVEL REPEATABLE READ -- so", whichServer, "SHOW transaction_isolation", "COMMIT"}, want: "BEGIN T, replica T, repeatable read T, COMMIT I"},
		{
			name: "isolation, later", texts: []string{"BEGIN", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", whichServer, "SHOW transaction_isolation", "COMMIT"},
			want: "BEGIN T, SET T, replica T, repeatable read T, COMMIT I",
		},
		{
			name: "serializable, later", texts: []string{"BEGIN", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", whichServer, "SHOW transaction_isolation", "COMMIT"},
			want: "BEGIN T, SET T, primary T, serializable T, COMMIT I",
		},
		{name: "read only, later", texts: []string{"BEGIN", "SET TRANSACTION READ ONLY", writes, "COMMIT"}, want: "BEGIN T, SET T, 25006 E, ROLLBACK I"},
		{name: "a setting", texts: []string{"BEGIN", "SET LOCAL work_mem = '1MB'", whichServer, writes, "SHOW work_mem", "ROLLBACK"}, want: "BEGIN T, SET T, primary T, INSERT 0 1 T, 1MB T, ROLLBACK I"},
		{name: "a setting that is none", texts: []string{"BEGIN", "SET LOCAL nonsense = 1", "COMMIT"}, want: "BEGIN T, 42704 E, ROLLBACK I"},
		{name: "a setting by a function", texts: []string{"BEGIN", "SELECT set_config('work_mem', '1MB', true)", writes, "ROLLBACK"}, want: "BEGIN T, 1MB T, INSERT 0 1 T, ROLLBACK I"},
		{
			name: "savepoints", texts: []string{"BEGIN", "SAVEPOINT a", "SAVEPOINT b", "RELEASE b", writes, "ROLLBACK TO a", writes, "ROLLBACK TO b", "COMMIT"},
			want: "BEGIN T, SAVEPOINT T, SAVEPOINT T, RELEASE T, INSERT 0 1 T, ROLLBACK T, INSERT 0 1 T, 3B001 E, ROLLBACK I",
		},
		{
			name: "a savepoint before an error", texts: []string{"BEGIN", "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO SAVEPOINT a", whichServer, "COMMIT"},
			want: "BEGIN T, SAVEPOINT T, 22012 E, ROLLBACK T, replica T, COMMIT I",
		},
		{name: "no such savepoint", texts: []string{"BEGIN", "ROLLBACK TO nowhere", whichServer, "COMMIT"}, want: "BEGIN T, 3B001 E, 25P02 E, ROLLBACK I"},
		{name: "an error", texts: []string{"BEGIN", "SELEC", whichServer, "COMMIT"}, want: "BEGIN T, 42601 E, 25P02 E, ROLLBACK I"},
		{name: "twice", texts: []string{"BEGIN", "BEGIN", writes, "ROLLBACK"}, want: "BEGIN T, BEGIN T, INSERT 0 1 T, ROLLBACK I"},
		{name: "a chain", texts: []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "COMMIT AND CHAIN", whichServer, "SHOW transaction_isolation", "COMMIT"}, want: "BEGIN T, COMMIT T, replica T, repeatable read T, COMMIT I"},
		{name: "a chain, later", texts: []string{"BEGIN", whichServer, "COMMIT AND CHAIN", whichServer, "COMMIT"}, want: "BEGIN T, replica T, COMMIT T, replica T, COMMIT I"},
		{name: "by name", texts: []string{"BEGIN", "/* pgdog_role: primary */ SELECT name FROM place", "COMMIT"}, want: "BEGIN T, primary T, COMMIT I"},
		{name: "outside", texts: []string{"COMMIT", whichServer, writes}, want: "COMMIT I, replica I, INSERT 0 1 I"},
		{name: "several at once", texts: []string{"BEGIN; SELECT name FROM place", "COMMIT"}, want: "primary T, COMMIT I", simple: true},
		{name: "several after BEGIN", texts: []string{"BEGIN", "SELECT 1; SELECT name FROM place", "COMMIT"}, want: "BEGIN T, primary T, COMMIT I", simple: true},
		{name: "all at once", texts: []string{"BEGIN", "SELECT name FROM place; COMMIT", whichServer}, want: "BEGIN T, COMMIT I, replica I", simple: true},
	}
	for _, extended := range []bool{false, true} {
		c := b.connect("").PgConn()
		for _, tt := range tests {
			if extended && tt.simple {
				continue
			}
			if got := says(t, c, extended, tt.texts...); got != tt.want {
				t.Errorf("%s (extended: %v):\n got %s\nwant %s", tt.name, extended, got, tt.want)
			}
		}
	}
}

// TestAggressiveHint has a client told why it cannot write.
func TestAggressiveHint(t *testing.T) { transports(t, testAggressiveHint) }

func testAggressiveHint(t *testing.T) {
	b := newAggressive(t, proxy.Transaction, nil)
	c := b.connect("")
	run(t, c, "BEGIN")
	run(t, c, whichServer)
	_, err := c.Exec(t.Context(), writes)
	e := (*pgconn.PgError)(nil)
	if !errors.As(err, &e) || e.Code != "25006" || !strings.Contains(e.Hint, "read_write_strategy") {
		t.Fatalf("%v, hint %q", err, e.Hint)
	}
	run(t, c, "ROLLBACK")
	_, err = c.Exec(t.Context(), "BEGIN READ ONLY; "+writes)
	if !errors.As(err, &e) || e.Code != "25006" || e.Hint != "" {
		t.Fatalf("%v, hint %q", err, e.Hint)
	}
	run(t, c, "ROLLBACK")
	if n := value(t, b.connect(""), "SELECT count(*)::text FROM t"); n != "0" {
		t.Fatalf("%s rows", n)
	}
}

// TestAggressivePipeline has transactions in pipelines.
func TestAggressivePipeline(t *testing.T) { transports(t, testAggressivePipeline) }

func testAggressivePipeline(t *testing.T) {
	b := newAggressive(t, proxy.Transaction, nil)
	tests := []struct {
		name  string
		texts []string // empty: Sync
		want  string
	}{
		{"all reads", []string{"BEGIN", whichServer, "COMMIT", ""}, "BEGIN, replica, COMMIT"},
		{"with a write", []string{"BEGIN", whichServer, writes, "ROLLBACK", ""}, "BEGIN, primary, INSERT 0 1, ROLLBACK"},
		{"nothing", []string{"BEGIN", "SAVEPOINT a", "COMMIT", ""}, "BEGIN, SAVEPOINT, COMMIT"},
		{"two, and a write between", []string{"BEGIN", whichServer, "COMMIT", "", writes, "", "BEGIN", whichServer, "COMMIT", ""}, "BEGIN, replica, COMMIT, INSERT 0 1, BEGIN, primary, COMMIT"},
		{"in two series", []string{"BEGIN", "", whichServer, "", "COMMIT", "", whichServer, ""}, "BEGIN, replica, COMMIT, replica"},
		{"in two series, a write", []string{"BEGIN", "", writes, "", "ROLLBACK", "", whichServer, ""}, "BEGIN, INSERT 0 1, ROLLBACK, primary"},
		{"a read before a transaction", []string{whichServer, "", "BEGIN", "", writes, "", whichServer, "", "ROLLBACK", ""}, "replica, BEGIN, INSERT 0 1, primary, ROLLBACK"},
		{"an error", []string{"BEGIN", "SELECT 1/0", whichServer, "COMMIT", "", "ROLLBACK", ""}, "BEGIN, 22012, ROLLBACK"},
		{"a series that fails at once", []string{"BEGIN", "SELEC", "COMMIT", "", "COMMIT", ""}, "BEGIN, 42601, ROLLBACK"},
	}
	c := b.connect("").PgConn()
	for _, tt := range tests {
		p := c.StartPipeline(t.Context())
		syncs := 0
		for _, sql := range tt.texts {
			if sql == "" {
				syncs++
				p.SendPipelineSync()
				continue
			}
			p.SendQueryParams(sql, nil, nil, nil, nil)
		}
		// All at once: where a series runs depends on whether those before it are under way still.
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for syncs > 0 {
			r, err := p.GetResults()
			if e := (*pgconn.PgError)(nil); errors.As(err, &e) {
				got = append(got, e.Code)
				continue
			} else if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			switch r := r.(type) {
			case *pgconn.PipelineSync:
				syncs--
			case *pgconn.ResultReader:
				res := r.Read()
				e := (*pgconn.PgError)(nil)
				switch {
				case errors.As(res.Err, &e):
					got = append(got, e.Code)
				case len(res.Rows) > 0:
					got = append(got, string(res.Rows[0][0]))
				default:
					got = append(got, res.CommandTag.String())
				}
			}
		}
		if err := p.Close(); err != nil && !strings.Contains(err.Error(), "SQLSTATE") {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if s := strings.Join(got, ", "); s != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, s, tt.want)
		}
		if c.TxStatus() != 'I' {
			t.Fatalf("%s: status %c", tt.name, c.TxStatus())
		}
	}
}

// TestAggressivePrepared has statements that are prepared by name, the transaction's own among them.
func TestAggressivePrepared(t *testing.T) { transports(t, testAggressivePrepared) }

func testAggressivePrepared(t *testing.T) {
	b := newAggressive(t, proxy.Transaction, nil)
	c := b.connect("").PgConn()
	for name, sql := range map[string]string{"b": "BEGIN", "c": "COMMIT", "r": whichServer, "w": writes} {
		if _, err := c.Prepare(t.Context(), name, sql, nil); err != nil {
			t.Fatal(err)
		}
	}
	execute := func(name string) string {
		r := c.ExecPrepared(t.Context(), name, nil, nil, nil).Read()
		e := (*pgconn.PgError)(nil)
		switch {
		case errors.As(r.Err, &e):
			return e.Code
		case r.Err != nil:
			t.Fatal(r.Err)
		case len(r.Rows) > 0:
			return string(r.Rows[0][0])
		}
		return r.CommandTag.String()
	}
	for range 3 {
		for _, tt := range []struct{ do, want string }{
			{"b c", "BEGIN COMMIT"},
			{"b r c", "BEGIN replica COMMIT"},
			{"b w c", "BEGIN INSERT 0 1 COMMIT"},
			{"b r w r c", "BEGIN replica 25006 25P02 ROLLBACK"},
			{"r", "replica"},
		} {
			var got []string
			for name := range strings.FieldsSeq(tt.do) {
				got = append(got, execute(name))
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%s: got %s, want %s", tt.do, s, tt.want)
			}
		}
	}
	// What is prepared within a transaction that no server knows of is there after it.
	if got := says(t, c, false, "BEGIN"); got != "BEGIN T" {
		t.Fatal(got)
	}
	if d, err := c.Prepare(t.Context(), "again", "ROLLBACK", nil); err != nil || len(d.ParamOIDs)+len(d.Fields) != 0 {
		t.Fatal(d, err)
	}
	if err := c.Deallocate(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if got := execute("again") + " " + execute("b") + " " + execute("again"); got != "ROLLBACK 26000 ROLLBACK" {
		t.Fatal(got)
	}
}

// TestAggressiveWithoutServer has no server to be had for the first statement.
func TestAggressiveWithoutServer(t *testing.T) { transports(t, testAggressiveWithoutServer) }

func testAggressiveWithoutServer(t *testing.T) {
	var servers twoServers
	b := newAggressive(t, proxy.Transaction, func(c *proxy.Config, db *proxy.Database) {
		servers = db.Servers.(twoServers)
		db.Servers = &brittle{twoServers: servers}
	})
	c := b.connect("").PgConn()
	for _, extended := range []bool{false, true} {
		want := "BEGIN T, SAVEPOINT T, 57P03 E, 25P02 E,  E, 3B001 E, ROLLBACK T, INSERT 0 1 T, ROLLBACK I"
		if extended { // Bind is refused, as PostgreSQL does
			want = strings.Replace(want, ",  E", ", 25P02 E", 1)
		}
		if got := says(t, c, extended, "BEGIN", "SAVEPOINT a", "SELECT 'broken'", whichServer, "", "ROLLBACK TO b", "ROLLBACK TO a", writes, "ROLLBACK"); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		if got, want := says(t, c, extended, "BEGIN", "SELECT 'broken'", "COMMIT", whichServer), "BEGIN T, 57P03 E, ROLLBACK I, 57P03 I"; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	if got, want := says(t, c, false, "BEGIN", "SELECT 'broken'", "ROLLBACK; INSERT INTO t VALUES (2)", "BEGIN", "SELECT 'broken'", "SELECT 1; SELECT 2", "END"),
		"BEGIN T, 57P03 E, INSERT 0 1 I, BEGIN T, 57P03 E, 25P02 E, ROLLBACK I"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// brittle has no replica.
type brittle struct{ twoServers }

func (s *brittle) Ready(role route.Role) *pool.Pool {
	if role == route.Replica {
		return nil
	}
	return s.primary
}

func (s *brittle) Pick(_ context.Context, role route.Role) (*pool.Pool, error) {
	if role == route.Replica {
		return nil, &pgErr{}
	}
	return s.primary, nil
}

type pgErr struct{}

func (*pgErr) Error() string    { return "there is no replica" }
func (*pgErr) SQLState() string { return "57P03" }

// TestAggressiveTimeouts ends clients that leave a transaction open which no server knows of.
func TestAggressiveTimeouts(t *testing.T) { transports(t, testAggressiveTimeouts) }

func testAggressiveTimeouts(t *testing.T) {
	b := newAggressive(t, proxy.Transaction, func(c *proxy.Config, _ *proxy.Database) { c.IdleInTransactionTimeout = 50 * time.Millisecond })
	c := b.connect("")
	run(t, c, "BEGIN")
	list := b.px.Sessions()
	if len(list) != 1 || list[0].State != "idle in transaction" || list[0].Server != nil {
		t.Errorf("%+v", list)
	}
	eventually(t, "the client is sent away", func() bool { return len(b.px.Sessions()) == 0 })
	_, err := c.Exec(t.Context(), "")
	if code(err) != "25P03" {
		t.Fatal(err)
	}
}

// TestShutdownWithoutServer has the proxy end while clients are in the middle of what no server knows
// of: they are answered, and then told.
func TestShutdownWithoutServer(t *testing.T) { transports(t, testShutdownWithoutServer) }

func testShutdownWithoutServer(t *testing.T) {
	tests := []struct {
		name        string
		begin, rest []pgproto3.FrontendMessage
		before      int // answers to begin
		want        []string
	}{
		{
			name: "a transaction", before: 2, begin: []pgproto3.FrontendMessage{&pgproto3.Query{String: "BEGIN"}}, rest: []pgproto3.FrontendMessage{&pgproto3.Query{String: "COMMIT"}},
			want: []string{"BEGIN", "T", "COMMIT", "I", "57P01"},
		},
		{
			name: "a series", before: 1, begin: []pgproto3.FrontendMessage{&pgproto3.Parse{Query: "BEGIN"}, &pgproto3.Flush{}}, rest: []pgproto3.FrontendMessage{&pgproto3.Sync{}},
			want: []string{"*pgproto3.ParseComplete", "I", "57P01"},
		},
		{
			name: "a series that begins and ends one", before: 3, begin: []pgproto3.FrontendMessage{&pgproto3.Parse{Query: "BEGIN"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Flush{}},
			rest: []pgproto3.FrontendMessage{&pgproto3.Parse{Query: "COMMIT"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{}},
			want: []string{
				"*pgproto3.ParseComplete", "*pgproto3.BindComplete", "BEGIN",
				"*pgproto3.ParseComplete", "*pgproto3.BindComplete", "COMMIT", "I", "57P01",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newAggressive(t, proxy.Transaction, nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			conn := b.connect("").PgConn()
			_ = conn.Conn().SetDeadline(time.Now().Add(time.Minute))
			front := conn.Frontend()
			var got []string
			talk := func(messages []pgproto3.FrontendMessage, want []string) {
				t.Helper()
				for _, m := range messages {
					front.Send(m)
				}
				if err := front.Flush(); err != nil {
					t.Fatal(err)
				}
				for range want {
					m, err := front.Receive()
					if err != nil {
						t.Fatalf("%v, then %v", got, err)
					}
					switch m := m.(type) {
					case *pgproto3.CommandComplete:
						got = append(got, string(m.CommandTag))
					case *pgproto3.ReadyForQuery:
						got = append(got, string(m.TxStatus))
					case *pgproto3.ErrorResponse:
						got = append(got, m.Code)
					default:
						got = append(got, fmt.Sprintf("%T", m))
					}
				}
			}
			talk(tt.begin, tt.want[:tt.before])
			ended := make(chan error, 1)
			go func() { ended <- b.px.Shutdown(ctx) }()
			eventually(t, "nobody else is let in", func() bool {
				c, err := pgconn.Connect(ctx, fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", b.addr))
				if err == nil {
					_ = c.Close(ctx)
				}
				return err != nil
			})
			talk(tt.rest, tt.want[tt.before:])
			if !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPipelinedWrite sends a write before a read is answered, which a replica does.
func TestPipelinedWrite(t *testing.T) { transports(t, testPipelinedWrite) }

func testPipelinedWrite(t *testing.T) {
	b := newAggressive(t, proxy.Transaction, func(_ *proxy.Config, db *proxy.Database) { db.Defer = false })
	c := b.connect("default_query_exec_mode=exec")
	for range 20 {
		p := c.PgConn().StartPipeline(t.Context())
		for _, sql := range []string{whichServer, "INSERT INTO t SELECT 1 FROM place RETURNING (SELECT name FROM place)"} {
			p.SendQueryParams(sql, nil, nil, nil, nil)
			if err := p.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for syncs := 0; syncs < 2; {
			r, err := p.GetResults()
			if err != nil {
				t.Fatal(err)
			}
			switch r := r.(type) {
			case *pgconn.PipelineSync:
				syncs++
			case *pgconn.ResultReader:
				got = append(got, string(r.Read().Rows[0][0]))
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if s := strings.Join(got, ", "); s != "replica, primary" {
			t.Fatal(s)
		}
	}
	tx, err := c.BeginTx(t.Context(), pgx.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var name string
	if err := tx.QueryRow(t.Context(), whichServer).Scan(&name); err != nil || name != "primary" {
		t.Fatal(name, err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestStatementMode refuses transaction blocks before they begin, and the session goes on.
func TestStatementMode(t *testing.T) { transports(t, testStatementMode) }

func testStatementMode(t *testing.T) {
	b := newBench(t, startServer(t, engines.Spec{}), proxy.Statement, pool.Config{Size: 1}, nil)
	c := b.connect("").PgConn()
	for _, extended := range []bool{false, true} {
		if got, want := says(t, c, extended, "BEGIN", "SELECT 1", "start transaction read only", "COMMIT"), "0A000 I, 1 I, 0A000 I, COMMIT I"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got, want := says(t, c, false, "SELECT 1; BEGIN; SELECT 2", "BEGIN; SELECT 3; COMMIT", "SELECT 4"), "0A000 I, COMMIT I, 4 I"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
