package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

func ms(b *testing.B, d time.Duration, unit string) {
	b.Helper()
	b.ReportMetric(float64(d.Microseconds())/1000, unit)
}

// BenchmarkUp measures how long a user waits until a temporary cluster is ready, in turn
// with the baselines of the same run: a bare copy of a prepared directory with a bare
// postgres in it, that postgres alone, and initdb with pg_ctl. The answer columns go on until
// a first connection has its first row, which fills the server's catalog caches.
func BenchmarkUp(b *testing.B) {
	for _, mode := range []string{"none", "copied", "running"} {
		b.Run("spare="+mode, func(b *testing.B) {
			root, err := os.MkdirTemp("/dev/shm", "bench")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = os.RemoveAll(root) })
			b.Setenv("PGX_DEV_TEMP", root)
			ourRoot := filepath.Join(root, "pgx-dev-temp-"+strconv.Itoa(os.Getuid()))
			m := manager()
			base := newBaseline(b, root)
			var ours, oursAnswer, floor, bareStart, bareAnswer, classic []time.Duration
			open := func() {
				began := time.Now()
				srv, err := m.OpenTemp(b.Context(), cluster.Request{Spec: engines.Spec{Fast: true}}, cluster.TempOptions{Project: "bench", Spare: mode})
				if err != nil {
					b.Fatal(err)
				}
				ours = append(ours, time.Since(began))
				b.StopTimer()
				conn, err := engines.Connect(b.Context(), srv, "")
				if err != nil {
					b.Fatal(err)
				}
				firstRow(b, conn.PgConn())
				oursAnswer = append(oursAnswer, time.Since(began))
				_ = conn.Close(b.Context())
				if mode != "none" {
					awaitSpareTB(b, ourRoot)
				}
				if err := srv.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			open() // fills the caches and makes the first spare
			ours, oursAnswer = nil, nil
			for i := 0; b.Loop(); i++ {
				open()
				b.StopTimer()
				copied, started, answered := base.copyAndStart(b, i)
				floor = append(floor, copied+started)
				bareStart = append(bareStart, started)
				bareAnswer = append(bareAnswer, answered)
				if i < 2 { // it takes seconds
					classic = append(classic, base.initdbAndPgCtl(b, i))
				}
				b.StartTimer()
			}
			b.StopTimer()
			stopSpares(b, m, ourRoot)
			ms(b, median(ours), "ours-ms")
			ms(b, median(floor), "copy+start-ms")
			ms(b, median(bareStart), "start-ms")
			ms(b, median(oursAnswer), "ours-answer-ms")
			ms(b, median(bareAnswer), "start-answer-ms")
			ms(b, median(classic), "initdb+pg_ctl-ms")
			b.ReportMetric(float64(median(ours))/float64(median(floor)), "x-floor")
			b.ReportMetric(float64(median(ours))/float64(median(bareStart)), "x-bare-start")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkUp20 has 20 processes open one cold cluster at once.
func BenchmarkUp20(b *testing.B) {
	warm(b)
	var all, last []time.Duration
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "main")
		began := time.Now()
		var users []*user
		for range 20 {
			users = append(users, startUser(b, cluster.Request{Spec: engines.Spec{Dir: dir, Fast: true}}))
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, u := range users {
			wg.Go(func() {
				if line, err := u.lines.ReadString('\n'); strings.TrimSpace(line) != "open" {
					b.Errorf("%q %v", line, err)
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, time.Since(began))
			})
		}
		wg.Wait()
		last = append(last, time.Since(began))
		for _, u := range users {
			_ = u.stdin.Close()
		}
		for _, u := range users {
			u.expect("closed")
		}
	}
	ms(b, median(all), "served-p50-ms")
	ms(b, slices.Max(last), "last-served-ms")
}

// BenchmarkUpChurn has 60 users come at random moments, each for 40 ms.
func BenchmarkUpChurn(b *testing.B) {
	warm(b)
	const users, hold, within = 60, 40 * time.Millisecond, 3 * time.Second
	var waits []time.Duration
	m := manager()
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "main")
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range users {
			wg.Go(func() {
				<-time.After(rand.N(within))
				began := time.Now()
				srv, err := m.Open(b.Context(), cluster.Request{Spec: engines.Spec{Dir: dir, Fast: true}})
				if err != nil {
					b.Error(err)
					return
				}
				wait := time.Since(began)
				<-time.After(hold)
				if err := srv.Close(b.Context()); err != nil {
					b.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				waits = append(waits, wait)
			})
		}
		wg.Wait()
	}
	slices.Sort(waits)
	ms(b, waits[len(waits)/2], "acquire-p50-ms")
	ms(b, waits[len(waits)*9/10], "acquire-p90-ms")
	ms(b, waits[len(waits)-1], "acquire-max-ms")
}

// warm fills the initdb cache.
func warm(b *testing.B) {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "warm")
	if err := native.New(native.Config{}).Create(b.Context(), engines.Spec{Dir: dir}); err != nil {
		b.Fatal(err)
	}
}

