package outside_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

// A victim is a server that is killed, frozen and cut off, and comes back.
type victim struct {
	t    *testing.T
	dir  string
	srv  engines.Server
	wire *wireTo

	socket atomic.Pointer[string] // of srv, for who dials meanwhile
}

// newVictim starts a server, and what clients reach it by at an address.
func newVictim(t *testing.T, address string) *victim {
	t.Helper()
	v := &victim{t: t, dir: filepath.Join(t.TempDir(), "data")}
	v.start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = v.srv.Close(ctx)
	})
	v.wire = newWireTo(t, address, func() (net.Conn, error) {
		return net.Dial("unix", *v.socket.Load())
	})
	return v
}

// start starts the server, once what is left of the last one has gone.
func (v *victim) start() {
	v.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		srv, err := native.New(native.DefaultConfig()).Start(context.Background(), engines.Spec{Dir: v.dir, Params: map[string]string{"max_connections": "60"}})
		if err == nil {
			v.srv = srv
			path := filepath.Join(srv.Info().Socket, ".s.PGSQL."+strconv.Itoa(srv.Info().Port))
			v.socket.Store(&path)
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("start the server again: %v", err)
		}
	}
}

// kill kills the server as a machine without power does, and starts it again.
func (v *victim) kill() {
	_ = syscall.Kill(v.srv.Info().PID, syscall.SIGKILL)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = v.srv.Close(ctx)
	v.start()
}

// restart ends the server in good order and starts it again.
func (v *victim) restart() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = v.srv.Close(ctx) // what does not end by then is killed
	v.start()
}

// freeze stops every process of the server for a while.
func (v *victim) freeze(d time.Duration) {
	pids := append(children(v.srv.Info().PID), v.srv.Info().PID)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	<-time.After(d)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

// backend kills one of the server's sessions, which makes the server start all of them anew.
func (v *victim) backend(sig syscall.Signal) {
	all := children(v.srv.Info().PID)
	var sessions []int
	for _, pid := range all {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && strings.Contains(string(b), "[local]") {
			sessions = append(sessions, pid)
		}
	}
	if len(sessions) > 0 {
		_ = syscall.Kill(sessions[rand.IntN(len(sessions))], sig)
	}
}

// children lists the processes that another one has started.
func children(pid int) (out []int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	for f := range strings.FieldsSeq(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// A wireTo forwards TCP connections, and can cut all of them.
type wireTo struct {
	net.Listener
	dial func() (net.Conn, error)
	wg   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	held  chan struct{} // closed when bytes flow again; nil: they do
}

func newWireTo(t *testing.T, address string, dial func() (net.Conn, error)) *wireTo {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	w := &wireTo{Listener: l, dial: dial, conns: map[net.Conn]bool{}}
	w.wg.Go(w.serve)
	t.Cleanup(func() {
		_ = l.Close()
		w.flow()
		w.reset()
		w.wg.Wait()
	})
	return w
}

func (w *wireTo) serve() {
	for {
		c, err := w.Accept()
		if err != nil {
			return
		}
		w.wg.Go(func() {
			s, err := w.dial()
			if err != nil {
				_ = c.Close()
				return
			}
			w.mu.Lock()
			w.conns[c], w.conns[s] = true, true
			w.mu.Unlock()
			var both sync.WaitGroup
			both.Go(func() { w.copy(s, c) })
			w.copy(c, s)
			both.Wait()
			w.mu.Lock()
			delete(w.conns, c)
			delete(w.conns, s)
			w.mu.Unlock()
		})
	}
}

// copy forwards until either side ends, and then ends both.
func (w *wireTo) copy(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		w.mu.Lock()
		held := w.held
		w.mu.Unlock()
		if held != nil {
			<-held
		}
		if n > 0 {
			if _, werr := to.Write(b[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

// hold lets no byte pass until flow.
func (w *wireTo) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == nil {
		w.held = make(chan struct{})
	}
}

func (w *wireTo) flow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held != nil {
		close(w.held)
		w.held = nil
	}
}

// reset closes every connection, the hard way.
func (w *wireTo) reset() {
	w.mu.Lock()
	conns := make([]net.Conn, 0, len(w.conns))
	for c := range w.conns {
		conns = append(conns, c)
	}
	w.mu.Unlock()
	for _, c := range conns {
		hardClose(c)
	}
}

// hardClose closes a connection without the goodbyes of TCP.
func hardClose(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// A footprint is what a process holds.
type footprint struct {
	fds, rss int // RSS in kB
}

func footprintOf(pid int) (f footprint, err error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return f, err
	}
	f.fds = len(entries)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return f, err
	}
	_, rest, ok := strings.Cut(string(b), "VmRSS:")
	if !ok {
		return f, errors.New("the process has no VmRSS")
	}
	_, err = fmt.Sscan(rest, &f.rss)
	return f, err
}

// median of what is not empty.
func median(all []int) int {
	all = slices.Clone(all)
	slices.Sort(all)
	return all[len(all)/2]
}

// goroutines ends a process with a dump of its goroutines and returns them, one text each.
func (x *process) goroutines() []string {
	x.t.Helper()
	_ = x.Process.Signal(syscall.SIGABRT)
	select {
	case <-x.ended:
	case <-time.After(patience):
		x.t.Fatal("the process does not end")
	}
	_, dump, ok := strings.Cut(x.stderr.String(), "SIGABRT: abort")
	if !ok {
		x.t.Fatalf("there is no dump of goroutines: %v", x.err)
	}
	var out []string
	for part := range strings.SplitSeq(dump, "\n\n") {
		if strings.HasPrefix(strings.TrimSpace(part), "goroutine ") {
			out = append(out, strings.TrimSpace(part))
		}
	}
	return out
}

// certificate makes a self-signed certificate for 127.0.0.1.
func certificate(t *testing.T) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}
