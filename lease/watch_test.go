package lease_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgx-dev/pgx-dev/lease"
)

// TestWatch sees the end of a lease, and otherwise leaves the connection as it was, though
// a copy of its descriptor was made to block.
func TestWatch(t *testing.T) {
	_, path := serveNames(t, 1)
	c, err := lease.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	held, err := c.Acquire(t.Context(), lease.Want{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
		t.Fatal(err)
	}
	w, err := c.Watch()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.Lost():
		t.Error("lost while it is held")
	case <-time.After(20 * time.Millisecond):
	}
	w.Stop()
	if name, err := c.Ask(t.Context(), "name"); name != held.Name || err != nil {
		t.Errorf("after the watch it is called %q, %v, not %q", name, err, held.Name)
	}

	if w, err = c.Watch(); err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	other, err := lease.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Kick(t.Context(), held.ID); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.Lost():
	case <-time.After(2 * time.Minute):
		t.Error("kicked, and nothing was seen of it")
	}
}
