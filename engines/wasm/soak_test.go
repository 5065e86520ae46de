package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/pgx-dev/pgx-dev/engines"
)

// TestSoak lets many kinds of clients use one server with a directory that lasts, while
// temporary ones come and go, and checks that nothing of it is wrong or grows. It takes
// PGX_DEV_SOAK, for instance "30m" (just soak); without it some seconds, which show that it
// works and little more.
func TestSoak(t *testing.T) {
	length := 4 * time.Second
	if s := os.Getenv("PGX_DEV_SOAK"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "data")
	srv := temp(t, shared, engines.Spec{Dir: dir})
	watch := connect(t, srv)
	exec(t, watch, `create table account(id int primary key, n bigint not null); insert into account select g, 1000 from generate_series(0, 63) g;
		create table log(id bigint generated always as identity, who int, what text, at timestamptz default now()); create table copied(a int, b text); create sequence s`, pgx.QueryExecModeSimpleProtocol)
	// PostgreSQL gives buffers of temporary tables room as they are needed, up to temp_buffers,
	// and keeps it: have that behind us.
	exec(t, watch, "create temp table warm as select repeat('x', 1000) from generate_series(1, 20000); drop table warm", pgx.QueryExecModeSimpleProtocol)

	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	w := &soaking{t: t, srv: srv}
	g, gctx := errgroup.WithContext(ctx)
	for i, f := range []func(ctx context.Context, rnd *rand.Rand, i int) error{
		w.transfer, w.transfer, w.transfer, w.transfer, w.churn, w.errors, w.copies, w.listen, w.cancelled, w.temporary,
	} {
		g.Go(func() error {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			for n := 0; gctx.Err() == nil; n++ {
				if err := f(gctx, rnd, i); err != nil && gctx.Err() == nil {
					return fmt.Errorf("client %d, round %d: %w", i, n, err)
				}
				w.rounds[i].Add(1)
			}
			return nil
		})
	}
	var samples []usage
	tick := time.NewTicker(max(length/60, 200*time.Millisecond))
	defer tick.Stop()
	for begin := time.Now(); gctx.Err() == nil; {
		select {
		case <-tick.C:
			u := w.measure(watch, dir)
			u.at = time.Since(begin)
			samples = append(samples, u)
			if length > time.Minute {
				t.Logf("%s %s", u, w.progress())
			}
		case <-gctx.Done():
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	w.settled(watch)
	t.Logf("rounds: %s", w.progress())
	if len(samples) < 24 {
		return // too short to say anything of growth
	}
	// The first quarter fills caches. From then on everything is flat: the median of the
	// last quarter is what that of the second was.
	q := len(samples) / 4
	before, after := median(samples[q:2*q]), median(samples[len(samples)-q:])
	t.Logf("second quarter: %s", before)
	t.Logf("last quarter:   %s", after)
	for _, c := range []struct {
		what          string
		before, after int64
		slack         int64 // what may come and go
	}{
		{"resident kB", before.rss, after.rss, before.rss/10 + 16<<10},
		{"guest memory kB", before.guest, after.guest, before.guest/10 + 256},
		{"Go heap kB", before.heap, after.heap, before.heap/4 + 8<<10},
		{"goroutines", before.goroutines, after.goroutines, 16},
		{"descriptors", before.fds, after.fds, 64}, // a temporary server has dozens
		{"WAL kB", before.wal, after.wal, 72 << 10},
	} {
		if c.after > c.before+c.slack {
			t.Errorf("%s grew from %d to %d", c.what, c.before, c.after)
		}
	}
}

// soaking is one run of the soak.
type soaking struct {
	t      *testing.T
	srv    engines.Server
	rounds [16]atomic.Int64
}

func (w *soaking) progress() string {
	var total []string
	for i, name := range []string{"transfer", "transfer", "transfer", "transfer", "churn", "errors", "copies", "listen", "cancelled", "temporary"} {
		total = append(total, fmt.Sprintf("%s %d", name, w.rounds[i].Load()))
	}
	return strings.Join(total, ", ")
}

// session runs f on a connection of its own that ends as an application would, or, one
// time in four, by being dropped.
func (w *soaking) session(ctx context.Context, rnd *rand.Rand, f func(c *pgx.Conn) error) error {
	c, err := engines.Connect(ctx, w.srv, "")
	if err != nil {
		return err
	}
	err = f(c)
	if rnd.IntN(4) == 0 {
		_ = c.PgConn().Conn().Close()
		return err
	}
	return errors.Join(err, c.Close(context.WithoutCancel(ctx)))
}

// transfer moves money about in transactions, with pauses in the middle.
func (w *soaking) transfer(ctx context.Context, rnd *rand.Rand, i int) error {
	return w.session(ctx, rnd, func(c *pgx.Conn) error {
		if _, err := c.Exec(ctx, fmt.Sprintf("set application_name = 'client %d'", i)); err != nil {
			return err
		}
		for range 20 {
			err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
				amount := rnd.IntN(10)
				for _, n := range []int{-amount, amount} {
					if _, err := tx.Exec(ctx, "update account set n = n + $1 where id = $2", n, rnd.IntN(64)); err != nil {
						return err
					}
				}
				if rnd.IntN(5) == 0 {
					return errRolledBack
				}
				_, err := tx.Exec(ctx, "insert into log(who, what) values ($1, $2)", i, strings.Repeat("x", rnd.IntN(500)))
				return err
			})
			if err != nil && !errors.Is(err, errRolledBack) {
				return err
			}
		}
		var name string
		if err := c.QueryRow(ctx, "select current_setting('application_name')").Scan(&name); err != nil || name != fmt.Sprintf("client %d", i) {
			return fmt.Errorf("application_name is %q, %w", name, err)
		}
		return nil
	})
}

