package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
)

// busyEnv makes the test binary the process that TestBusyGuests watches; its value says
// what the process does.
const busyEnv = "PGX_DEV_TEST_BUSY"

// busy are the ways in which guests keep the process from everything else. Go cannot
// interrupt the code of a guest: it has to come to Go by itself, again and again.
var busy = map[string]func(ctx context.Context) error{
	// The collector stops all goroutines, and so the timer that would end the statement.
	"collector": func(ctx context.Context) error {
		return withServers(ctx, 1, func(ctx context.Context, run func(i int, sql string) error) error {
			for _, sql := range endless {
				if err := collectDuring(func() error { return run(0, "set statement_timeout = '300ms'; "+sql) }); code(err) != "57014" {
					return fmt.Errorf("%s: %w", sql, err)
				}
			}
			return nil
		})
	},
	// Nobody is left to notice that the context's time has come.
	"every processor": func(ctx context.Context) error {
		n := runtime.GOMAXPROCS(0)
		return withServers(ctx, n, func(ctx context.Context, run func(i int, sql string) error) error {
			errs := make([]error, n)
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() { errs[i] = run(i, "set statement_timeout = '1s'; "+endless[i%len(endless)]) })
			}
			wg.Wait()
			for _, err := range errs {
				if code(err) != "57014" {
					return err
				}
			}
			return nil
		})
	},
	"context": func(ctx context.Context) error {
		n := runtime.GOMAXPROCS(0)
		return withServers(ctx, n, func(ctx context.Context, run func(i int, sql string) error) error {
			ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			defer cancel()
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() { _ = run(i, endless[0]) }) // ends with the server
			}
			<-ctx.Done()
			runtime.GC()
			return nil
		})
	},
}

// endless are statements that end only when they are made to.
var endless = []string{
	"do $$ begin loop end loop; end $$",
	"do $$ declare n bigint := 0; begin while true loop begin n := n + 1; exception when division_by_zero then null; end; end loop; end $$",
	"select count(*) from generate_series(1, 1000000000000)",
	"with recursive r(n) as (select 1 union all select (n + 1) % 1000 from r) select count(*) from r",
	"select count(*) from generate_series(1, 3000) a, generate_series(1, 3000000) b where a < b % 7",
}

// TestBusyGuests runs statements without end in a process of its own, which would hang where
// guests keep it from everything else, and then is killed.
func TestBusyGuests(t *testing.T) {
	for name := range busy {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := osexec.CommandContext(ctx, os.Args[0], "-test.run=^$")
			cmd.Env = append(os.Environ(), busyEnv+"="+name, "GOMAXPROCS=2")
			out, err := cmd.CombinedOutput()
			if ctx.Err() != nil {
				t.Fatalf("the process hung: %s", out)
			}
			if err != nil || !strings.Contains(string(out), "got through") {
				t.Fatalf("%v: %s", err, out)
			}
		})
	}
}

func busyProcess(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f := busy[name]
	if f == nil {
		return fmt.Errorf("nothing is called %q", name)
	}
	if err := f(ctx); err != nil {
		return err
	}
	fmt.Println("got through")
	return nil
}

// withServers runs f with n temporary servers, for which run runs a statement.
func withServers(ctx context.Context, n int, f func(ctx context.Context, run func(i int, sql string) error) error) (err error) {
	servers := make([]engines.Server, n)
	for i := range servers {
		if servers[i], err = shared.Start(ctx, engines.Spec{}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, servers[i].Close(ctx)) }()
	}
	return f(ctx, func(i int, sql string) error {
		c, err := engines.Connect(ctx, servers[i], "")
		if err != nil {
			return err
		}
		_, err = c.PgConn().Exec(ctx, sql).ReadAll()
		return errors.Join(err, c.Close(ctx))
	})
}

// collectDuring runs f, and the garbage collector over and over until f is done.
func collectDuring(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	for {
		select {
		case err := <-done:
			return err
		default:
			runtime.GC()
		}
	}
}

// BenchmarkEmbedStall reports for how long, at most, a goroutine that wants a microsecond
// now and then did not get it while every processor ran a guest that sorts, and for
// comparison, while it runs Go code that never waits.
func BenchmarkEmbedStall(b *testing.B) {
	n := runtime.GOMAXPROCS(0)
	conns := make([]*pgx.Conn, n)
	for i := range conns {
		conns[i] = connectB(b, shared)
		mustExec(b, conns[i], "create table s as select md5(g::text) v from generate_series(1, 100000) g")
	}
	for name, work := range map[string]func(i int, end time.Time){
		"sorting guests": func(i int, end time.Time) {
			for time.Now().Before(end) {
				if _, err := conns[i].Exec(context.Background(), "select count(*) from (select * from s order by v offset 10) s"); err != nil {
					b.Error(err)
					return
				}
			}
		},
		"busy goroutines": func(_ int, end time.Time) {
			for time.Now().Before(end) {
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			var gaps []time.Duration
			for b.Loop() {
				var wg sync.WaitGroup
				end := time.Now().Add(2 * time.Second)
				for i := range n {
					wg.Go(func() { work(i, end) })
				}
				for last := time.Now(); last.Before(end); {
					<-time.After(100 * time.Microsecond)
					now := time.Now()
					gaps = append(gaps, now.Sub(last)-100*time.Microsecond)
					last = now
				}
				wg.Wait()
			}
			slices.Sort(gaps)
			b.ReportMetric(float64(gaps[len(gaps)-1].Microseconds())/1000, "max-ms")
			b.ReportMetric(float64(gaps[len(gaps)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(gaps[len(gaps)/2].Microseconds())/1000, "p50-ms")
		})
	}
}
