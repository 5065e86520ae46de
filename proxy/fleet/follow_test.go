package fleet

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// TestFollow has a server's name stand for another address: connections are replaced then, and
// not before.
func TestFollow(t *testing.T) {
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	f := New(nil, nil)
	var asked, broken atomic.Int64
	var address atomic.Pointer[[]string]
	address.Store(&[]string{"10.0.0.2", "10.0.0.1"})
	f.lookup = func(_ context.Context, host string) ([]string, error) {
		asked.Add(1)
		if host != "db.example" {
			return nil, errors.New("another host")
		}
		if broken.Load() > 0 {
			return nil, errors.New("the resolver is down")
		}
		return *address.Load(), nil
	}
	p, err := (&member{fleet: f}).pool(&Server{
		Key: "a", Host: "db.example", HostTTL: 2 * time.Millisecond,
		Backend: pool.Backend{Name: "a", Dial: srv.Dial, Login: pool.Credentials{User: srv.Info().User, Database: "postgres"}},
	}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(context.Background())
	pid := func() uint32 {
		c, err := p.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		return c.PID()
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	wait := func() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it takes too long")
		}
	}
	again := func() { // it has been looked up twice more
		for n := asked.Load() + 2; asked.Load() < n; {
			wait()
		}
	}
	first := pid()
	again()
	address.Store(&[]string{"10.0.0.1", "10.0.0.2"}) // the same ones
	again()
	broken.Store(1)
	again()
	if now := pid(); now != first {
		t.Error("the connection was replaced without a need")
	}
	broken.Store(0)
	address.Store(&[]string{"10.0.0.3"})
	for pid() == first {
		wait()
	}
}
