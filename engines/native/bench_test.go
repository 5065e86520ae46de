package native

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/occupant"
)

// median returns the middle of times.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// ms reports a duration as a metric.
func ms(b *testing.B, d time.Duration, unit string) {
	b.ReportMetric(float64(d.Microseconds())/1000, unit)
}

// BenchmarkCopy copies the template with CopyDir and with cp -a, in turn.
func BenchmarkCopy(b *testing.B) {
	e := first(b)
	rt := runtimes(b)[0]
	src, _, release, err := e.template(b.Context(), rt, defaultUser)
	if err != nil {
		b.Fatal(err)
	}
	defer release()
	parent := b.TempDir()
	var ours, cp []time.Duration
	// Nothing is removed before the end: ext4 passes over every recently freed inode when
	// it makes a file (recently_deleted in ialloc.c), which would be all that is measured.
	for i := 0; b.Loop(); i++ {
		dst := filepath.Join(parent, fmt.Sprint("copy", i))
		began := time.Now()
		if err := CopyDir(b.Context(), src, dst); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(began))
		b.StopTimer()
		began = time.Now()
		if out, err := exec.Command("cp", "-a", src, dst+"-cp").CombinedOutput(); err != nil {
			b.Fatal(err, string(out))
		}
		cp = append(cp, time.Since(began))
		b.StartTimer()
	}
	ms(b, median(ours), "copy-ms")
	ms(b, median(cp), "cp-a-ms")
	b.ReportMetric(float64(median(ours))/float64(median(cp)), "ratio")
}

// BenchmarkUpEngine makes a new cluster and waits until it answers: ours, the floor (a bare
// copy and a bare postgres), and initdb with pg_ctl, in turn.
func BenchmarkUpEngine(b *testing.B) {
	rt := runtimes(b)[0]
	e := engineFor(rt)
	parent := b.TempDir()
	mustStop(b, mustStart(b, e, engines.Spec{})) // fills the cache
	src, _, release, err := e.template(b.Context(), rt, defaultUser)
	if err != nil {
		b.Fatal(err)
	}
	defer release()
	var ours, floor, classic []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		srv, err := e.Start(b.Context(), engines.Spec{Dir: filepath.Join(parent, fmt.Sprint("ours", i)), Fast: true, Discard: true})
		if err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(began))
		b.StopTimer()
		mustStop(b, srv)
		floor = append(floor, bareStart(b, rt, src, filepath.Join(parent, fmt.Sprint("floor", i))))
		if i < 3 { // it takes seconds
			classic = append(classic, classicStart(b, rt, filepath.Join(parent, fmt.Sprint("classic", i))))
		}
		b.StartTimer()
	}
	ms(b, median(ours), "ours-ms")
	ms(b, median(floor), "floor-ms")
	ms(b, median(classic), "initdb+pg_ctl-ms")
	b.ReportMetric(float64(median(ours))/float64(median(floor)), "x-floor")
}

// bareStart copies a directory and starts postgres in it as cheaply as can be, and returns
// how long that took.
func bareStart(b *testing.B, rt Runtime, src, dir string) time.Duration {
	b.Helper()
	sockets := shortDir(b)
	began := time.Now()
	if err := CopyDir(b.Context(), src, dir); err != nil {
		b.Fatal(err)
	}
	list, err := accounts(dir)
	if err != nil {
		b.Fatal(err)
	}
	cmd := command(list[0], syscall.SIGKILL, rt.Program("postgres"), postgresArgs(rt.Version, dir, sockets, 5432, "", engines.Spec{Fast: true})...)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	p := &postmaster{cmd: cmd, done: make(chan struct{})}
	if err := p.ready(b.Context(), dir); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		b.Fatal(err)
	}
	_ = cmd.Wait()
	return took
}

// classicStart is what a person does: initdb and pg_ctl -w start.
func classicStart(b *testing.B, rt Runtime, dir string) time.Duration {
	b.Helper()
	sockets := shortDir(b)
	list, err := accounts(filepath.Dir(dir))
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	for _, p := range []program{
		{path: rt.Program("initdb"), args: []string{"-D", dir, "-U", "postgres", "-A", "trust"}},
		{path: rt.Program("pg_ctl"), args: []string{"-D", dir, "-w", "-l", filepath.Join(sockets, "log"), "-o", "-h '' -k " + sockets, "start"}},
	} {
		if out, err := p.output(b.Context(), list[0]); err != nil {
			b.Fatal(err, out)
		}
	}
	took := time.Since(began)
	f, err := readPIDFile(dir)
	if err != nil {
		b.Fatal(err)
	}
	if err := syscall.Kill(f.pid, syscall.SIGQUIT); err != nil {
		b.Fatal(err)
	}
	for occupant.IsPostgres(f.pid, dir) {
		<-time.After(time.Millisecond)
	}
	return took
}

// BenchmarkReopen starts and stops a server in an existing directory.
func BenchmarkReopen(b *testing.B) {
	for _, rt := range runtimes(b) {
		b.Run(rt.Version.String(), func(b *testing.B) {
			e := engineFor(rt)
			spec := engines.Spec{Dir: filepath.Join(b.TempDir(), "data"), Fast: true}
			mustStop(b, mustStart(b, e, spec))
			var starts, stops []time.Duration
			for b.Loop() {
				began := time.Now()
				srv, err := e.Start(b.Context(), spec)
				if err != nil {
					b.Fatal(err)
				}
				starts = append(starts, time.Since(began))
				began = time.Now()
				if err := srv.Close(context.Background()); err != nil {
					b.Fatal(err)
				}
				stops = append(stops, time.Since(began))
			}
			ms(b, median(starts), "start-ms")
			ms(b, median(stops), "stop-ms")
		})
	}
}

// shortDir makes a directory whose name is short enough for sockets.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", fmt.Sprintf("pgx-dev-t%d-", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