var errRolledBack = errors.New("rolled back on purpose")

// churn has prepared statements, temporary tables, cursors and advisory locks.
func (w *soaking) churn(ctx context.Context, rnd *rand.Rand, _ int) error {
	return w.session(ctx, rnd, func(c *pgx.Conn) error {
		for i := range 10 {
			if _, err := c.Prepare(ctx, fmt.Sprint("p", i), fmt.Sprintf("select n + %d from account where id = $1", i)); err != nil {
				return err
			}
		}
		for _, sql := range []string{
			"create temp table tt as select * from account", "select sum(n) from tt", "drop table tt",
			"select pg_advisory_lock(1)", "select pg_advisory_unlock(1)", "prepare q as select 1",
			"declare cu cursor with hold for select * from account", "fetch 5 from cu", "close cu",
			"do $$ begin for i in 1..10 loop begin perform 1/0; exception when division_by_zero then null; end; end loop; end $$",
			"delete from log where id < (select max(id) - 5000 from log)", "vacuum log",
		} {
			if _, err := c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		return nil
	})
}

// errors makes 200 errors in a session.
func (w *soaking) errors(ctx context.Context, rnd *rand.Rand, _ int) error {
	return w.session(ctx, rnd, func(c *pgx.Conn) error {
		for range 200 {
			if _, err := c.Exec(ctx, "select 1/(n*0) from account where id = $1", 1); code(err) != "22012" {
				return fmt.Errorf("an error was expected: %w", err)
			}
		}
		return nil
	})
}

func (w *soaking) copies(ctx context.Context, rnd *rand.Rand, _ int) error {
	return w.session(ctx, rnd, func(c *pgx.Conn) error {
		n, err := c.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"a", "b"}, pgx.CopyFromSlice(2000, func(i int) ([]any, error) { return []any{i, "row"}, nil }))
		if err != nil || n != 2000 {
			return fmt.Errorf("copied %d: %w", n, err)
		}
		if rnd.IntN(2) == 0 {
			if _, err := c.PgConn().CopyFrom(ctx, strings.NewReader("x\ty\n"), "copy copied from stdin"); code(err) != "22P02" {
				return fmt.Errorf("a bad row: %w", err)
			}
		}
		var size int
		if err := c.QueryRow(ctx, "select length(repeat('y', 4000000))").Scan(&size); err != nil || size != 4000000 {
			return fmt.Errorf("%d bytes, %w", size, err)
		}
		_, err = c.Exec(ctx, "truncate copied")
		return err
	})
}

func (w *soaking) listen(ctx context.Context, rnd *rand.Rand, _ int) error {
	return w.session(ctx, rnd, func(a *pgx.Conn) error {
		return w.session(ctx, rnd, func(b *pgx.Conn) error {
			if _, err := a.Exec(ctx, "listen soak"); err != nil {
				return err
			}
			for i := range 20 {
				want := fmt.Sprint(i)
				if _, err := b.Exec(ctx, "select pg_notify('soak', $1)", want); err != nil {
					return err
				}
				got, err := a.WaitForNotification(ctx)
				if err != nil || got.Payload != want {
					return fmt.Errorf("got %v, want %s: %w", got, want, err)
				}
			}
			return nil
		})
	})
}

