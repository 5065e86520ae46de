package reshard_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/reshard"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// TestResumeRefused goes on with a move's slot when that would leave rows out, or put them on the wrong
// shard. Its tables inherit from each other, so that changes of one must leave alone rows of the other that
// have the same identity.
func TestResumeRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	src := h.database("src", 1, nil)
	dst := h.database("dst", 2, []sharding.Table{{Name: "payments", Columns: []string{"user_id"}}})
	h.exec("src0", "CREATE TABLE payments (user_id bigint, account bigint, PRIMARY KEY (user_id, account))", "INSERT INTO payments SELECT g, g + 1 FROM generate_series(1, 20) g",
		"CREATE TABLE parent (id bigint PRIMARY KEY, v text)", "CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent)",
		"INSERT INTO parent VALUES (1, 'p'), (2, 'p')", "INSERT INTO child VALUES (1, 'c'), (2, 'c')", "CREATE PUBLICATION moved FOR ALL TABLES")
	move := func(dst reshard.Database) *reshard.Move {
		return &reshard.Move{Source: src, Destination: dst, Publication: "moved", Slot: "resumed", Options: options()}
	}
	m := move(dst)
	s := &reshard.SchemaSync{Source: src, Destination: dst, PgDump: reshard.Program{Path: h.pgDump()}}
	for _, err := range []error{s.Run(ctx, reshard.Pre), m.Begin(ctx), m.Copy(ctx)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m = move(dst) // with rows in the child, and none of its own, a parent is as it was copied
	for _, err := range []error{m.Begin(ctx), m.Copy(ctx)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	st := streaming(t, m)
	h.exec("src0", "UPDATE ONLY parent SET v = 'new' WHERE id = 1", "DELETE FROM ONLY parent WHERE id = 2")
	st.caught(ctx)
	st.stop()
	for _, db := range []string{"dst0", "dst1"} {
		got := h.rows(db, "SELECT format('%s %s %s', tableoid::regclass, id, v) FROM parent ORDER BY 1")
		if want := []string{"child 1 c", "child 2 c", "parent 1 new"}; !slices.Equal(got, want) {
			t.Errorf("%s has %q, not %q", db, got, want)
		}
	}
	refused := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: it says nothing of %q", err, want)
		}
	}
	var err error
	other := dst
	if other.Layout, err = sharding.Compile(sharding.Config{Shards: 2, Tables: []sharding.Table{{Name: "payments", Columns: []string{"account"}}}}); err != nil {
		t.Fatal(err)
	}
	m = move(other)
	if err := m.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	refused(m.Copy(ctx), "divided in another way")
	refused(m.Stream(ctx), "divided in another way")
	other = dst
	other.Shards = []reshard.Server{dst.Shards[1], dst.Shards[0]}
	m = move(other)
	if err := m.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	refused(m.Copy(ctx), "divided in another way")
	h.exec("src0", "SELECT pg_drop_replication_slot('resumed')", "INSERT INTO payments VALUES (100, 100)")
	refused(move(dst).Begin(ctx), "cannot be had any more")
	if got := h.rows("src0", "SELECT slot_name::text FROM pg_replication_slots"); len(got) > 0 {
		t.Errorf("slots stay: %q", got)
	}
}
