package reshard_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/reshard"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// TestKilled moves three shards to five, while the servers' processes of the move are killed again and
// again, and the move itself is ended in the middle of its copy and of its stream, to go on by its slot.
func TestKilled(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	one := h.database("one", 1, nil)
	src := h.database("src", 3, keys())
	dst := h.database("dst", 5, keys())
	h.exec("one0", strings.ReplaceAll(schema, "CREATE TRIGGER", "ALTER TABLE payments REPLICA IDENTITY FULL; CREATE TRIGGER"), filling)

	// The three shards are made as the five will be.
	first := &reshard.SchemaSync{Source: one, Destination: src, PgDump: reshard.Program{Path: h.pgDump()}}
	m := &reshard.Move{Source: one, Destination: src, Publication: "moved", Slot: "first", Options: options()}
	for _, err := range []error{first.Run(ctx, reshard.Pre), m.Begin(ctx), m.Copy(ctx), first.Run(ctx, reshard.Post), first.Run(ctx, reshard.Cutover), m.Done(ctx, true)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	h.same(one, src)
	for i := range 3 {
		h.exec(fmt.Sprintf("src%d", i), "CREATE PUBLICATION moved FOR ALL TABLES")
	}

	// Clients of a shard write rows of that shard.
	var loads []*load
	for i := range 3 {
		loads = append(loads, h.writeShard(src, i))
	}
	second := &reshard.SchemaSync{Source: src, Destination: dst, PgDump: reshard.Program{Path: h.pgDump()}}
	if err := second.Run(ctx, reshard.Pre); err != nil {
		t.Fatal(err)
	}
	stopKilling := h.kill(12)
	again := func() *reshard.Move {
		o := options()
		o.StreamAttempts, o.CopyAttempts = 0, 20
		return &reshard.Move{Source: src, Destination: dst, Publication: "moved", Slot: "second", Options: o}
	}
	for n := 1; ; n++ {
		m = again()
		short, end := context.WithTimeout(ctx, time.Duration(n*n)*100*time.Millisecond)
		err := m.Begin(short)
		if err == nil {
			err = m.Copy(short)
		}
		end()
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	stopKilling()
	stopKilling = h.kill(12)
	for range 3 {
		m = again()
		if err := m.Begin(ctx); err != nil {
			continue // killed
		}
		st := streaming(t, m)
		st.some(ctx)
		st.stop()
	}
	stopKilling()
	m = again()
	if err := m.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	st := streaming(t, m)
	for _, l := range loads {
		l.end()
	}
	st.caught(ctx)
	if err := second.Run(ctx, reshard.Post); err != nil {
		t.Fatal(err)
	}
	// The rows of one shard go, the others' stay; what all have goes with the first one's.
	h.exec("src1", "TRUNCATE payments", "TRUNCATE plans")
	h.exec("src0", "TRUNCATE plans")
	h.exec("src2", "TRUNCATE plans")
	st.caught(ctx)
	if err := second.Run(ctx, reshard.Cutover); err != nil {
		t.Fatal(err)
	}
	st.stop()
	h.same(src, dst)
	if err := m.Done(ctx, true); err != nil {
		t.Error(err)
	}
}

// some waits until a stream has applied something.
func (s *stream) some(ctx context.Context) {
	s.t.Helper()
	for {
		for _, slot := range s.m.Slots() {
			if slot.Position != 0 {
				return
			}
		}
		select {
		case <-s.done:
			return
		case <-ctx.Done():
			s.t.Fatal("nothing is applied")
		case <-time.After(time.Millisecond):
		}
	}
}

// kill ends a session of a move every few milliseconds, so many in all: on a slow machine nothing would come
// to its end otherwise.
func (h *house) kill(most int) (stop func()) {
	conn := h.connect("postgres")
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for range most {
			select {
			case <-end:
				return
			case <-time.After(250 * time.Millisecond):
			}
			_, _ = conn.Exec(context.Background(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgx-dev reshard' ORDER BY random() LIMIT 1")
		}
	}()
	stop = sync.OnceFunc(func() { close(end); <-done })
	h.t.Cleanup(stop)
	return stop
}

// writeShard runs a client against one of several shards, which writes rows that belong there.
func (h *house) writeShard(d reshard.Database, shard int) *load {
	key, err := d.Layout.Find("public", "users", nil).Key.WithTypes([]hash.OID{hash.Int8})
	if err != nil {
		h.t.Fatal(err)
	}
	var ids []string
	for _, id := range h.rows(d.Shards[shard].Config.Database, "SELECT id::text FROM users") {
		if at, err := key.Place([]sharding.Raw{{Type: hash.Int8, Bytes: []byte(id)}}, nil); err == nil && at == shard {
			ids = append(ids, id)
		}
	}
	l := &load{stop: make(chan struct{})}
	conn := h.connect(d.Shards[shard].Config.Database)
	l.wg.Go(func() {
		for i := range 40 {
			select {
			case <-l.stop:
				return
			default:
			}
			a, b := ids[i%len(ids)], ids[(i*7+3)%len(ids)]
			for _, sql := range []string{
				fmt.Sprintf("UPDATE users SET email = 'shard %d %d' WHERE id = %s", shard, i, a),
				fmt.Sprintf("UPDATE payments SET user_id = %s WHERE user_id = %s", b, a),
				fmt.Sprintf("DELETE FROM payments WHERE ctid = (SELECT ctid FROM payments WHERE user_id = %s LIMIT 1)", b),
				fmt.Sprintf("INSERT INTO payments (id, user_id, amount, memo) OVERRIDING SYSTEM VALUE VALUES (%d, %s, 5, repeat('k', %d))", 10_000_000*(shard+1)+i, a, i*37%3000),
				fmt.Sprintf("UPDATE events SET what = '{\"i\": %d}' WHERE user_id = %s", i, a),
				fmt.Sprintf("INSERT INTO logs VALUES (%s, 'i%d', %d, NULL)", a, i%3, i),
			} {
				if _, err := conn.Exec(context.Background(), sql); err != nil {
					h.t.Errorf("%s: %v", sql, err)
					return
				}
				l.n.Add(1)
			}
		}
	})
	h.t.Cleanup(func() { l.end() })
	return l
}
