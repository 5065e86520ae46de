package shards_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/pubsub"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
)

// heard waits for a client's next notification.
func heard(t *testing.T, c *pgx.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	n, err := c.WaitForNotification(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return n.Channel + "=" + n.Payload
}

// TestListen lets clients listen to channels of all shards, and hear what is committed, in
// order.
func TestListen(t *testing.T) { transports(t, testListen) }

func testListen(t *testing.T) {
	h := newHouse(t, demoSchema, nil)
	a, b := h.connect(), h.connect()
	mustExec(t, a, "LISTEN never; UNLISTEN never")
	var want []string
	for i := range 9 { // channels of every shard
		mustExec(t, a, fmt.Sprintf("LISTEN ch%d", i))
		mustExec(t, b, fmt.Sprintf("NOTIFY ch%d, 'it''s %d'", i, i))
		if got, want := heard(t, a), fmt.Sprintf("ch%d=it's %d", i, i); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	mustExec(t, b, "NOTIFY never, 'x'")
	// In a transaction: at COMMIT, the same ones once, and none that a savepoint takes back.
	tx, err := b.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"NOTIFY ch1, 'one'", "NOTIFY ch1, 'one'", "SAVEPOINT s", "NOTIFY ch1, 'taken back'", "ROLLBACK TO s", "NOTIFY ch1, 'two'",
		"INSERT INTO users VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')",
	} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	mustExec(t, a, "NOTIFY ch1, 'zero'")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustExec(t, b, "BEGIN; NOTIFY ch1, 'rolled back'; ROLLBACK")
	if _, err := b.Exec(t.Context(), "NOTIFY ch1, 'failed'; SELECT 1/0"); err == nil {
		t.Error("no error")
	}
	var batch pgx.Batch
	batch.Queue("NOTIFY ch1, 'three'")
	batch.Queue("INSERT INTO users VALUES (5, 'e')")
	batch.Queue("INSERT INTO users VALUES (6, 'e')")
	if err := b.SendBatch(t.Context(), &batch).Close(); err != nil {
		t.Fatal(err)
	}
	batch = pgx.Batch{}
	batch.Queue("NOTIFY ch1, 'failed in a pipeline'")
	batch.Queue("INSERT INTO users VALUES (5, 'again')")
	if err := b.SendBatch(t.Context(), &batch).Close(); err == nil {
		t.Error("no error")
	}
	mustExec(t, b, `NOTIFY "ch1", 'end'`)
	var got []string
	for len(got) == 0 || got[len(got)-1] != "ch1=end" {
		got = append(got, heard(t, a))
	}
	want = []string{"ch1=zero", "ch1=one", "ch1=two", "ch1=three", "ch1=end"}
	if !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
	// Notifications that come in a transaction are delivered behind it.
	mustExec(t, a, "BEGIN")
	mustExec(t, b, "NOTIFY ch2, 'later'")
	mustExec(t, a, "SELECT 1")
	mustExec(t, a, "COMMIT")
	if got := heard(t, a); got != "ch2=later" {
		t.Errorf("heard %q", got)
	}
	// LISTEN in a transaction that is rolled back is none.
	mustExec(t, b, "BEGIN; LISTEN own; ROLLBACK; BEGIN; LISTEN other; COMMIT")
	mustExec(t, b, "NOTIFY own; NOTIFY other, 'o'")
	if got := heard(t, b); got != "other=o" {
		t.Errorf("heard %q", got)
	}
	mustExec(t, a, "DISCARD ALL")
	refused(t, a, "22023", "too long", "NOTIFY ch1, '"+strings.Repeat("x", 8000)+"'")
}

// TestUnlisten has clients told of what was sent before they give its channel up, and of nothing that
// was sent before they came.
func TestUnlisten(t *testing.T) {
	h := newHouse(t, "", nil)
	a, b := h.connect(), h.connect()
	mustExec(t, h.connect(), "LISTEN ch0; LISTEN ch1; LISTEN ch2") // the connections that listen stay
	for i := range 60 {
		channel := fmt.Sprintf("ch%d", i%5)
		mustExec(t, b, fmt.Sprintf("NOTIFY %s, 'early %d'", channel, i))
		mustExec(t, a, "LISTEN "+channel)
		mustExec(t, b, fmt.Sprintf("NOTIFY %s, '%d'", channel, i))
		mustExec(t, a, []string{"UNLISTEN " + channel, "UNLISTEN *", "DISCARD ALL", "BEGIN; UNLISTEN " + channel + "; COMMIT"}[i%4])
		if got, want := heard(t, a), fmt.Sprintf("%s=%d", channel, i); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
}

// TestListenAgain loses the connection that listens: clients are told, and hear again.
func TestListenAgain(t *testing.T) { transports(t, testListenAgain) }

func testListenAgain(t *testing.T) {
	h := newHouse(t, "", nil)
	a, b := h.connect(), h.connect()
	mustExec(t, a, "LISTEN x")
	root := h.direct(0)
	if n := one[int](t, root, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"); n != 1 {
		t.Fatalf("%d connections listen", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	// What is sent before the hub listens again is lost; the client knows.
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				if _, err := b.Exec(ctx, "NOTIFY x, 'again'"); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	n, err := a.WaitForNotification(ctx)
	close(done)
	wg.Wait()
	if err != nil || n.Payload != "again" {
		t.Fatal(n, err)
	}
	if told := h.told(); !strings.Contains(told, "notifications may be missing") {
		t.Errorf("told %q", told)
	}
}

// TestListenSlow bounds what waits for a client, which is told of what it has missed.
func TestListenSlow(t *testing.T) { transports(t, testListenSlow) }

func testListenSlow(t *testing.T) {
	h := newHouse(t, "", func(c *shards.Config) { c.Notifications = 3 })
	a, b := h.connect(), h.connect()
	mustExec(t, a, "LISTEN x")
	mustExec(t, a, "BEGIN")
	for i := range 10 {
		mustExec(t, b, fmt.Sprintf("NOTIFY x, '%d'", i))
	}
	// Another listener on the same connection says when all have come; some y is there.
	c := h.connect()
	for i := range 9 {
		mustExec(t, c, fmt.Sprintf("LISTEN y%d", i))
		mustExec(t, b, fmt.Sprintf("NOTIFY y%d, 'last'", i))
		if got := heard(t, c); got != fmt.Sprintf("y%d=last", i) {
			t.Fatalf("heard %q", got)
		}
	}
	mustExec(t, a, "COMMIT")
	for i := range 3 {
		if got := heard(t, a); got != fmt.Sprintf("x=%d", i) {
			t.Errorf("heard %q", got)
		}
	}
	if told := h.told(); !strings.Contains(told, "7 notifications were lost") {
		t.Errorf("told %q", told)
	}
}

// TestManyListeners come, hear and go at once.
func TestManyListeners(t *testing.T) { transports(t, testManyListeners) }

func testManyListeners(t *testing.T) {
	h := newHouse(t, "", nil)
	conns := make([]*pgx.Conn, 8)
	for i := range conns {
		conns[i] = h.connect()
	}
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			for round := range 20 {
				name := fmt.Sprint("own", i, "_", round)
				if _, err := c.Exec(ctx, "LISTEN "+name+"; LISTEN shared"); err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Exec(ctx, "NOTIFY "+name+", 'me'; NOTIFY shared"); err != nil {
					t.Error(err)
					return
				}
				for {
					n, err := c.WaitForNotification(ctx)
					if err != nil {
						t.Error(err)
						return
					}
					if n.Channel == name {
						break
					}
				}
				if _, err := c.Exec(ctx, "UNLISTEN *"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestListenStuck has the server that listens read nothing more: nobody waits for it for ever, and
// the next connection takes its place.
func TestListenStuck(t *testing.T) {
	h := newHouse(t, "", nil)
	stuck, end := make(chan struct{}), make(chan struct{})
	var relays sync.WaitGroup
	first := true
	backend := &pool.Backend{ID: "l", Name: "l", Login: pool.Credentials{User: h.srv.Info().User, Database: "shard0"}, Dial: func(ctx context.Context) (net.Conn, error) {
		server, err := h.srv.Dial(ctx)
		if err != nil {
			return nil, err
		}
		proxy, client := net.Pipe()
		sticks := first
		first = false
		relays.Go(func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		})
		relays.Go(func() {
			defer server.Close()
			buf := make([]byte, 1<<10)
			for {
				n, err := client.Read(buf)
				select {
				case <-stuck:
					if sticks {
						<-end
						return
					}
				default:
				}
				if _, e := server.Write(buf[:n]); e != nil || err != nil {
					return
				}
			}
		})
		return proxy, nil
	}}
	defer relays.Wait()
	defer close(end)
	hub := pubsub.New(pubsub.Config{Connect: func(ctx context.Context) (pubsub.Conn, error) { return shards.Listener(ctx, backend) }})
	bounded := func(what string, f func()) {
		t.Helper()
		done := make(chan struct{})
		go func() { defer close(done); f() }()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatal(what, "does not return")
		}
	}
	defer bounded("Close", hub.Close)
	long, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m := pubsub.NewMailbox(0)
	if err := hub.Subscribe(long, "a", m); err != nil {
		t.Fatal(err)
	}
	close(stuck)
	for range 3 { // the first of which is taken, and not answered
		bounded("Flush", func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_ = hub.Flush(ctx) // that it returns is what is wanted
		})
	}
	bounded("Subscribe", func() {
		// It fails while nobody has noticed yet that the connection is no more.
		for hub.Subscribe(long, "b", m) != nil && long.Err() == nil {
		}
	})
	mustExec(t, h.direct(0), "NOTIFY b, 'x'")
	for {
		list, _ := m.Take()
		if len(list) > 0 && list[0].Channel == "b" && list[0].Payload == "x" {
			break
		}
		select {
		case <-m.Ready():
		case <-long.Done():
			t.Fatal("nothing is heard by the next connection")
		}
	}
	bounded("Unsubscribe", func() { hub.Unsubscribe("a", m); hub.Unsubscribe("b", m) })
}
