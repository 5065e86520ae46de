package shards_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/proxy/twophase"
)

// TestOrphans names what a lost log has left prepared, and settles it; what a log that is there
// has is settled by the proxy.
func TestOrphans(t *testing.T) { transports(t, testOrphans) }

func testOrphans(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	log, err := twophase.OpenLog(dir, twophase.LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ours := log.Instance()
	if name, open, err := twophase.InstanceOf(dir); err != nil || name != ours || !open {
		t.Fatal(name, open, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if name, open, err := twophase.InstanceOf(dir); err != nil || name != ours || open {
		t.Fatal(name, open, err)
	}
	h := newHouse(t, demoSchema, nil)
	prepare := func(shard int, gid string, id int) {
		t.Helper()
		mustExec(t, h.direct(shard), fmt.Sprintf("BEGIN; INSERT INTO countries VALUES (%d, 'x'); PREPARE TRANSACTION '%s'", id, strings.ReplaceAll(gid, "'", "''")))
	}
	const lost = "pgx_0123456789abcdef_epoch_1_7" // shards 0, 1 and 2
	for i := range houseShards {
		prepare(i, fmt.Sprintf("%s_%d", lost, i), 1)
	}
	const half = "pgx_0123456789abcdef_epoch_2_7"
	prepare(1, half+"_1", 2)
	prepare(2, "it's by hand", 3)
	prepare(0, "pgx_"+ours+"_e_1_1_0", 4)
	connect := shards.Connector(h.pick)
	list, err := twophase.Left(t.Context(), houseShards, connect)
	if err != nil || len(list) != 4 {
		t.Fatal(list, err)
	}
	by := map[string]*twophase.Orphan{}
	for i := range list {
		by[list[i].Name] = &list[i]
	}
	if o := by[lost]; o == nil || !slices.Equal(o.Members, []int{0, 1, 2}) || !slices.Equal(o.Prepared, []int{0, 1, 2}) || len(o.Missing()) != 0 || o.Instance != "0123456789abcdef" {
		t.Errorf("%+v", o)
	}
	if o := by[half]; o == nil || !slices.Equal(o.Missing(), []int{0, 2}) {
		t.Errorf("%+v", o)
	}
	if o := by["it's by hand"]; o == nil || o.Instance != "" || !slices.Equal(o.Prepared, []int{2}) {
		t.Errorf("%+v", o)
	}
	settle := func(name string, commit bool, want ...int) {
		t.Helper()
		done, err := twophase.Settle(t.Context(), by[name], commit, connect)
		if err != nil || !slices.Equal(done, want) {
			t.Errorf("%s: %v %v", name, done, err)
		}
	}
	settle(lost, true, 0, 1, 2)
	settle(lost, false) // it is settled: nothing is left to do
	settle(half, false, 1)
	settle("it's by hand", false, 2)
	// A proxy with the log comes, and settles its own.
	cfg := shards.Config{Name: "again", Pick: h.pick, Layout: houseLayout(), TwoPhase: dir}
	c, err := shards.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if list, err := twophase.Left(t.Context(), houseShards, connect); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
	for i := range houseShards {
		if ids := all[int](t, h.direct(i), "SELECT id FROM countries"); !slices.Equal(ids, []int{1}) {
			t.Errorf("shard %d has %v", i, ids)
		}
	}
}
