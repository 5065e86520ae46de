package front_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/lease/databases"
	"github.com/pgx-dev/pgx-dev/lease/front"
	"github.com/pgx-dev/pgx-dev/wire"
)

const roleVar = "PGX_DEV_FRONT_TEST_URL"

// TestMain is also a client process: it prints which database it got, for as long as its
// standard input is open.
func TestMain(m *testing.M) {
	if url := os.Getenv(roleVar); url != "" {
		if err := beClient(url); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func beClient(url string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	var name string
	if err := conn.QueryRow(ctx, "SELECT current_database()").Scan(&name); err != nil {
		return err
	}
	fmt.Println(name)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func newPool(t *testing.T, change func(*lease.PoolConfig)) *lease.Pool {
	t.Helper()
	n := 4
	cfg := lease.PoolConfig{Prefix: "f_", Count: &n, Reset: lease.ResetRecreate}
	if change != nil {
		change(&cfg)
	}
	p := lease.NewPool(cfg, databases.New(databases.Config{Pool: cfg}, func(ctx context.Context) (databases.Host, error) {
		srv, err := native.New(native.DefaultConfig()).Start(ctx, engines.Spec{Fast: true})
		if err != nil {
			return nil, err
		}
		return databases.OnServer(srv, "test"), nil
	}), nil)
	p.Start()
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func listen(t *testing.T, p *lease.Pool, address string, grace time.Duration) *front.Front {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgxf")
	if err != nil {
		t.Fatal(err)
	}
	f, err := front.Listen(t.Context(), p, front.Config{Address: address, Dir: dir, Grace: grace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		_ = os.RemoveAll(dir)
	})
	return f
}

func dial(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func name(t *testing.T, c *pgx.Conn) string {
	t.Helper()
	var s string
	if err := c.QueryRow(t.Context(), "SELECT current_database()").Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func awaitLeases(t *testing.T, p *lease.Pool, n int) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); len(p.Status().Leases) != n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d leases, want %d", len(p.Status().Leases), n)
		}
		<-time.After(2 * time.Millisecond) // another process's doing
	}
}

// TestProcesses gives each process its own database, and all connections of one the same.
func TestProcesses(t *testing.T) {
	p := newPool(t, nil)
	f := listen(t, p, "unix", 50*time.Millisecond)
	a, b := dial(t, f.URL()), dial(t, f.URL())
	mine := name(t, a)
	if other := name(t, b); other != mine {
		t.Errorf("one process has %s and %s", mine, other)
	}
	shared := strings.Replace(f.URL(), "/lease?", "/lease.w1?", 1)
	labelled := name(t, dial(t, shared))
	if labelled == mine || name(t, dial(t, shared)) != labelled {
		t.Errorf("the label has %s, the process %s", labelled, mine)
	}

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+f.URL())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	theirs := strings.TrimSpace(string(line[:n]))
	if theirs == mine || theirs == labelled || !strings.HasPrefix(theirs, "f_") {
		t.Errorf("the other process has %s", theirs)
	}
	found := false
	for _, l := range p.Status().Leases {
		found = found || l.PID == cmd.Process.Pid && l.Name == theirs
	}
	if !found {
		t.Errorf("the status does not know the process: %+v", p.Status().Leases)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	awaitLeases(t, p, 2)

	// Within the grace period a process comes back to its database.
	b.Close(t.Context())
	a.Close(t.Context())
	again := dial(t, f.URL())
	if got := name(t, again); got != mine {
		t.Errorf("after a short pause the process has %s, not %s", got, mine)
	}
	again.Close(t.Context())
	awaitLeases(t, p, 1)
}

// TestCancel stops a query through the listening address.
func TestCancel(t *testing.T) {
	f := listen(t, newPool(t, nil), "unix", 0)
	c := dial(t, f.URL()+"&application_name=x&search_path=pg_temp")
	var app, path string
	if err := c.QueryRow(t.Context(), "SELECT current_setting('application_name'), current_setting('search_path')").Scan(&app, &path); err != nil || app != "x" || path != "pg_temp" {
		t.Errorf("startup parameters: %q, %q, %v", app, path, err)
	}
	started := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		close(started)
		_, err := c.Exec(context.Background(), "SELECT pg_sleep(60)")
		done <- err
	}()
	<-started
	for {
		if err := c.PgConn().CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != "57014" {
				t.Errorf("the query ended with %v", err)
			}
			return
		case <-time.After(20 * time.Millisecond): // the cancel came before the query
		}
	}
}

