package databases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/lease"
)

const schema = `
CREATE TABLE kinds (id int PRIMARY KEY, name text);
INSERT INTO kinds VALUES (1, 'one'), (2, 'two');
CREATE TABLE things (id bigserial PRIMARY KEY, kind int REFERENCES kinds, note text);
CREATE TABLE parts (id serial, thing bigint REFERENCES things ON DELETE CASCADE);
CREATE SEQUENCE numbers START 100;
SELECT nextval('numbers');
CREATE UNLOGGED TABLE "odd ""name" (v int);
SELECT lo_from_bytea(4711, 'seed');
`

// TestRecycle changes a database in one way and looks whether it is lent again, and then
// how it looks.
func TestRecycle(t *testing.T) {
	testRecycle(t, server(t), []string{"truncate", "delete", "auto", "recreate", "recreate+clean", "none"})
}

// TestRecycleOtherVersions does the same on servers that are fetched: what proves that a
// database is clean are counters and catalogs, which change with the version.
func TestRecycleOtherVersions(t *testing.T) {
	for _, version := range []string{"17", "18"} {
		t.Run(version, func(t *testing.T) {
			srv := startServer(t, engines.Spec{Fast: true, Version: version})
			t.Cleanup(func() {
				if err := srv.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
			if got := srv.Info().Version; !strings.HasPrefix(got, version+".") {
				t.Fatalf("the server is of version %s", got)
			}
			testRecycle(t, srv, []string{"truncate", "auto"})
		})
	}
}

func testRecycle(t *testing.T, srv engines.Server, policies []string) {
	dir := migrations(t, map[string]string{"1.sql": schema})
	for _, tt := range []struct {
		name   string
		sql    string
		reused string // policies that lend it again
	}{
		{"nothing", "SELECT 1", "truncate delete auto recreate+clean"},
		{"reading", "SELECT count(*) FROM things; SELECT * FROM kinds FOR UPDATE", "truncate delete auto recreate+clean"},
		{"an insert", "INSERT INTO things (kind) VALUES (1)", "truncate delete auto"},
		{"an insert rolled back", "BEGIN; INSERT INTO things (kind) VALUES (1); ROLLBACK", "truncate delete auto"},
		{"rows of several tables", `INSERT INTO things (kind) VALUES (1), (2); INSERT INTO parts (thing) VALUES (1); INSERT INTO "odd ""name" VALUES (1)`, "truncate delete auto"},
		{"nextval", "SELECT nextval('numbers')", "truncate delete auto recreate+clean"},
		{"setval, not called", "SELECT setval('numbers', 7, false)", "truncate delete auto recreate+clean"},
		{"a seeded table", "UPDATE kinds SET name = 'x' WHERE id = 1", ""},
		{"a new table", "CREATE TABLE more (v int)", ""},
		{"a new table, rolled back", "BEGIN; CREATE TABLE more (v int); ROLLBACK", "truncate delete auto recreate+clean"},
		{"a function", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", ""},
		{"a truncate", "TRUNCATE things CASCADE", ""},
		{"a truncate of seeds", "TRUNCATE kinds CASCADE", ""},
		{"a dropped index", "ALTER TABLE things DROP CONSTRAINT things_pkey CASCADE", ""},
		{"a setting of the database", "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 65536', current_database()); END$$", ""},
		{"a setting of a role in it", "DO $$BEGIN EXECUTE format('ALTER ROLE postgres IN DATABASE %I SET work_mem = 65536', current_database()); END$$", ""},
		{"a privilege", "DO $$BEGIN EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM public', current_database()); END$$", ""},
		{"a large object", "SELECT lo_create(0)", ""},
		{"a comment", "COMMENT ON TABLE things IS 'x'", ""},
		{"a seeded large object", "SELECT lo_put(4711, 0, 'other')", ""},
		{"counters of one catalog reset", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT pg_stat_reset_single_table_counters('pg_proc'::regclass)", ""},
		{"counters of one table reset", "UPDATE kinds SET name = 'x'; SELECT pg_stat_reset_single_table_counters('kinds'::regclass)", ""},
		{"a dropped table", "DROP TABLE parts", ""},
		{"a new table with rows, rolled back", "BEGIN; CREATE TABLE more AS SELECT 1 AS v; ROLLBACK", "truncate delete auto recreate+clean"},
		{"a temporary table, whose schema stays", "CREATE TEMP TABLE mine (v int); INSERT INTO mine VALUES (1)", ""},
		{"a comment on the database", "DO $$BEGIN EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), 'x'); END$$", ""},
		{"a template, which cannot be dropped", "DO $$BEGIN EXECUTE format('ALTER DATABASE %I IS_TEMPLATE true', current_database()); END$$", "truncate delete auto recreate+clean"},
		{"counters reset", "INSERT INTO things (kind) VALUES (1); SELECT pg_stat_reset()", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, policy := range policies {
				reset, clean := strings.CutSuffix(policy, "+clean")
				s := newSource(t, config(t, dir, func(p *lease.PoolConfig) {
					p.Migrations, p.Reset = []string{"1.sql"}, reset
				}), opener(srv))
				s.costs.create = 1e12 // nothing is dearer than making it again: "auto" cleans what it can
				it := create(t, s)
				for round := range 2 {
					c := open(t, it)
					run(t, c, tt.sql)
					c.Close(t.Context())
					again, err := s.Recycle(t.Context(), it, lease.Use{Clean: clean})
					if err != nil {
						t.Fatalf("%s: %v", policy, err)
					}
					want := policy == "none" || strings.Contains(" "+tt.reused+" ", " "+policy+" ")
					if (again != nil) != want {
						t.Fatalf("%s, round %d: lent again: %v, want %v", policy, round, again != nil, want)
					}
					if again == nil {
						break
					}
					if policy == "none" {
						if again.Name != it.Name {
							t.Errorf("none: it is called %s now", again.Name)
						}
						break
					}
					if again.Name == it.Name {
						t.Errorf("%s: the name %s is lent twice", policy, it.Name)
					}
					checkFresh(t, policy, again)
					it = again
				}
			}
		})
	}
}

// checkFresh compares a database with what the migrations make.
func checkFresh(t *testing.T, policy string, it *lease.Item) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), it.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	got := query[string](t, c, `SELECT format('%s %s %s %s %s', (SELECT string_agg(k::text, ',' ORDER BY id) FROM kinds k),
		(SELECT count(*) FROM things) + (SELECT count(*) FROM parts) + (SELECT count(*) FROM "odd ""name"),
		(SELECT last_value || is_called::text FROM numbers), (SELECT last_value || is_called::text FROM things_id_seq),
		(SELECT datistemplate FROM pg_database WHERE datname = current_database()))`)
	if want := "(1,one),(2,two) 0 100true 1false f"; got != want {
		t.Errorf("%s: %s, want %s", policy, got, want)
	}
}

// TestLeftovers leaves behind what keeps a database from being dropped, and connects again
// and again meanwhile.
func TestLeftovers(t *testing.T) {
	srv := server(t)
	dir := migrations(t, map[string]string{"1.sql": schema})
	for _, policy := range lease.Resets() {
		t.Run(policy, func(t *testing.T) {
			s := newSource(t, config(t, dir, func(p *lease.PoolConfig) {
				p.Migrations, p.Reset, p.Prefix = []string{"1.sql"}, policy, "left_"+policy+"_"
			}), opener(srv))
			it := create(t, s)
			c := open(t, it)
			slot := "slot_" + policy
			run(t, c, fmt.Sprintf(`SELECT pg_create_logical_replication_slot('%s', 'test_decoding')`, slot))
			run(t, c, fmt.Sprintf(`CREATE SUBSCRIPTION sub_%s CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false)`, policy))
			other := open(t, it) // after the slot, which waits for open transactions
			run(t, other, "SELECT pg_advisory_lock(42); BEGIN; INSERT INTO things (kind) VALUES (1)")
			run(t, c, "BEGIN; SELECT pg_advisory_xact_lock(43); INSERT INTO things (kind) VALUES (2); PREPARE TRANSACTION 'left "+policy+"''s'")

			// A pool that never gives up.
			stop, stopped := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				// With "none" there is no other name that would keep it away.
				for policy != lease.ResetNone && stop.Err() == nil {
					if c, err := pgx.Connect(stop, it.URL); err == nil {
						_, _ = c.Exec(stop, "SELECT pg_sleep(10)")
						_ = c.Close(context.Background())
					}
				}
			}()
			again, err := s.Recycle(t.Context(), it, lease.Use{Ended: true})
			stopped()
			<-done
			if err != nil {
				t.Fatal(err)
			}
			a := admin(t, srv)
			n := query[int](t, a, fmt.Sprintf(`SELECT (SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE 'left %s%%')
				+ (SELECT count(*) FROM pg_replication_slots WHERE slot_name = '%s') + (SELECT count(*) FROM pg_subscription WHERE subname = 'sub_%s')
				+ (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid IN (42, 43))`, policy, slot, policy))
			if n != 0 {
				t.Errorf("%d things are left", n)
			}
			if again != nil && policy != lease.ResetNone {
				checkFresh(t, policy, again)
			}
			if again == nil {
				if left := databases(t, srv, "left_"+policy+"_%"); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			}
		})
	}
}