// cancelled runs statements that take too long, and ends them in each way there is.
func (w *soaking) cancelled(ctx context.Context, rnd *rand.Rand, _ int) error {
	return w.session(ctx, rnd, func(c *pgx.Conn) error {
		if _, err := c.Exec(ctx, "set statement_timeout = '20ms'"); err != nil {
			return err
		}
		for _, sql := range []string{"select count(*) from generate_series(1, 2000000000)", "select pg_sleep(100)"} {
			if _, err := c.Exec(ctx, sql); code(err) != "57014" {
				return fmt.Errorf("a timeout was expected: %w", err)
			}
		}
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		_, err := c.Exec(short, "select pg_sleep(100)") // its connection goes with it
		var pe *pgconn.PgError
		if errors.As(err, &pe) && pe.Code != "57014" {
			return err
		}
		return nil
	})
}

// temporary starts a temporary server, uses it and stops it.
func (w *soaking) temporary(ctx context.Context, rnd *rand.Rand, _ int) error {
	srv, err := shared.Start(ctx, engines.Spec{})
	if err != nil {
		return err
	}
	err = (&soaking{t: w.t, srv: srv}).session(ctx, rnd, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, "create table t as select g, md5(g::text) from generate_series(1, 5000) g", pgx.QueryExecModeSimpleProtocol)
		return err
	})
	err = errors.Join(err, srv.Close(context.WithoutCancel(ctx)))
	select { // one every while, so that the others get something done
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
	}
	return err
}

// settled checks what has to be true once everybody has gone.
func (w *soaking) settled(c *pgx.Conn) {
	wantOne(w.t, c, "64000", "select sum(n)::text from account")
	for what, sql := range map[string]string{
		"prepared statements": "select count(*)::text from pg_prepared_statements where name ~ '^[pq][0-9]*$'",
		"temporary tables":    "select count(*)::text from pg_class where relpersistence = 't'",
		"locks":               "select count(*)::text from pg_locks where locktype = 'advisory'",
		"cursors":             "select count(*)::text from pg_cursors where name = 'cu'",
		"channels":            "select count(*)::text from pg_listening_channels()",
	} {
		if got := one(w.t, c, sql); got != "0" {
			w.t.Errorf("%s are left: %s", what, got)
		}
	}
}

// usage is what a process and a guest take.
type usage struct {
	at                                     time.Duration
	rss, guest, heap, goroutines, fds, wal int64
}

func (u usage) String() string {
	return fmt.Sprintf("%5.0fs resident %d MB, guest %d kB, Go heap %d MB, %d goroutines, %d descriptors, WAL %d MB",
		u.at.Seconds(), u.rss>>10, u.guest, u.heap>>10, u.goroutines, u.fds, u.wal>>10)
}

func (w *soaking) measure(c *pgx.Conn, dir string) usage {
	u := usage{goroutines: goroutines(), heap: goHeap() >> 10}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.QueryRow(ctx, "select sum(total_bytes)::bigint / 1024 from pg_backend_memory_contexts").Scan(&u.guest); err != nil {
		w.t.Errorf("measure: %v", err)
	}
	u.rss = residentBytes(w.t) >> 10
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.fds = int64(len(list))
	}
	_ = filepath.WalkDir(filepath.Join(dir, "pg_wal"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if fi, err := d.Info(); err == nil {
				u.wal += fi.Size() >> 10
			}
		}
		return nil // a segment may go away meanwhile
	})
	return u
}

func median(list []usage) usage {
	pick := func(f func(u usage) int64) int64 {
		var all []int64
		for _, u := range list {
			all = append(all, f(u))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return usage{
		at: list[len(list)/2].at, rss: pick(func(u usage) int64 { return u.rss }), guest: pick(func(u usage) int64 { return u.guest }),
		heap: pick(func(u usage) int64 { return u.heap }), goroutines: pick(func(u usage) int64 { return u.goroutines }),
		fds: pick(func(u usage) int64 { return u.fds }), wal: pick(func(u usage) int64 { return u.wal }),
	}
}
