package wasm_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
	"github.com/pgx-dev/pgx-dev/engines/wasm/pglite"
)

// socketPackage serves a PGlite to other programs.
const socketPackage = "@electric-sql/pglite-socket@0.2.17"

// A rivalry has everybody who takes part in the benchmarks.
type rivalry struct {
	dir  string // with node_modules and the script
	node string
}

// rivals installs PGlite of our own package's version for node. Without npm and node there
// is nothing to compare with, and the benchmark fails.
func rivals(b *testing.B) *rivalry {
	b.Helper()
	node, err := osexec.LookPath("node")
	if err != nil {
		b.Fatalf("the rival is PGlite in node: %v", err)
	}
	r := &rivalry{dir: rivalDir(b), node: node}
	return r
}

var rivalInstall struct {
	once sync.Once
	dir  string
	err  error
}

func rivalDir(b *testing.B) string {
	b.Helper()
	rivalInstall.once.Do(func() {
		dir, err := os.MkdirTemp("", "pgx-dev-rivals-")
		if err != nil {
			rivalInstall.err = err
			return
		}
		rivalInstall.dir = dir
		script, err := os.ReadFile("testdata/pglite.mjs")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "pglite.mjs"), script, 0o600)
		}
		if err == nil {
			cmd := osexec.Command("npm", "install", "--no-audit", "--no-fund", "--silent", "--legacy-peer-deps", "--prefix", dir, pglite.Main().Spec(), socketPackage)
			cmd.Dir = dir
			var out []byte
			if out, err = cmd.CombinedOutput(); err != nil {
				err = fmt.Errorf("npm install: %w\n%s", err, out)
			}
		}
		rivalInstall.err = err
	})
	if rivalInstall.err != nil {
		b.Fatal(rivalInstall.err)
	}
	return rivalInstall.dir
}

// removeRivals is for the end of the tests.
func removeRivals() {
	if rivalInstall.dir != "" {
		_ = os.RemoveAll(rivalInstall.dir)
	}
}

// A peer is a rival's process that answers lines of JSON.
type peer struct {
	cmd *osexec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

type reply struct {
	Ready bool    `json:"ready"`
	MS    float64 `json:"ms"`
	Value float64 `json:"value"`
	Error string  `json:"error"`
}

// run starts a program that says when it is ready and ends when its stdin does.
func run(b *testing.B, program string, env []string, args ...string) *peer {
	b.Helper()
	p := &peer{cmd: osexec.Command(program, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = b.Output()
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = p.in.Close()
		_ = p.cmd.Wait()
	})
	if r, err := p.read(); err != nil || !r.Ready {
		b.Fatalf("%s %q: %+v, %v", program, args, r, err)
	}
	return p
}

func (p *peer) read() (r reply, err error) {
	if !p.out.Scan() {
		return r, errors.Join(errors.New("it has ended"), p.out.Err())
	}
	if err = json.Unmarshal(p.out.Bytes(), &r); err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return r, err
}

// ask has the peer do a step of its script, or run SQL, and returns what it says.
func (p *peer) ask(step, sql string) (reply, error) {
	line, err := json.Marshal(map[string]string{"step": step, "sql": sql})
	if err != nil {
		return reply{}, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return reply{}, err
	}
	return p.read()
}

// memory returns what a process has in RAM, and had at most, in MB.
func (p *peer) memory(b *testing.B) (now, peak float64) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		switch name {
		case "VmRSS":
			now = kb / 1000
		case "VmHWM":
			peak = kb / 1000
		}
	}
	return now, peak
}

// direct is PGlite in a node process, which measures its own calls.
func (r *rivalry) direct(b *testing.B) *peer {
	b.Helper()
	return run(b, r.node, nil, filepath.Join(r.dir, "pglite.mjs"), "direct")
}

// socket is PGlite behind its socket server, and a connection to it.
func (r *rivalry) socket(b *testing.B) (*peer, *pgx.Conn) {
	b.Helper()
	path := filepath.Join(shortDir(b), ".s.PGSQL.5432")
	p := run(b, r.node, nil, filepath.Join(r.dir, "pglite.mjs"), "socket", path)
	return p, dialUnix(b, path)
}

