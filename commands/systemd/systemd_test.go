package systemd

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func environment(kv ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return func(name string) string { return m[name] }
}

// TestNoSockets covers environments in which none are for this process. Those with sockets are
// tried from the outside, in package proxy/outside: they have fixed numbers.
func TestNoSockets(t *testing.T) {
	own := fmt.Sprint(os.Getpid())
	for _, tt := range []struct {
		env  []string
		want string
	}{
		{nil, ""},
		{[]string{"LISTEN_FDS", "1"}, ""},
		{[]string{"LISTEN_PID", "1", "LISTEN_FDS", "1"}, ""},
		{[]string{"LISTEN_PID", own, "LISTEN_FDS", "0"}, ""},
		{[]string{"LISTEN_PID", own, "LISTEN_FDS", "many"}, `LISTEN_FDS is "many"`},
		{[]string{"LISTEN_PID", own, "LISTEN_FDS", "-1"}, `LISTEN_FDS is "-1"`},
	} {
		got, err := Sockets(environment(tt.env...))
		if len(got) > 0 || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, %v", tt.env, got, err)
		}
	}
}

func TestNotify(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "pgxn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "n")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	_ = manager.SetReadDeadline(time.Now().Add(time.Minute))
	own := fmt.Sprint(os.Getpid())
	n, err := NewNotifier(environment("NOTIFY_SOCKET", path, "WATCHDOG_PID", own, "WATCHDOG_USEC", "3000000"))
	if err != nil || n.Watchdog() != 3*time.Second {
		t.Fatalf("watchdog %v, %v", n.Watchdog(), err)
	}
	for _, tt := range []struct {
		send func() error
		want string
	}{
		{func() error { return n.Ready("all\nwell") }, "READY=1\nSTATUS=all well\nMAINPID=" + own},
		{n.Reloading, "RELOADING=1\nMONOTONIC_USEC="},
		{func() error { return n.Stopping("bye") }, "STOPPING=1\nSTATUS=bye"},
		{n.Alive, "WATCHDOG=1"},
	} {
		if err := tt.send(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1000)
		k, err := manager.Read(b)
		if got := string(b[:k]); err != nil || !strings.HasPrefix(got, tt.want) {
			t.Errorf("got %q, %v; want %q", got, err, tt.want)
		}
	}
	var nobody Notifier
	if err := nobody.Ready("x"); err != nil || nobody.Reloading() != nil {
		t.Errorf("without a service manager: %v", err)
	}
	_ = manager.Close()
	if err := n.Alive(); err == nil {
		t.Error("nobody listens, and no error")
	}
	if n, err := NewNotifier(environment("NOTIFY_SOCKET", path, "WATCHDOG_PID", "1", "WATCHDOG_USEC", "1")); err != nil || n.Watchdog() != 0 {
		t.Errorf("another process's watchdog: %v, %v", n.Watchdog(), err)
	}
	for _, env := range [][]string{{"NOTIFY_SOCKET", "vsock:2:1"}, {"NOTIFY_SOCKET", path, "WATCHDOG_USEC", "soon"}} {
		if _, err := NewNotifier(environment(env...)); err == nil {
			t.Errorf("%v: no error", env)
		}
	}
}