// TestRenamed has holders rename their databases: under every policy they are dropped all the
// same, and what has the old name, too.
func TestRenamed(t *testing.T) {
	srv := server(t)
	dir := migrations(t, map[string]string{"1.sql": schema})
	a := admin(t, srv)
	there := func(name string) bool {
		return query[bool](t, a, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = '"+name+"')")
	}
	for _, policy := range lease.Resets() {
		t.Run(policy, func(t *testing.T) {
			s := newSource(t, config(t, dir, func(p *lease.PoolConfig) {
				p.Migrations, p.Reset, p.Prefix = []string{"1.sql"}, policy, "moved_"+policy+"_"
			}), opener(srv))
			for _, use := range []lease.Use{{}, {Clean: true}} {
				for _, again := range []string{"", "CREATE DATABASE "} {
					it := create(t, s)
					run(t, a, "ALTER DATABASE "+it.Name+" RENAME TO elsewhere")
					if again != "" {
						run(t, a, again+it.Name)
					}
					back, err := s.Recycle(t.Context(), it, use)
					if err != nil || back != nil {
						t.Fatalf("%v, %v: it is lent again or lost", back, err)
					}
					if there("elsewhere") || there(it.Name) {
						t.Errorf("elsewhere is there: %v, %s: %v", there("elsewhere"), it.Name, there(it.Name))
					}
				}
			}
			it := create(t, s)
			run(t, a, "ALTER DATABASE "+it.Name+" RENAME TO elsewhere")
			if err := s.Reset(t.Context(), it); err != nil {
				t.Fatal(err)
			}
			if there("elsewhere") {
				t.Error("a reset leaves what was renamed")
			}
			checkFresh(t, policy, it)
			run(t, a, "ALTER DATABASE "+it.Name+" RENAME TO elsewhere")
			if err := s.Keep(t.Context(), it, "to be looked at"); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if mark := query[string](t, a, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'elsewhere'"); !strings.HasSuffix(mark, "to be looked at") {
				t.Errorf("the kept one's comment is %q", mark)
			}
			run(t, a, "DROP DATABASE elsewhere")
		})
	}
}