// TestTCP asks for the password and a label.
func TestTCP(t *testing.T) {
	f := listen(t, newPool(t, nil), "tcp:127.0.0.1:0", 0)
	good := strings.Replace(f.URL(), "lease.LABEL", "lease.w1", 1)
	c := dial(t, good)
	if got := name(t, c); !strings.HasPrefix(got, "f_") {
		t.Errorf("connected to %s", got)
	}
	for _, tt := range []struct{ url, code string }{
		{strings.Replace(good, "lease.w1", "lease", 1), "3D000"},
		{strings.Replace(good, "lease.w1", "postgres", 1), "3D000"},
		{strings.Replace(good, "@", "x@", 1), "28P01"},
	} {
		conn, err := pgx.Connect(t.Context(), tt.url)
		if err == nil {
			conn.Close(t.Context())
		}
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != tt.code {
			t.Errorf("%s: %v, want %s", tt.url, err, tt.code)
		}
	}
	for _, bad := range []string{"tcp:0.0.0.0:0", "tcp:example.com:1", "tcp:127.0.0.1", "udp:x", "unix:/nowhere/at/all"} {
		if _, err := front.Listen(t.Context(), newPool(t, nil), front.Config{Address: bad}); err == nil {
			t.Errorf("listens on %s", bad)
		}
	}
}

// TestWaiting lets a client wait and leave, and another be refused.
func TestWaiting(t *testing.T) {
	one := 1
	p := newPool(t, func(c *lease.PoolConfig) { c.Count, c.Wait = &one, 300*time.Millisecond })
	f := listen(t, p, "unix", time.Hour)
	for p.Status().Ready == 0 {
		<-time.After(5 * time.Millisecond) // the server's start is not what is measured
	}
	first := dial(t, strings.Replace(f.URL(), "/lease?", "/lease.a?", 1))
	other := strings.Replace(f.URL(), "/lease?", "/lease.b?", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := pgx.Connect(ctx, other); err == nil {
		t.Error("two clients of one database")
	}
	_, err := pgx.Connect(t.Context(), other)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "53300" || !strings.Contains(pg.Message, "none was free") {
		t.Errorf("a client that waited too long: %v", err)
	}
	// By force, its connections end.
	if !p.Kick(p.Status().Leases[0].ID, "test") {
		t.Error("not kicked")
	}
	if err := first.Ping(t.Context()); err == nil {
		t.Error("still connected after the lease was ended")
	}
	awaitLeases(t, p, 0)
}

// TestBadBytes sends what is no startup message; the next client is served.
func TestBadBytes(t *testing.T) {
	f := listen(t, newPool(t, nil), "tcp:127.0.0.1:0", 0)
	address, _, _ := strings.Cut(strings.SplitN(f.URL(), "@", 2)[1], "/")
	for _, b := range [][]byte{
		[]byte("GET / HTTP/1.1\r\n\r\n"),
		{0, 0, 0, 4},
		{0x7f, 0xff, 0xff, 0xff},
		{0, 0, 0, 9, 0, 2, 0, 0, 0},
		(&wire.CancelRequest{PID: 1, Key: []byte{1, 2, 3, 4}}).AppendTo(nil),
		append((&wire.StartupMessage{Version: 3 << 16, Params: []wire.Param{{Name: "user", Value: "x"}}}).AppendTo(nil), "Q\x00\x00\x00\x04"...),
		{},
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(b)
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}
	name(t, dial(t, strings.Replace(f.URL(), "lease.LABEL", "lease.w1", 1)))
}
