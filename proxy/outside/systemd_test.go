package outside_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServiceManager starts the proxy as systemd does with Type=notify-reload, WatchdogSec= and
// three socket units: TCP and a Unix socket for clients, and one for metrics.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := configure(t, s, "openmetrics_port = 1", "")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(p.dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	var files []*os.File
	var addrs []string
	for _, at := range [][2]string{{"tcp", "127.0.0.1:0"}, {"unix", filepath.Join(p.dir, ".s.PGSQL.6432")}, {"tcp", "127.0.0.1:0"}} {
		l, err := net.Listen(at[0], at[1])
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files, addrs = append(files, f), append(addrs, l.Addr().String())
	}
	cmd := p.command("-v", "proxy", "--pgdog", "pgdog.toml")
	cmd.ExtraFiles = files
	cmd.Env = append(cmd.Env, "OUTSIDE_SETS_LISTEN_PID=1", "LISTEN_FDS=3", "LISTEN_FDNAMES=pgx-dev.socket:clients:metrics",
		"NOTIFY_SOCKET="+manager.LocalAddr().String(), "WATCHDOG_USEC=500000")
	x := p.start(cmd)
	if !strings.Contains(x.url, addrs[0]) {
		t.Errorf("it serves at %s, and was given %s", x.url, addrs[0])
	}
	heard := func(want string) {
		t.Helper()
		b := make([]byte, 1000)
		for {
			_ = manager.SetReadDeadline(time.Now().Add(patience))
			n, err := manager.Read(b)
			if err != nil {
				t.Fatalf("the service manager waits for %s: %v", want, err)
			}
			if strings.HasPrefix(string(b[:n]), want) {
				return
			}
			if got := string(b[:n]); got != "WATCHDOG=1" {
				t.Fatalf("the service manager waits for %s, and hears %s", want, got)
			}
		}
	}
	heard("READY=1")
	heard("WATCHDOG=1")
	heard("WATCHDOG=1")
	if _, err := x.app().Exec(t.Context(), "SELECT 1"); err != nil {
		t.Error(err)
	}
	local := "host=" + p.dir + " port=6432 sslmode=disable"
	if c, err := connect(t.Context(), local, "postgres", "secret", "app"); err != nil {
		t.Error(err)
	} else {
		_ = c.Close(t.Context())
	}
	// The socket is not ours alone, so coming by it proves nothing.
	if c, err := connect(t.Context(), local, "postgres", "wrong", "app"); err == nil {
		_ = c.Close(t.Context())
		t.Error("a wrong password is good enough on the service manager's socket")
	}
	eventually(t, "one client is left in the metrics", func() bool {
		return strings.Contains(fetch(t, "http://"+addrs[2]+"/metrics"), "\nclients 1\n")
	})
	if err := x.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	heard("RELOADING=1\nMONOTONIC_USEC=")
	heard("READY=1")
	if err := x.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	heard("STOPPING=1")
	x.wait()
	if _, err := os.Lstat(filepath.Join(p.dir, ".s.PGSQL.6432")); err != nil {
		t.Errorf("the service manager's socket is gone: %v", err)
	}
	// What it was given and what it is told must agree.
	cmd = p.command("proxy", "--pgdog", "pgdog.toml", "--listen=tcp")
	cmd.ExtraFiles = files[:1]
	cmd.Env = append(cmd.Env, "OUTSIDE_SETS_LISTEN_PID=1", "LISTEN_FDS=1")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "no --listen") {
		t.Errorf("--listen besides given sockets: %v %s", err, out)
	}
}

// fetch gets a page.
func fetch(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