// TestAnotherServer ends a lease of a server that was lost. What has its oid on the next one is
// somebody else's.
func TestAnotherServer(t *testing.T) {
	first, second := startServer(t, engines.Spec{Fast: true}), startServer(t, engines.Spec{Fast: true})
	for _, srv := range []engines.Server{first, second} {
		t.Cleanup(func() { _ = srv.Close(context.Background()) })
	}
	dir := migrations(t, map[string]string{"1.sql": schema})
	var opened atomic.Int32
	gone := make(chan struct{}, 1)
	s := newSource(t, config(t, dir, func(p *lease.PoolConfig) { p.Migrations = []string{"1.sql"} }), func(ctx context.Context) (Host, error) {
		if opened.Add(1) == 1 {
			return opener(first)(ctx)
		}
		return opener(second)(ctx)
	})
	s.Notify(func() { gone <- struct{}{} })
	old := create(t, s)
	a := admin(t, first)
	oid := query[uint32](t, a, "SELECT oid FROM pg_database WHERE datname = '"+old.Name+"'")
	run(t, a, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
	select {
	case <-gone:
	case <-time.After(2 * time.Minute):
		t.Fatal("nobody noticed that the server was lost")
	}
	a = admin(t, second)
	run(t, a, fmt.Sprintf("CREATE DATABASE bystander OID %d", oid))
	if it := create(t, s); it.Name == old.Name {
		t.Fatalf("%s is lent twice", it.Name)
	}
	if err := s.Destroy(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if !query[bool](t, a, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'bystander')") {
		t.Error("another server's database is dropped for its oid")
	}
}

// TestResetInPlace makes a lent database as new under its name.
func TestResetInPlace(t *testing.T) {
	dir := migrations(t, map[string]string{"1.sql": schema})
	s := newSource(t, config(t, dir, func(p *lease.PoolConfig) { p.Migrations = []string{"1.sql"} }), opener(server(t)))
	it := create(t, s)
	c := open(t, it)
	run(t, c, "DROP TABLE parts; DELETE FROM kinds")
	if err := s.Reset(t.Context(), it); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(t.Context()); err == nil {
		t.Error("the session before the reset is still there")
	}
	checkFresh(t, "reset", it)
}

// TestKeep leaves a database alone, even when the source closes and another one sweeps.
func TestKeep(t *testing.T) {
	srv := server(t)
	cfg := config(t, t.TempDir(), func(p *lease.PoolConfig) { p.Prefix = "kept_" })
	s := New(cfg, opener(srv))
	it, gone := create(t, s), create(t, s)
	if err := s.Keep(t.Context(), it, "it's broken"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := newSource(t, cfg, opener(srv))
	l, _, _, err := next.ready(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-l.swept
	if left := databases(t, srv, "kept_%"); len(left) != 1 || left[0] != it.Name {
		t.Errorf("left: %v, want %s, and not %s", left, it.Name, gone.Name)
	}
	run(t, admin(t, srv), "DROP DATABASE "+it.Name)
}

// TestSweep drops what a killed process left, and nothing else.
func TestSweep(t *testing.T) {
	srv := server(t)
	a := admin(t, srv)
	cfg := config(t, t.TempDir(), func(p *lease.PoolConfig) { p.Prefix = "swept_" })
	alive := newSource(t, cfg, opener(srv))
	mine := create(t, alive)
	old := fmt.Sprint(time.Now().Add(-25 * time.Hour).Unix())
	for _, sql := range []string{
		"CREATE DATABASE swept_lxabcdef_0", "CREATE DATABASE swept_lxabcdef_17",
		"CREATE DATABASE swept_lxabcdef_x", "CREATE DATABASE swept_lxabcdeg_1", "CREATE DATABASE swept_users",
		"CREATE DATABASE swept_lxabcdef_3", "COMMENT ON DATABASE swept_lxabcdef_3 IS '" + keptMark() + "failed'",
		"CREATE DATABASE swept_lxabcdef_4", "COMMENT ON DATABASE swept_lxabcdef_4 IS '" + keptPrefix + old + " failed'",
		"CREATE DATABASE pgxdev_build_0011223344556677",
	} {
		run(t, a, sql)
	}
	other := newSource(t, cfg, opener(srv))
	l, _, _, err := other.ready(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-l.swept
	got := strings.Join(databases(t, srv, "swept_%"), " ")
	if want := "swept_lxabcdef_3 swept_lxabcdef_x swept_lxabcdeg_1 " + mine.Name + " swept_users"; sortedWords(got) != sortedWords(want) {
		t.Errorf("left: %s\nwant: %s", got, want)
	}
	if left := databases(t, srv, "pgxdev_build_0011%"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	for _, name := range []string{"swept_lxabcdef_3", "swept_lxabcdef_x", "swept_lxabcdeg_1", "swept_users"} {
		run(t, a, "DROP DATABASE "+name)
	}
}

// TestSweepDead waits for the owner's death, and then drops what it left.
func TestSweepDead(t *testing.T) {
	srv := server(t)
	cfg := config(t, t.TempDir(), func(p *lease.PoolConfig) { p.Prefix = "dead_" })
	owner := New(cfg, opener(srv))
	names := []string{create(t, owner).Name, create(t, owner).Name}
	kept := create(t, owner)
	if err := owner.Keep(t.Context(), kept, "failed"); err != nil {
		t.Fatal(err)
	}
	l, err := owner.current()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := SweepDead(ctx, cfg, opener(srv), owner.Tag()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the owner lives: %v", err)
	}
	if got := databases(t, srv, "dead_%"); len(got) != 3 {
		t.Errorf("while the owner lives there are %v, want also %v", got, names)
	}
	swept := make(chan error, 1)
	go func() { swept <- SweepDead(t.Context(), cfg, opener(srv), owner.Tag()) }()
	if err := l.close(t.Context()); err != nil { // as when it is killed
		t.Error(err)
	}
	if err := <-swept; err != nil {
		t.Error(err)
	}
	if got := databases(t, srv, "dead_%"); len(got) != 1 || got[0] != kept.Name {
		t.Errorf("left: %v, want %s", got, kept.Name)
	}
	run(t, admin(t, srv), "DROP DATABASE "+kept.Name)
}

func sortedWords(s string) string {
	return strings.Join(slices.Sorted(slices.Values(strings.Fields(s))), " ")
}

// TestStrategy holds the choice of reference measurements.
func TestStrategy(t *testing.T) {
	for _, tt := range []struct {
		version int
		fsync   bool
		want    string
	}{{140010, false, ""}, {140010, true, ""}, {150004, false, " STRATEGY file_copy"}, {180000, true, " STRATEGY wal_log"}} {
		if got := strategy(tt.version, tt.fsync); got != tt.want {
			t.Errorf("version %d, fsync %v: %q, want %q", tt.version, tt.fsync, got, tt.want)
		}
	}
}
