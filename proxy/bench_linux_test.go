package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
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
const (
	benchRole        = "PGX_DEV_BENCH_ROLE"
	benchCertificate = "PGX_DEV_BENCH_CERTIFICATE" // a directory
)

func TestMain(m *testing.M) {
	if role := os.Getenv(benchRole); role != "" {
		var err error
		if role == "idlers" {
			err = idlerProcess(os.Args[1:])
		} else {
			err = benchProcess(role, os.Args[1])
		}
		if err != nil {
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
	switch role {
	case "relay":
		return relay(ln, dial)
	case "floor":
		return floor(ln, dial)
	}
	var loops *loop.Group
	if role == "proxy" {
		if loops, err = loop.New(0); err != nil {
			return err
		}
	}
	p := pool.New(&pool.Backend{Name: "bench", Dial: dial, Login: pool.Credentials{User: "postgres", Database: "postgres"}}, pool.Config{Size: benchPool, CheckoutTimeout: -1, Loops: loops}, nil)
	db := &proxy.Database{Name: "postgres", Servers: proxy.One{Pool: p}}
	cfg := proxy.Config{Loops: loops, Lookup: func(context.Context, proxy.Client) (*proxy.Database, error) { return db, nil }}
	dir := os.Getenv(benchCertificate)
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return err
	}
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{own}}
	px, err := proxy.New(cfg)
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

// benchCertificates makes a certificate and its key, in a directory that everybody may read.
func benchCertificates(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgxb")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: der}} {
		// PgBouncer runs as somebody else in its namespace. The key is worth nothing.
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	return dir
}

// A bouncer is a PgBouncer to compare with.
type bouncer struct {
	name, path, version string
	old                 bool // it cannot do prepared statements, which it can from 1.21 on
}

// bouncers finds the system's PgBouncer, and the newest one if that has been fetched.
func bouncers(b *testing.B) (out []bouncer) {
	b.Helper()
	add := func(name, path string) {
		text, err := exec.Command(path, "--version").Output()
		if err != nil {
			b.Fatalf("%s: %v", path, err)
		}
		version, _, _ := strings.Cut(string(text), "\n")
		old := strings.HasPrefix(version, "PgBouncer 1.1") || version == "PgBouncer 1.20" || strings.HasPrefix(version, "PgBouncer 1.20.")
		b.Logf("%s is %s", name, version)
		out = append(out, bouncer{name, path, version, old})
	}
	add("pgbouncer", program(b, "pgbouncer", "PGBOUNCER", "install the package pgbouncer"))
	newest := os.Getenv("PGBOUNCER_NEWEST")
	if fetched := filepath.Join("..", "dist", "pgbouncer", "pgbouncer"); newest == "" {
		if _, err := os.Stat(fetched); err != nil {
			b.Log("the newest PgBouncer is not among them: just pgbouncer fetches it")
			return out
		}
		newest = fetched
	}
	add("newest", newest)
	return out
}

func startPgBouncer(b *testing.B, srv engines.Server, certificates string, rival bouncer) target {
	b.Helper()
	path := rival.path
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
max_client_conn = 15000
client_tls_sslmode = allow
client_tls_cert_file = %s/cert.pem
client_tls_key_file = %s/key.pem
max_prepared_statements = 200
log_connections = 0
log_disconnections = 0
`, srv.Info().Socket, srv.Info().Port, port, benchPool, certificates, certificates)
	if rival.old {
		ini = strings.Replace(ini, "max_prepared_statements = 200\n", "", 1)
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
			return target{rival.name, port, cmd.Process.Pid}
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

// measure is pgbench for as long as it takes: of many clients it needs longer until all have
// logged in, which should count for little, and on a busy machine longer still.
func measure(b *testing.B, path string, t target, mode string, clients, seconds int) (tps, cpu float64) {
	b.Helper()
	for seconds += seconds * clients / 400; ; seconds *= 2 {
		if tps, cpu = pgbench(b, path, t, mode, clients, seconds); tps > 0 {
			return tps, cpu
		}
		if seconds > 60 {
			b.Fatalf("pgbench through %s does nothing in %d seconds", t.name, seconds)
		}
	}
}

// pgbench runs for some seconds and returns the transactions per second and the CPU time of
// the target's process for each.
func pgbench(b *testing.B, path string, t target, mode string, clients, seconds int) (tps, cpu float64) {
	b.Helper()
	before := t.cpu(b)
	sslmode := "disable"
	if m, ok := strings.CutSuffix(mode, "-tls"); ok {
		mode, sslmode = m, "require"
	}
	args := []string{
		"-h", "127.0.0.1", "-p", t.port, "-U", "postgres", "-S", "-n",
		"-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(2, clients)), "-T", strconv.Itoa(seconds),
	}
	if mode == "login" {
		args, mode = append(args, "-C"), "simple"
	}
	cmd := exec.Command(path, append(args, "-M", mode, "postgres")...)
	cmd.Env = append(os.Environ(), "PGSSLMODE="+sslmode, "PGGSSENCMODE=disable", "PGOPTIONS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("pgbench through %s: %v\n%s", t.name, err, out)
	}
	used := t.cpu(b) - before
	rate, n := benchTPS.FindSubmatch(out), benchTxs.FindSubmatch(out)
	if rate == nil && n != nil && string(n[1]) == "0" {
		return 0, 0
	}
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

// A benchField is a server and what stands in front of it.
type benchField struct {
	pgbench string
	targets []target
	old     map[string]bool // targets that cannot do prepared statements
}

func newField(b *testing.B) benchField {
	b.Helper()
	bench := program(b, "pgbench", "PGBENCH", "install the package postgresql-contrib or postgresql")
	certificates := benchCertificates(b)
	srv := startServer(b, engines.Spec{TCP: "127.0.0.1:0", Params: map[string]string{"max_connections": "2100", "shared_buffers": "256MB"}})
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
		cmd.Env = append(os.Environ(), benchRole+"="+role, benchCertificate+"="+certificates)
		return startTarget(b, role, cmd)
	}
	f := benchField{pgbench: bench, targets: []target{{name: "direct", port: tcp}, process("relay"), process("floor")}, old: map[string]bool{}}
	for _, rival := range bouncers(b) {
		f.targets = append(f.targets, startPgBouncer(b, srv, certificates, rival))
		f.old[rival.name] = rival.old
	}
	f.targets = append(f.targets, process("portable"), process("proxy"))
	return f
}

// measured reports whether a target can do what a row is of. The server itself and the relay,
// which opens a connection for each client, have no TLS here and are not for thousands; the floor
// knows nothing of prepared statements, either.
func (f *benchField) measured(t target, mode string, clients int) bool {
	switch {
	case f.old[t.name]:
		return !strings.HasPrefix(mode, "prepared")
	case t.name == "floor" && (mode == "prepared" || mode == "login"):
		return false
	case t.name == "direct", t.name == "relay", t.name == "floor":
		return !strings.HasSuffix(mode, "-tls") && clients <= 500
	}
	return true
}

// BenchmarkProxy runs pgbench -S against the server itself, a bare relay, the least pooler that there
// can be in Go (floor), PgBouncer and the proxy over both transports, in turn, and reports the CPU time that each takes for a
// transaction, its ratio to PgBouncer's and the ratio of transactions per second to the
// server's own, and how busy the machine was.
//
// On a machine that has other things to do a row's figures are quiet if everything that is measured
// goes before those: compile the test and run it by "chrt -r 10", which its children inherit, a row
// at a time.
//
// There is the system's PgBouncer, without which it fails, and the newest one, if "just pgbouncer"
// has fetched it or PGBOUNCER_NEWEST says where it is. PgBouncer below 1.21 cannot do prepared
// statements, and is left out there: the ratio is that to what it takes in extended mode.
//
// In the mode "login" each client logs in, asks for one row, and leaves, again and again.
//
// A row, of a mode and a number of clients, takes half a minute, with 200 clients one and with
// 2,000 four; a mode six, one with TLS five; all of them half an hour. PGX_DEV_BENCH_SECONDS (2)
// and PGX_DEV_BENCH_TURNS (3) change that, PGX_DEV_BENCH_CLIENTS (1,8,50,200,2000) and
// PGX_DEV_BENCH_MODES the rows, and PGX_DEV_BENCH_TARGETS (pgbouncer,newest,proxy, say) what is
// measured: half the time is enough for those three. Build it as the program is built, without cgo.
func BenchmarkProxy(b *testing.B) {
	seconds, turns := 2, 3
	if v, err := strconv.Atoi(os.Getenv("PGX_DEV_BENCH_SECONDS")); err == nil {
		seconds = v
	}
	if v, err := strconv.Atoi(os.Getenv("PGX_DEV_BENCH_TURNS")); err == nil {
		turns = v
	}
	clients := []int{1, 8, 50, 200, 2000}
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
	modes := []string{"simple", "extended", "prepared", "login", "simple-tls", "extended-tls"}
	if v := os.Getenv("PGX_DEV_BENCH_MODES"); v != "" {
		modes = strings.Split(v, ",")
	}
	f := newField(b)
	if v := os.Getenv("PGX_DEV_BENCH_TARGETS"); v != "" {
		names := strings.Split(v, ",")
		f.targets = slices.DeleteFunc(f.targets, func(t target) bool { return !slices.Contains(names, t.name) })
		if len(f.targets) != len(names) {
			b.Fatalf("of %s there are %d", v, len(f.targets))
		}
	}
	reference := map[int]float64{} // PgBouncer's CPU in extended mode, by clients
	for _, mode := range modes {
		for _, n := range clients {
			b.Run(fmt.Sprintf("%s/clients=%d", mode, n), func(b *testing.B) {
				tps, cpu := map[string][]float64{}, map[string][]float64{}
				for b.Loop() {
					for range turns {
						for _, t := range f.targets {
							if f.measured(t, mode, n) {
								rate, used := measure(b, f.pgbench, t, mode, n, seconds)
								tps[t.name] = append(tps[t.name], rate)
								cpu[t.name] = append(cpu[t.name], used)
							}
						}
					}
				}
				rival := reference[n]
				if len(cpu["pgbouncer"]) > 0 {
					rival = median(cpu["pgbouncer"])
				}
				if mode == "extended" {
					reference[n] = rival
				}
				for _, t := range f.targets {
					if t.name == "direct" || len(tps[t.name]) == 0 {
						continue
					}
					b.ReportMetric(median(cpu[t.name]), t.name+"-us/tx")
					if rival > 0 && t.name != "pgbouncer" && t.name != "relay" {
						b.ReportMetric(median(cpu[t.name])/rival, t.name+"/pgbouncer-cpu")
					}
					if len(cpu["newest"]) > 0 && (t.name == "proxy" || t.name == "portable") {
						b.ReportMetric(median(cpu[t.name])/median(cpu["newest"]), t.name+"/newest-cpu")
					}
					if len(tps["direct"]) > 0 {
						b.ReportMetric(median(tps[t.name])/median(tps["direct"]), t.name+"/direct-tps")
					} else {
						b.ReportMetric(median(tps[t.name]), t.name+"-tps")
					}
				}
				b.ReportMetric(load(b), "load")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// load is how many processes wanted a processor in the last minute: with more than there are of
// those, the figures of one run can be compared only with each other.
func load(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		b.Fatal(err)
	}
	v, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return v
}
