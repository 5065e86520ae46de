package fleet_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
)

// TestListen has the clients of a database's users listen by one connection, which follows when the
// database is somewhere else.
func TestListen(t *testing.T) {
	a, b := start(t), start(t)
	var current atomic.Pointer[conf.Config]
	with := func(srv engines.Server) *conf.Config {
		c := configOf(t, srv)
		c.Users = append(c.Users, conf.User{Name: "other", Database: "db", Password: "one", ServerUser: "postgres"})
		return c
	}
	current.Store(with(a))
	f, addr := serve(t, &current)
	first, err := connect(t, addr, "app", "one", "db", "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := connect(t, addr, "other", "one", "db", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"LISTEN x", "LISTEN y"} {
		if _, err := first.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := second.Exec(t.Context(), "LISTEN x"); err != nil {
		t.Fatal(err)
	}
	notify := func(srv engines.Server) {
		t.Helper()
		c, err := engines.Connect(t.Context(), srv, "postgres")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(context.Background()) }()
		if _, err := c.Exec(t.Context(), "NOTIFY x, 'hello'"); err != nil {
			t.Fatal(err)
		}
	}
	notify(a)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if n, err := first.WaitForNotification(ctx); err != nil || n.Payload != "hello" {
		t.Fatal(n, err)
	}
	if n, err := second.WaitForNotification(ctx); err != nil || n.Payload != "hello" {
		t.Fatal(n, err)
	}
	list, received, dropped := f.Channels()
	if len(list) != 2 || list[0].Name != "x" || list[0].Listeners != 2 || list[0].Received != 1 || list[1].Listeners != 1 || received != 1 || dropped != 0 {
		t.Errorf("the channels are %+v, %d, %d", list, received, dropped)
	}

	source, err := fleet.FromConfig(with(b))
	if err != nil {
		t.Fatal(err)
	}
	f.Reload(source)
	done := make(chan error, 1)
	go func() {
		n, err := first.WaitForNotification(ctx)
		if err == nil && n.Payload != "hello" {
			t.Errorf("it was told %s", n.Payload)
		}
		done <- err
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for told := false; !told; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			told = true
		case <-tick.C:
			notify(b) // until it listens there
		}
	}
}
