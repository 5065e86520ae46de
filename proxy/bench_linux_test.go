package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// What the benchmark compares runs in processes of its own, so that the system says how much
// CPU each takes: this test binary, started anew, is the proxy or a bare relay.
const benchRole = "PGX_DEV_BENCH_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(benchRole); role != "" {
		if err := benchProcess(role, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// benchProcess serves until it is killed. Its first line is its port.
func benchProcess(role, socket string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	dial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	if _, err := fmt.Fprintln(os.Stdout, ln.Addr().(*net.TCPAddr).Port); err != nil {
		return err
	}
	if role == "relay" {
		return relay(ln, dial)
	}
	var loops *loop.Group
	if role == "proxy" {
		if loops, err = loop.New(0); err != nil {
			return err
		}
	}
	p := pool.New(&pool.Backend{Name: "bench", Dial: dial, Login: pool.Credentials{User: "postgres", Database: "postgres"}}, pool.Config{Size: benchPool, CheckoutTimeout: -1, Loops: loops}, nil)
	db := &proxy.Database{Name: "postgres", Servers: proxy.One{Pool: p}}
	px, err := proxy.New(proxy.Config{Loops: loops, Lookup: func(context.Context, proxy.Client) (*proxy.Database, error) { return db, nil }})
	if err != nil {
		return err
	}
	return px.Serve(context.Background(), ln)
}

// relay copies bytes, one server connection for each client: what any proxy in Go that uses
// goroutines costs at least.
func relay(ln net.Listener, dial func(context.Context) (net.Conn, error)) error {
	type writer struct{ io.Writer }
	type reader struct{ io.Reader }
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			s, err := dial(context.Background())
			if err != nil {
				return
			}
			defer s.Close()
			go func() {
				_, _ = io.CopyBuffer(writer{s}, reader{c}, make([]byte, 16<<10))
				_ = s.Close()
			}()
			_, _ = io.CopyBuffer(writer{c}, reader{s}, make([]byte, 16<<10))
		}()
	}
}

const benchPool = 20

// A target is something that pgbench can be pointed at.
type target struct {
	name string
	port string
	pid  int // of whose CPU time counts; 0: nobody's
}

// cpu is the process's time in user and kernel mode.
func (t target) cpu(b *testing.B) time.Duration {
	if t.pid == 0 {
		return 0
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.pid))
	if err != nil {
		b.Fatalf("%s has ended: %v", t.name, err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 everywhere
}

func startTarget(b *testing.B, name string, cmd *exec.Cmd) target {
	b.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var port int
	if _, err := fmt.Fscanln(out, &port); err != nil {
		b.Fatalf("%s did not start: %v", name, err)
	}
	return target{name, strconv.Itoa(port), cmd.Process.Pid}
}

// program finds a program that the benchmark cannot do without.
func program(b *testing.B, name, variable, hint string) string {
	b.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		if path := filepath.Join(dir, name); exec.Command(path, "--version").Run() == nil {
			return path
		}
	}
	b.Fatalf("there is no %s to compare with: %s, or set %s to its path", name, hint, variable)
	return ""
}

func startPgBouncer(b *testing.B, srv engines.Server) target {
	b.Helper()
	path := program(b, "pgbouncer", "PGBOUNCER", "install the package pgbouncer")
	// The port is free now; nobody else takes it that soon.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	port := strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	_ = ln.Close()
	dir, err := os.MkdirTemp("/tmp", "pgxb")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	ini := fmt.Sprintf(`[databases]
postgres = host=%s port=%d user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = %d
max_client_conn = 5000
max_prepared_statements = 200
log_connections = 0
log_disconnections = 0
`, srv.Info().Socket, srv.Info().Port, port, benchPool)
	if old, err := exec.Command(path, "--version").Output(); err == nil && strings.Contains(string(old), "PgBouncer 1.1") {
		ini = strings.Replace(ini, "max_prepared_statements = 200\n", "", 1) // from 1.21 on
	}
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(ini), 0o644); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(path, "-q", file)
	if os.Getuid() == 0 {
		cmd = exec.Command(path, "-q", "-u", "root", file)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		// It does not run as root: in a namespace it is somebody else who may use root's socket.
		cmd = exec.Command(path, "-q", file)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 65534, HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 65534, HostID: 0, Size: 1}},
		}
	}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatalf("start pgbouncer: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		if err := <-ended; err == nil {
			b.Error("pgbouncer ended by itself")
		}
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			_ = c.Close()
			return target{"pgbouncer", port, cmd.Process.Pid}
		}
		select {
		case err := <-ended:
			ended <- err
			b.Fatalf("pgbouncer ended: %v", err)
		case <-tick.C:
		}
	}
	b.Fatal("pgbouncer does not listen")
	return target{}
}

var (
	benchTPS = regexp.MustCompile(`tps = ([0-9.]+)`)
	benchTxs = regexp.MustCompile(`actually processed: ([0-9]+)`)
)

