package lease_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/lease"
)

// TestStress has many clients of every manner at once: silent ones, ones that talk, that
// leave before, in or after the grant, or half, and such of the control socket. No name has
// two holders at any time, and in the end all are back.
func TestStress(t *testing.T) {
	const names, clients, rounds = 5, 24, 40
	s, path := serveNames(t, names)
	var mu sync.Mutex
	holders := map[string]int{}
	take := func(id int, name string) {
		mu.Lock()
		defer mu.Unlock()
		if other, held := holders[name]; held {
			t.Errorf("%s is held by %d and by %d", name, other, id)
		}
		holders[name] = id
	}
	give := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		delete(holders, name)
	}
	// one is one client's life; it reports how far the client came.
	one := func(id int, r *rand.Rand) {
		conn := connect(t, path)
		defer conn.Close()
		switch r.IntN(7) {
		case 0: // leaves at once
			return
		case 1: // leaves while it waits, or with the grant unread
			<-time.After(time.Duration(r.IntN(300)) * time.Microsecond)
			return
		case 2: // talks before it is granted anything
			send(t, conn, "\nname\n")
			lines := strings.SplitN(readLines(t, conn, 2), "\n", 3)
			name := strings.TrimPrefix(lines[0], "OK:")
			take(id, name)
			if lines[1] != lines[0] {
				t.Errorf("the grant is %q, and the name %q", lines[0], lines[1])
			}
			give(name)
			return
		case 3: // says what nobody understands, and goes
			send(t, conn, "x")
			return
		}
		name := strings.TrimPrefix(read(t, conn), "OK:")
		take(id, name)
		switch r.IntN(4) {
		case 0: // asks on
			send(t, conn, "ping\n")
			if got := readLines(t, conn, 1); got != "OK:pong\n" {
				t.Errorf("ping: %q", got)
			}
		case 1: // ends by half
			give(name)
			if err := conn.CloseWrite(); err != nil {
				t.Error(err)
			}
			if got := read(t, conn); got != "" {
				t.Errorf("after the end: %q", got)
			}
			return
		case 2: // releases by a request
			give(name)
			send(t, conn, "release\n")
			return
		}
		give(name)
	}
	var wg sync.WaitGroup
	for id := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(id), 7))
			if id%6 == 5 {
				controlled(t, path, id, rounds, take, give)
				return
			}
			for range rounds {
				one(id, r)
			}
		})
	}
	wg.Wait()
	await(t, s, "all back", func(st lease.PoolStatus) bool {
		return st.Ready == names && len(st.Leases) == 0 && len(st.Waiting) == 0
	})
}

// controlled acquires and releases by the control socket, on one connection.
func controlled(t *testing.T, path string, id, rounds int, take func(int, string), give func(string)) {
	c, err := lease.Dial(t.Context(), path)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	for range rounds {
		held, err := c.Acquire(t.Context(), lease.Want{Label: "stress"})
		if err != nil {
			t.Error(err)
			return
		}
		take(id, held.Name)
		give(held.Name)
		if err := held.Release(t.Context()); err != nil {
			t.Error(err)
			return
		}
	}
}

// TestStressForced ends leases by force, and the server, in the middle of it all.
func TestStressForced(t *testing.T) {
	s, path := serveNames(t, 4)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				l, err := lease.AcquireLegacy(t.Context(), path)
				if err == nil {
					_ = l.Close()
				}
			}
		})
	}
	for kicked := 0; kicked < 200; {
		for _, l := range s.Status().Pools[0].Leases {
			if s.Kick(l.ID, "test") == nil {
				kicked++
			}
		}
	}
	close(stop)
	wg.Wait()
	await(t, s, "all back", func(st lease.PoolStatus) bool { return st.Ready == 4 && len(st.Leases) == 0 })
	holder, waiter := connect(t, path), connect(t, path)
	if got := read(t, holder); !strings.HasPrefix(got, "OK:") {
		t.Errorf("after the kicks: %q", got)
	}
	_ = waiter
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := read(t, holder); got != "" {
		t.Errorf("after the server's end: %q", got)
	}
}

// readLines reads n lines.
func readLines(t *testing.T, conn interface{ Read([]byte) (int, error) }, n int) string {
	t.Helper()
	var got []byte
	b := make([]byte, 1)
	for strings.Count(string(got), "\n") < n {
		if _, err := conn.Read(b); err != nil {
			t.Errorf("read: %v after %q", err, got)
			return string(got) + strings.Repeat("\n", n)
		}
		got = append(got, b[0])
	}
	return string(got)
}