// stopSpares destroys what waits for the next OpenTemp.
func stopSpares(b *testing.B, m *cluster.Manager, root string) {
	b.Helper()
	markers, _ := filepath.Glob(filepath.Join(root, "spares", "*", "*"))
	for _, marker := range markers {
		if err := m.Destroy(b.Context(), filepath.Join(root, filepath.Base(marker)), true); err != nil {
			b.Error(err)
		}
	}
}

func awaitSpareTB(b *testing.B, root string) {
	b.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if markers, _ := filepath.Glob(filepath.Join(root, "spares", "*", "*")); len(markers) > 0 {
			return
		}
		<-time.After(time.Millisecond)
	}
	b.Fatal("no spare is being made")
}

// A baseline is what one would do without us, with the same programs.
type baseline struct {
	root, template, bindir string
}

func newBaseline(b *testing.B, root string) *baseline {
	b.Helper()
	e := native.New(native.Config{})
	rt, err := e.Select(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	template := filepath.Join(root, "baseline")
	if err := e.Create(b.Context(), engines.Spec{Dir: template}); err != nil {
		b.Fatal(err)
	}
	// The programs' real place: a link in PATH may be a wrapper.
	bin, err := filepath.EvalSymlinks(rt.Program("postgres"))
	if err != nil {
		b.Fatal(err)
	}
	return &baseline{root, template, filepath.Dir(bin)}
}

// firstRow asks for one row.
func firstRow(b *testing.B, conn *pgconn.PgConn) {
	b.Helper()
	if _, err := conn.Exec(b.Context(), "SELECT 1").ReadAll(); err != nil {
		b.Fatal(err)
	}
}

// copyAndStart copies the directory and starts postgres until it is ready, and until it has
// answered.
func (l *baseline) copyAndStart(b *testing.B, i int) (copied, started, answered time.Duration) {
	b.Helper()
	dir := filepath.Join(l.root, fmt.Sprint("floor", i))
	began := time.Now()
	if err := native.CopyDir(b.Context(), l.template, dir); err != nil {
		b.Fatal(err)
	}
	copied = time.Since(began)
	began = time.Now()
	cmd := unprivileged(exec.Command(filepath.Join(l.bindir, "postgres"), "-D", dir, "-F", "-k", dir, "-c", "listen_addresses="))
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for {
		text, _ := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
		if lines := strings.Split(string(text), "\n"); len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready" {
			break
		}
		<-time.After(500 * time.Microsecond)
	}
	started = time.Since(began)
	conn, err := pgconn.Connect(b.Context(), "host="+dir+" user=postgres dbname=postgres")
	if err != nil {
		b.Fatal(err)
	}
	firstRow(b, conn)
	answered = time.Since(began)
	_ = conn.Close(b.Context())
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	_ = os.RemoveAll(dir)
	return copied, started, answered
}

// initdbAndPgCtl is what a person does.
func (l *baseline) initdbAndPgCtl(b *testing.B, i int) time.Duration {
	b.Helper()
	dir := filepath.Join(l.root, fmt.Sprint("classic", i))
	began := time.Now()
	for _, args := range [][]string{
		{"initdb", "-D", dir, "-U", "postgres", "-A", "trust"},
		{"pg_ctl", "-D", dir, "-w", "-l", dir + ".log", "-o", "-h '' -k " + dir, "start"},
	} {
		if out, err := unprivileged(exec.Command(filepath.Join(l.bindir, args[0]), args[1:]...)).CombinedOutput(); err != nil {
			b.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	took := time.Since(began)
	if out, err := unprivileged(exec.Command(filepath.Join(l.bindir, "pg_ctl"), "-D", dir, "-m", "immediate", "stop")).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return took
}
