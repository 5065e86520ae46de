package reshard_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/reshard"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// TestMovedValue has a row with a large value go from one shard to another by a change that does not tell
// the value, of which only the first shard commits its part: the other one gets the value when the change
// comes again.
func TestMovedValue(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	src := h.database("src", 1, nil)
	dst := h.database("dst", 2, []sharding.Table{{Name: "big", Columns: []string{"k"}}})
	key, err := dst.Layout.Find("public", "big", nil).Key.WithTypes([]hash.OID{hash.Int8})
	if err != nil {
		t.Fatal(err)
	}
	on := map[int]string{} // a key on each shard
	for _, k := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		shard, err := key.Place([]sharding.Raw{{Type: hash.Int8, Bytes: []byte(k)}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		on[shard] = k
	}
	h.exec("src0", "CREATE TABLE big (id int, k bigint, memo text, PRIMARY KEY (id, k)); ALTER TABLE big ALTER COLUMN memo SET STORAGE EXTERNAL",
		"INSERT INTO big VALUES (1, "+on[0]+", repeat('large', 2000))", "CREATE PUBLICATION moved FOR TABLE big")
	s := &reshard.SchemaSync{Source: src, Destination: dst, PgDump: reshard.Program{Path: h.pgDump()}}
	m := &reshard.Move{Source: src, Destination: dst, Publication: "moved", Slot: "value", Options: options()}
	m.Options.StreamAttempts = 0
	for _, err := range []error{s.Run(ctx, reshard.Pre), m.Begin(ctx), m.Copy(ctx)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	st := streaming(t, m)
	// Another change comes before: the one that counts has no description of its table before it, and has one
	// when it comes again.
	h.exec("src0", "INSERT INTO big VALUES (2, "+on[0]+", 'small')")
	st.caught(ctx)
	lock := h.connect("dst1")
	for _, sql := range []string{"BEGIN", "LOCK TABLE big"} {
		if _, err := lock.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	h.exec("src0", "UPDATE big SET k = "+on[1]+" WHERE id = 1")
	wait := func(database, sql string) {
		t.Helper()
		for !slices.Equal(h.rows(database, sql), []string{"1"}) {
			select {
			case <-st.done:
				t.Fatalf("the stream has ended: %v", st.err)
			case <-ctx.Done():
				t.Fatalf("%s: not yet", sql)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	wait("dst0", "SELECT (count(*) = 0)::int::text FROM big WHERE id = 1")
	wait("dst0", "SELECT count(*)::text FROM "+reshard.Schema+".moved")
	const waiting = "FROM pg_stat_activity WHERE datname = 'dst1' AND application_name = 'pgx-dev reshard' AND wait_event_type = 'Lock'"
	wait("postgres", "SELECT count(*)::text "+waiting)
	h.exec("postgres", "SELECT pg_terminate_backend(pid) "+waiting)
	if _, err := lock.Exec(ctx, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	st.caught(ctx)
	st.stop()
	if got := h.rows("dst1", "SELECT format('%s %s %s', id, k, memo = repeat('large', 2000)) FROM big"); !slices.Equal(got, []string{"1 " + on[1] + " t"}) {
		t.Errorf("the second shard has %v", got)
	}
}
