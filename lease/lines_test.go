package lease_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgx-dev/pgx-dev/lease"
)

// TestLines holds what a client can ask on the lease socket.
func TestLines(t *testing.T) {
	s, path := serveNames(t, 1)
	// Who shuts down its side before a database is there is taken to have gone.
	await(t, s, "made", func(st lease.PoolStatus) bool { return st.Ready == 1 })
	c := connect(t, path)
	// As somebody who reads everything by lines, and asks before the grant.
	send(t, c, "\nname\r\nping\nurl\nenv\nlabel worker 3\nttl 1h\nttl x\nclean\nreset\nkeep\n")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(string(b), "\n")
	for i, line := range got {
		if strings.HasPrefix(line, "PGX_DEV_LEASE_ID=") {
			got[i] = "PGX_DEV_LEASE_ID="
		}
	}
	want := []string{
		"OK:t_0", "OK:t_0", "OK:pong", "ERR:url: this pool lends names only", "OK:2", "PGDATABASE=t_0", "PGX_DEV_LEASE_ID=",
		"OK:", "OK:", `ERR:ttl: want a time such as 90s or 5m, have "x"`, "OK:",
		"ERR:reset: this pool lends names only: there is nothing it could reset", "OK:", "",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	await(t, s, "kept", func(st lease.PoolStatus) bool { return st.Kept == 1 && len(st.Leases) == 0 })
}

// TestControl uses the control socket through the client.
func TestControl(t *testing.T) {
	s, path := serveNames(t, 2)
	ctx := t.Context()
	c, err := lease.Dial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Ask(ctx, "name"); err == nil || err.Error() != "name: there is no lease; acquire one first" {
		t.Errorf("name without a lease: %v", err)
	}
	for _, tt := range []struct{ line, want string }{
		{"acquire pool=nope", `acquire: there is no pool "nope"; there are [default]`},
		{"acquire wait=soon", `acquire: want a time such as 90s or 5m, have "soon"`},
		{"acquire color=red", "acquire: no such option: color (there are pool, label, ttl, wait)"},
		{`acquire label="a`, "acquire: the value of label does not end"},
		{"acquire now", `acquire: want KEY=VALUE, have "now"`},
		{"kick 1234", `kick: there is no lease "1234"`},
		{"dance", `unknown request "dance"`},
	} {
		if _, err := c.Ask(ctx, tt.line); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.line, err, tt.want)
		}
	}
	h, err := c.Acquire(ctx, lease.Want{Label: `worker "3" of 8`, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	other, err := lease.Dial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	h2, err := other.Acquire(ctx, lease.Want{})
	if err != nil {
		t.Fatal(err)
	}
	third, err := lease.Dial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	_, err = third.Acquire(ctx, lease.Want{Wait: 20 * time.Millisecond})
	var refused *lease.RefusedError
	if !errors.As(err, &refused) || refused.Reason != "none was free within 20ms" {
		t.Errorf("an acquire of a busy pool: %v", err)
	}
	st, err := third.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := st.Pools[0]
	if len(p.Leases) != 2 || p.Leases[0].ID != h.ID || p.Leases[0].Label != `worker "3" of 8` || p.Leases[0].PID != os.Getpid() ||
		p.Leases[0].Expires == nil || p.Leases[1].Expires != nil {
		t.Errorf("status: %+v", p)
	}
	if comm, err := os.ReadFile("/proc/self/comm"); err == nil && p.Leases[0].Command != strings.TrimSpace(string(comm)) {
		t.Errorf("status: the holder's command is %q, want %q", p.Leases[0].Command, comm)
	}
	if err := third.Kick(ctx, h2.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Ask(ctx, "ping"); err == nil {
		t.Error("the kicked client is still connected")
	}
	if err := h.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Acquire(ctx, lease.Want{}); err != nil {
		t.Errorf("acquire after release: %v", err)
	}
	if err := third.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	<-s.Draining()
}

// TestTTL ends a lease whose time is over, and one time that was made longer.
func TestTTL(t *testing.T) {
	s, path := serveNames(t, 1)
	c := connect(t, path)
	read(t, c)
	send(t, c, "ttl 1h\nttl 10ms\n")
	_, _ = io.ReadAll(c) // until the server ends it
	await(t, s, "free", func(st lease.PoolStatus) bool { return len(st.Leases) == 0 && st.Ready == 1 })
}

// TestWaitIsOver refuses a legacy client with a text that its panic will show.
func TestWaitIsOver(t *testing.T) {
	_, path := servePool(t, lease.NewPool(lease.PoolConfig{Engine: "none", Count: new(0), Wait: 10 * time.Millisecond}, lease.NewNames("t_"), nil))
	c := connect(t, path)
	if got := read(t, c); got != "EMPTY:none was free within 10ms" {
		t.Errorf("got %q", got)
	}
	if got := read(t, c); got != "" {
		t.Errorf("then got %q", got)
	}
}

// FuzzSession throws bytes at a server that has one name: whatever came, the next client
// gets it.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{"\nname\n", "acquire label=\"x\n", "reset\n\x00", "ttl 1ns\n"} {
		f.Add([]byte(seed), false)
		f.Add([]byte("acquire\n"+seed), true)
	}
	_, path := serveNames(f, 64)
	f.Fuzz(func(t *testing.T, b []byte, control bool) {
		if strings.Contains(string(b), "drain") || strings.Contains(string(b), "keep") || strings.Contains(string(b), "kick") {
			return // these are meant to have an effect
		}
		at := path
		if control {
			at = lease.ControlPath(path)
		}
		c := connect(t, at)
		_, _ = c.Write(b)
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
		next := connect(t, path)
		if got := read(t, next); !strings.HasPrefix(got, "OK:t_") {
			t.Errorf("the next client got %q", got)
		}
		next.Close()
	})
}