// ours is this engine in a process of its own behind a unix socket, and a connection to it.
func ours(b *testing.B) (*peer, *pgx.Conn) {
	b.Helper()
	path := filepath.Join(shortDir(b), ".s.PGSQL.5432")
	p := run(b, os.Args[0], []string{serveEnv + "=" + path}, "-test.run=^$")
	return p, dialUnix(b, path)
}

func shortDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgxd")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func dialUnix(b *testing.B, path string) *pgx.Conn {
	b.Helper()
	c, err := pgx.Connect(context.Background(), "host="+filepath.Dir(path)+" user=postgres dbname=postgres sslmode=disable")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// What a process of this test binary does instead of testing.
const (
	serveEnv = "PGX_DEV_BENCH_SERVE" // serve a temporary server on this socket
	startEnv = "PGX_DEV_BENCH_START" // start a server in this directory, "-" for none, ask it, and end
)

// standIn does what the environment asks of the test binary, and reports whether it did.
func standIn() bool {
	var err error
	switch path, dir, name := os.Getenv(serveEnv), os.Getenv(startEnv), os.Getenv(busyEnv); {
	case name != "":
		err = busyProcess(name)
	case path != "":
		err = serveUntilEOF(path)
	case dir != "":
		err = startOnce(strings.TrimPrefix(dir, "-"))
	default:
		return false
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func serveUntilEOF(path string) error {
	srv, err := shared.Start(context.Background(), engines.Spec{})
	if err != nil {
		return err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	fmt.Println(`{"ready": true}`)
	err = engines.Serve(ctx, ln, func(context.Context, engines.Startup) (engines.Server, error) { return srv, nil })
	return errors.Join(err, srv.Close(context.Background()))
}

func startOnce(dir string) error {
	ctx := context.Background()
	srv, err := shared.Start(ctx, engines.Spec{Dir: dir, Fast: true})
	if err != nil {
		return err
	}
	c, err := engines.Connect(ctx, srv, "")
	if err != nil {
		return err
	}
	var n int
	if err := c.QueryRow(ctx, "select count(*) from pg_class").Scan(&n); err != nil || n < 100 {
		return fmt.Errorf("%d classes, %w", n, err)
	}
	return errors.Join(c.Close(ctx), srv.Close(ctx))
}

// timed measures f.
func timed(f func() error) (time.Duration, error) {
	begin := time.Now()
	err := f()
	return time.Since(begin), err
}

// reportMedians reports each contender's median in milliseconds, and returns them.
func reportMedians(b *testing.B, samples map[string][]time.Duration) map[string]float64 {
	b.Helper()
	ms := map[string]float64{}
	for name, list := range samples {
		slices.Sort(list)
		ms[name] = float64(list[len(list)/2].Nanoseconds()) / 1e6
		b.ReportMetric(ms[name], name+"-ms")
	}
	b.ReportMetric(0, "ns/op") // of all of them together: says nothing
	return ms
}

// BenchmarkEmbedStartup measures how long it takes from nothing to the first row, each in
// turns: in a new process, where ours is this test binary and the rival node; from a copy of
// a running database; and what memory a further instance takes. The native engine starts
// from its cache of initdb, and clones by copying a stopped directory.
func BenchmarkEmbedStartup(b *testing.B) {
	r := rivals(b)
	if err := startOnce(""); err != nil { // everything is in the cache
		b.Fatal(err)
	}
	process := func(program string, env []string, args ...string) (time.Duration, error) {
		return timed(func() error {
			cmd := osexec.Command(program, args...)
			cmd.Env = append(os.Environ(), env...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, out)
			}
			return err
		})
	}
	our := func(dir string) (time.Duration, error) {
		return process(os.Args[0], []string{startEnv + "=-" + dir}, "-test.run=^$")
	}
	theirs := func(dir ...string) (time.Duration, error) {
		return process(r.node, nil, append([]string{filepath.Join(r.dir, "pglite.mjs"), "start"}, dir...)...)
	}
	postgres := native.New(native.DefaultConfig())
	start := func(spec engines.Spec) (time.Duration, error) {
		var srv engines.Server
		d, err := timed(func() (err error) {
			if srv, err = postgres.Start(context.Background(), spec); err != nil {
				return err
			}
			c, err := engines.Connect(context.Background(), srv, "")
			if err != nil {
				return err
			}
			var n int
			return errors.Join(c.QueryRow(context.Background(), "select count(*) from pg_class").Scan(&n), c.Close(context.Background()))
		})
		if srv != nil {
			err = errors.Join(err, srv.Close(context.Background()))
		}
		return d, err
	}
	n := 0
	fresh := func() string { n++; return filepath.Join(b.TempDir(), strconv.Itoa(n)) }
	kept := map[string]string{"wasm": fresh(), "node": fresh(), "native": fresh()}
	source := temp(b, shared, engines.Spec{}).(*wasm.Server)
	conn := connect(b, source)
	mustExec(b, conn, "create table b1(id int, v text)")
	node := r.direct(b)
	if _, err := node.ask("", "create table b1(id int, v text)"); err != nil {
		b.Fatal(err)
	}
	cloned := func() (time.Duration, error) {
		mustExec(b, conn, "insert into b1 values (1)") // it has changed
		var clone *wasm.Server
		d, err := timed(func() (err error) {
			if clone, err = source.Clone(context.Background()); err != nil {
				return err
			}
			c, err := engines.Connect(context.Background(), clone, "")
			if err != nil {
				return err
			}
			var n int
			return errors.Join(c.QueryRow(context.Background(), "select count(*) from b1").Scan(&n), c.Close(context.Background()))
		})
		if clone != nil {
			err = errors.Join(err, clone.Close(context.Background()))
		}
		return d, err
	}
	nodeClone := func() (time.Duration, error) {
		a, err := node.ask("clone", "")
		return time.Duration(a.MS * float64(time.Millisecond)), err
	}
	if _, err := start(engines.Spec{Dir: kept["native"], Fast: true}); err != nil {
		b.Fatal(err)
	}
	for _, row := range []struct {
		name string
		once map[string]func() (time.Duration, error)
	}{
		{"new process, temporary", map[string]func() (time.Duration, error){
			"wasm": func() (time.Duration, error) { return our("") }, "node": func() (time.Duration, error) { return theirs() },
			"native": func() (time.Duration, error) { return start(engines.Spec{Fast: true}) },
		}},
		{"new process, new directory", map[string]func() (time.Duration, error){
			"wasm": func() (time.Duration, error) { return our(fresh()) }, "node": func() (time.Duration, error) { return theirs(fresh()) },
			"native": func() (time.Duration, error) { return start(engines.Spec{Dir: fresh(), Fast: true}) },
		}},
		{"new process, directory reopened", map[string]func() (time.Duration, error){
			"wasm": func() (time.Duration, error) { return our(kept["wasm"]) }, "node": func() (time.Duration, error) { return theirs(kept["node"]) },
			"native": func() (time.Duration, error) { return start(engines.Spec{Dir: kept["native"], Fast: true}) },
		}},
		{"clone of a running one", map[string]func() (time.Duration, error){
			"wasm": cloned, "node": nodeClone,
			"native": func() (time.Duration, error) { return start(engines.Spec{Template: kept["native"], Fast: true}) },
		}},
	} {
		b.Run(row.name, func(b *testing.B) {
			for name, once := range row.once { // makes what is reopened
				if _, err := once(); err != nil {
					b.Fatalf("%s: %v", name, err)
				}
			}
			samples := map[string][]time.Duration{}
			for b.Loop() {
				for range 3 {
					for name, once := range row.once {
						d, err := once()
						if err != nil {
							b.Fatalf("%s: %v", name, err)
						}
						samples[name] = append(samples[name], d)
					}
				}
			}
			ms := reportMedians(b, samples)
			b.ReportMetric(ms["wasm"]/ms["native"], "/native")
			b.ReportMetric(ms["wasm"]/ms["node"], "/node")
		})
	}
	b.Run("memory of a further instance", func(b *testing.B) {
		for b.Loop() {
			before := residentBytes(b)
			const n = 8
			var list []engines.Server
			for range n {
				srv, err := shared.Start(context.Background(), engines.Spec{})
				if err != nil {
					b.Fatal(err)
				}
				list = append(list, srv)
				c, err := engines.Connect(context.Background(), srv, "")
				if err != nil {
					b.Fatal(err)
				}
				one(b, c, "select version()")
				_ = c.Close(context.Background())
			}
			b.ReportMetric(float64(residentBytes(b)-before)/n/1e6, "wasm-MB")
			for _, srv := range list {
				_ = srv.Close(context.Background())
			}
			a, err := node.ask("further instances", "")
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(a.Value, "node-MB")
		}
		b.ReportMetric(0, "ns/op")
	})
}