// pgbench runs for some seconds and returns the transactions per second and the CPU time of
// the target's process for each.
func pgbench(b *testing.B, path string, t target, mode string, clients, seconds int) (tps, cpu float64) {
	b.Helper()
	before := t.cpu(b)
	cmd := exec.Command(path, "-h", "127.0.0.1", "-p", t.port, "-U", "postgres", "-S", "-n", "-M", mode,
		"-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(2, clients)), "-T", strconv.Itoa(seconds), "postgres")
	cmd.Env = append(os.Environ(), "PGSSLMODE=disable", "PGGSSENCMODE=disable", "PGOPTIONS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("pgbench through %s: %v\n%s", t.name, err, out)
	}
	used := t.cpu(b) - before
	rate, n := benchTPS.FindSubmatch(out), benchTxs.FindSubmatch(out)
	if rate == nil || n == nil {
		b.Fatalf("pgbench through %s said\n%s", t.name, out)
	}
	tps, _ = strconv.ParseFloat(string(rate[1]), 64)
	txs, _ := strconv.ParseFloat(string(n[1]), 64)
	return tps, float64(used.Microseconds()) / max(txs, 1)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// BenchmarkProxy runs pgbench -S against the server itself, a bare relay, PgBouncer and the
// proxy, in turn, and reports the CPU time that each takes for a transaction and the ratio of
// transactions per second to the server's own. PgBouncer below 1.21 cannot do prepared
// statements, and is left out there. PGX_DEV_BENCH_SECONDS (2) and PGX_DEV_BENCH_CLIENTS
// (1,8,50,200) change the runs.
func BenchmarkProxy(b *testing.B) {
	seconds := 2
	if v, err := strconv.Atoi(os.Getenv("PGX_DEV_BENCH_SECONDS")); err == nil {
		seconds = v
	}
	clients := []int{1, 8, 50, 200}
	if v := os.Getenv("PGX_DEV_BENCH_CLIENTS"); v != "" {
		clients = nil
		for c := range strings.SplitSeq(v, ",") {
			n, err := strconv.Atoi(c)
			if err != nil {
				b.Fatal(err)
			}
			clients = append(clients, n)
		}
	}
	bench := program(b, "pgbench", "PGBENCH", "install the package postgresql-contrib or postgresql")
	srv := startServer(b, engines.Spec{TCP: "127.0.0.1:0", Params: map[string]string{"max_connections": "1000", "shared_buffers": "256MB"}})
	_, tcp, err := net.SplitHostPort(srv.Info().TCP)
	if err != nil {
		b.Fatal(err)
	}
	socket := filepath.Join(srv.Info().Socket, ".s.PGSQL."+strconv.Itoa(srv.Info().Port))
	hba := filepath.Join(srv.Info().Dir, "pg_hba.conf")
	if err := os.WriteFile(hba, []byte("local all all trust\nhost all all 127.0.0.1/32 trust\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	conn, err := engines.Connect(b.Context(), srv, "")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(b.Context(), "SELECT pg_reload_conf()"); err != nil {
		b.Fatal(err)
	}
	init := exec.Command(bench, "-h", srv.Info().Socket, "-p", strconv.Itoa(srv.Info().Port), "-U", "postgres", "-i", "-q", "-s", "10", "postgres")
	if out, err := init.CombinedOutput(); err != nil {
		b.Fatalf("fill the tables: %v\n%s", err, out)
	}
	process := func(role string) target {
		cmd := exec.Command("/proc/self/exe", socket)
		cmd.Env = append(os.Environ(), benchRole+"="+role)
		return startTarget(b, role, cmd)
	}
	targets := []target{{name: "direct", port: tcp}, process("relay"), startPgBouncer(b, srv), process("portable"), process("proxy")}
	version, _ := exec.Command(program(b, "pgbouncer", "PGBOUNCER", ""), "--version").Output()
	b.Logf("%s", version)
	old := strings.Contains(string(version), "PgBouncer 1.1") || strings.Contains(string(version), "PgBouncer 1.20")
	for _, mode := range []string{"simple", "extended", "prepared"} {
		for _, n := range clients {
			b.Run(fmt.Sprintf("%s/clients=%d", mode, n), func(b *testing.B) {
				tps, cpu := map[string][]float64{}, map[string][]float64{}
				for b.Loop() {
					for _, t := range targets {
						if t.name == "pgbouncer" && mode == "prepared" && old {
							continue
						}
						rate, used := pgbench(b, bench, t, mode, n, seconds)
						tps[t.name] = append(tps[t.name], rate)
						cpu[t.name] = append(cpu[t.name], used)
					}
				}
				for _, t := range targets[1:] {
					if len(tps[t.name]) == 0 {
						continue
					}
					b.ReportMetric(median(cpu[t.name]), t.name+"-us/tx")
					b.ReportMetric(median(tps[t.name])/median(tps["direct"]), t.name+"/direct-tps")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
