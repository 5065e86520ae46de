package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

// rss is what of a process is in memory, in bytes.
func (t target) rss(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", t.pid))
	if err != nil {
		b.Fatalf("%s has ended: %v", t.name, err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Rss:" {
			kb, _ := strconv.Atoi(f[1])
			return float64(kb) * 1024
		}
	}
	b.Fatal("smaps_rollup says nothing of Rss")
	return 0
}

// idler logs in, asks one thing and waits.
func idler(port string, encrypted bool) (net.Conn, error) {
	nc, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		return nil, err
	}
	raw := nc
	_ = raw.SetDeadline(time.Now().Add(2 * time.Minute))
	if encrypted {
		if _, err := nc.Write((&wire.SSLRequest{}).AppendTo(nil)); err != nil {
			return nil, err
		}
		var answer [1]byte
		if _, err := io.ReadFull(nc, answer[:]); err != nil {
			return nil, err
		} else if answer[0] != wire.SSLAccepted {
			return nil, fmt.Errorf("no TLS: %q", answer[0])
		}
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	m, err := wire.Append(nil, &wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{
		{Name: "user", Value: "postgres"}, {Name: "database", Value: "postgres"}, {Name: "client_encoding", Value: "UTF8"}, {Name: "application_name", Value: "idler"},
	}})
	if err != nil {
		return nil, err
	}
	ready := []byte("Z\x00\x00\x00\x05I")
	buf := make([]byte, 1024)
	for range 2 {
		if _, err := nc.Write(m); err != nil {
			return nil, err
		}
		for got := []byte(nil); !bytes.HasSuffix(got, ready); {
			n, err := nc.Read(buf)
			if err != nil {
				return nil, fmt.Errorf("%w after %q", err, got)
			}
			got = append(got, buf[:n]...)
		}
		if m, err = wire.Append(nil, &wire.Query{SQL: "select 1"}); err != nil {
			return nil, err
		}
	}
	return nc, nil
}

// idlerProcess keeps clients, so that their descriptors are not ours, until its input ends.
func idlerProcess(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	conns, errs := make([]net.Conn, n), make([]error, n)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n && errs[worker] == nil; i += 8 {
				conns[i], errs[worker] = idler(args[0], args[2] == "tls")
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if _, err := fmt.Println(n); err != nil {
		return err
	}
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	for _, c := range conns {
		_ = c.Close()
	}
	return nil
}

// BenchmarkProxyIdle reports what PgBouncer and the proxy have in memory for each of 10,000
// clients that have asked something and are idle: as soon as they are, and half a minute later.
// Each of its two rows takes three to five minutes. PGX_DEV_BENCH_IDLERS changes how many clients
// there are.
func BenchmarkProxyIdle(b *testing.B) {
	n := 10_000
	if v, err := strconv.Atoi(os.Getenv("PGX_DEV_BENCH_IDLERS")); err == nil {
		n = v
	}
	for _, kind := range []string{"plain", "tls"} {
		b.Run(fmt.Sprintf("%s/clients=%d", kind, n), func(b *testing.B) {
			f := newField(b) // processes that nobody has used yet
			for b.Loop() {
				for _, t := range f.targets {
					if t.name == "direct" || t.name == "relay" || t.name == "floor" {
						continue
					}
					before := t.rss(b)
					idle := startIdlers(b, t, n, kind)
					b.ReportMetric((t.rss(b)-before)/float64(n)/1000, t.name+"-kB/client-at-once")
					<-time.After(30 * time.Second) // what is measured is time passing
					b.ReportMetric((t.rss(b)-before)/float64(n)/1000, t.name+"-kB/client")
					idle()
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func startIdlers(b *testing.B, t target, n int, kind string) (end func()) {
	b.Helper()
	cmd := exec.Command("/proc/self/exe", t.port, strconv.Itoa(n), kind)
	cmd.Env = append(os.Environ(), benchRole+"=idlers")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	idlers := startTarget(b, "idlers", cmd)
	if idlers.port != strconv.Itoa(n) {
		b.Fatalf("%s clients of %s are there", idlers.port, t.name)
	}
	return func() { _ = in.Close() }
}

// TestIdleClients checks that an idle client has no goroutine where a loop drives it, and that
// none leaves a descriptor.
func TestIdleClients(t *testing.T) { transports(t, testIdleClients) }

func testIdleClients(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 2, CheckoutTimeout: -1}, nil)
	descriptors := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	eventually := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !is(); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%s did not come true: %d goroutines, %d descriptors, %+v", what, runtime.NumGoroutine(), descriptors(), b.px.Stats())
			}
		}
	}
	_, port, err := net.SplitHostPort(b.addr)
	if err != nil {
		t.Fatal(err)
	}
	first, err := idler(port, false)
	if err != nil {
		t.Fatal(err)
	}
	goroutines, open := runtime.NumGoroutine(), descriptors()
	const n = 100
	var clients []net.Conn
	for range n {
		c, err := idler(port, false)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	if s := b.px.Stats(); s.Clients != n+1 {
		t.Errorf("%d clients", s.Clients)
	}
	if onLoops(t) {
		eventually("idle clients have no goroutines", func() bool { return runtime.NumGoroutine() <= goroutines+10 })
	}
	for _, c := range append(clients, first) {
		_ = c.Close()
	}
	eventually("all are gone", func() bool { return b.px.Stats().Clients == 0 && descriptors() < open })
}
